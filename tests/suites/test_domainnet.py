"""DomainNet: the cleaned lists say what is in it and what it is called; uncleaned ones have the same names."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from suites import cache, domains
from suites.domains import domainnet
from tests.suites.trees import check, fit, picture, read, refused, write

NAME = "domainnet-clipart"


@pytest.fixture
def made(tmp_path, monkeypatch):
    made = write(tmp_path, NAME)
    fit(monkeypatch, tmp_path, NAME, len(made))
    return made


def listing(tmp_path, monkeypatch, change):
    """The list of train with a change in it, which is then the published one."""
    path = tmp_path / "domain_net" / "clipart_train.txt"
    path.write_text(change(path.read_text()))
    fit(monkeypatch, tmp_path, NAME, None)
    return path


def test_the_order_of_labels_is_the_lists():
    assert hashlib.sha256("".join(f"{name}\n" for name in domainnet.CLASSES).encode()).hexdigest() == (
        "eeba921b4184b62a01153f86a56b7b131da47e7eae13f18dcc1dfedde3399b1a"
    )
    assert list(domainnet.CLASSES) != sorted(domainnet.CLASSES) != sorted(domainnet.CLASSES, key=str.lower)
    assert [domainnet.CLASSES.index(name) for name in ("cello", "cell_phone", "t-shirt")] == [66, 67, 327]


def test_train_and_test_list_are_taken_together_and_nothing_else(tmp_path, made):
    """The zips still have what was removed from the cleaned lists."""
    at = tmp_path / "domain_net" / "clipart" / "cello" / "clipart_067_999999.png"
    Image.fromarray(picture("duplicate")).save(at)
    check(read(tmp_path, NAME), made)


@pytest.mark.parametrize("place", ["domain_net/txt", "."])
def test_lists_may_lie_below_or_beside(tmp_path, made, place):
    (tmp_path / place).mkdir(exist_ok=True)
    for path in sorted((tmp_path / "domain_net").glob("*.txt")):
        path.rename(tmp_path / place / path.name)
    check(read(tmp_path, NAME), made)
    path = tmp_path / place / "clipart_test.txt"
    path.write_text(path.read_text() + "\n")
    refused(tmp_path, NAME, path, "uncleaned")


def test_a_list_that_is_not_there(tmp_path, made):
    path = tmp_path / "domain_net" / "clipart_test.txt"
    path.unlink()
    refused(tmp_path, NAME, f"no {path};", missing=True)


def test_lists_of_the_uncleaned_version(tmp_path, made):
    """One image more, as in the list before cleaning."""
    path = tmp_path / "domain_net" / "clipart_train.txt"
    path.write_text(path.read_text() + "clipart/cello/clipart_067_999999.png 66\n")
    refused(tmp_path, NAME, f"{path} is damaged, or these are the lists of the uncleaned version: its md5 is")


def test_sums_are_stated_for_all_lists():
    sums = domains.known()[NAME].raw.sums()
    assert set(sums) == {f"domain_net/{name}_{half}.txt" for name in domainnet.COUNTS for half in ("train", "test")}
    assert len(set(sums.values())) == 12 and all(len(value) == 32 for value in sums.values())


def test_missing_images_are_counted(tmp_path, made):
    gone = sorted(made)[4:9]
    for name in gone:
        (tmp_path / "domain_net" / name).unlink()
    refused(tmp_path, NAME, f"5 of {len(made)} listed images are not there, the first {gone[0]}")


@pytest.mark.parametrize("how", ["gone", "a file"])
def test_a_class_that_is_not_there_is_counted_too(tmp_path, made, how):
    at = tmp_path / "domain_net" / "clipart" / "cello"
    shutil.rmtree(at)
    if how == "a file":
        at.touch()
    refused(
        tmp_path, NAME, f"3 of {len(made)} listed images are not there, the first clipart/cello/clipart_067_000000.png"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("png 66\n", "png 67\n", "has a line 4 whose label, 67, is 'cell_phone': clipart/cello/clipart_067_000000.png"),
        ("png 66\n", "png 345\n", "has a line 4 whose label, 345, is not below 345: clipart/cello/"),
        ("png 66\n", "png\n", "has a line 4 that is not `path label`: 'clipart/cello/clipart_067_000000.png'"),
        ("clipart/cello", "clipart//cello/..", "has a line 4 that is not `path label`"),
    ],
)
def test_a_line_that_cannot_be_right(tmp_path, made, monkeypatch, old, new, said):
    path = listing(tmp_path, monkeypatch, lambda text: text.replace(old, new, 1))
    refused(tmp_path, NAME, f"{path} {said}")


def test_an_image_in_both_lists_counts_once(tmp_path, made, monkeypatch):
    line = (tmp_path / "domain_net" / "clipart_test.txt").read_text().splitlines()[0]
    listing(tmp_path, monkeypatch, lambda text: f"{text}\n{line}\n./{line}")
    check(read(tmp_path, NAME), made)


def test_at_most_a_hundred_a_class_and_no_caps(suite, tmp_path, made, monkeypatch):
    held = domains.known()
    assert {(held[f"domainnet-{n}"].per_class, held[f"domainnet-{n}"].capped) for n in domainnet.COUNTS} == {
        (100, False)
    }
    for name in sorted(made)[:6]:
        at = tmp_path / "domain_net" / name
        at.with_stem(f"{at.stem}_").write_bytes(at.read_bytes())
    listing(
        tmp_path,
        monkeypatch,
        lambda text: text + "".join(f"{n[:-4]}_.png {made[n][0]}\n" for n in sorted(made)[:6]),
    )
    monkeypatch.setitem(held, NAME, replace(held[NAME], per_class=4))
    monkeypatch.setattr("suites.splits.MOST", {"train": 1, "val": 1, "test": 1})
    small = suite.model_copy(update={"domains": [NAME], "classes": 345})
    labels = [item["label"] for item in cache.items(small, tmp_path, 0, NAME)]
    assert sorted(np.bincount(labels)[np.unique(labels)]) == [
        3,
        3,
        3,
        3,
        4,
        4,
    ]  # of 6 and 6: all 20 are dealt, 16 + 2 + 2
