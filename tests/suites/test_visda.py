"""VisDA: the publisher's list is believed, 1,000 a class are taken whatever the listing, and a tar is unpacked."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest

from suites import cache, domains, splits
from suites.domains import visda
from tests.suites.trees import check, fit, read, refused, unpacked, write


@pytest.fixture
def made(tmp_path, monkeypatch):
    made = write(tmp_path, "visda-train")
    fit(monkeypatch, tmp_path, "visda-train", len(made))
    return made


BUS = "bus/train_003_000000.png 2"  # line 5


def rewrite(tmp_path, old, new):
    path = tmp_path / "visda" / "train" / "image_list.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_without_the_list_the_folders_count(tmp_path, made):
    (tmp_path / "visda" / "train" / "image_list.txt").unlink()
    check(read(tmp_path, "visda-train"), made)


def test_what_the_list_does_not_name_is_not_read(tmp_path, made):
    (tmp_path / "visda" / "train" / "bus" / "copy.png").write_bytes(b"x")
    check(read(tmp_path, "visda-train"), made)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("bus/train_003_000000.png 3", "whose label, 3, is 'car': bus/train_003_000000.png"),
        ("bus/train_003_000000.png 12", "whose label, 12, is not below 12: bus/"),
        ("bus/train_003_000000.png", "a line 5 that is not `path label`: 'bus/train_003_0"),
        ("2", "a line 5 that is not `path label`: '2'"),
        ("bus/train_003_000000.png ²", r"not `path label`: 'bus/train_003_000000.png \xb2'"),
        (f"bus/1.png {'1' * 5000}", "a line 5 that is not `path label`"),
        ("../bus/1.png 2", "a line 5 that is not `path label`: '../bus/1.png 2'"),
        ("/bus/1.png 2", "a line 5 that is not `path label`: '/bus/1.png 2'"),
        ("<html> <p>\r", "a line 5 that is not `path label`: '<html> <p>'"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_right(tmp_path, made, new, said):
    path = rewrite(tmp_path, BUS, new)
    refused(tmp_path, "visda-train", f"{path} has a line 5", said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names no image"),
        (b"\n \r\n", "names no image"),
        (b"\xff\xfe", "cannot be read ('utf-8'"),
        (None, "cannot"),
    ],
)
def test_a_list_that_is_none(tmp_path, made, content, said):
    path = tmp_path / "visda" / "train" / "image_list.txt"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    refused(tmp_path, "visda-train", path, said)


def test_a_list_of_windows_is_the_same(tmp_path, made):
    path = tmp_path / "visda" / "train" / "image_list.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    check(read(tmp_path, "visda-train"), made)


def test_a_list_that_ends_early(tmp_path, made):
    path = tmp_path / "visda" / "train" / "image_list.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    refused(tmp_path, "visda-train", "has 21 of 24 images")


def test_the_first_of_each_class_in_the_order_of_the_splits_hash(suite, tmp_path, made, monkeypatch):
    assert domains.known()["visda-train"].per_class == domains.known()["visda-val"].per_class == 1000
    monkeypatch.setitem(domains.known(), "visda-train", replace(domains.known()["visda-train"], per_class=1))
    monkeypatch.setattr(splits, "sizes", lambda *_: {"train": 9, "attacker": 1, "val": 1, "test": 1})
    small = suite.model_copy(update={"domains": ["visda-train"], "classes": 12})
    taken = sorted(item["id"] for item in cache.items(small, tmp_path, 0, "visda-train"))
    order = splits.shuffled(made, "visda-train", 0)
    assert taken == sorted(next(name for name in order if name.startswith(f"{kind}/")) for kind in visda.CLASSES)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("top", ["", "./"])
def test_a_tar_is_unpacked_once(tmp_path, monkeypatch, part, top):
    name = {"train": "visda-train", "validation": "visda-val"}[part]
    made = write(tmp_path / "x", name)
    fit(monkeypatch, tmp_path, name, len(made))
    (tmp_path / "visda").mkdir()
    tar = tmp_path / "visda" / f"{part}.tar"
    with tarfile.open(tar, "w") as held:
        held.add(tmp_path / "x" / "visda" / part, f"{top}{part}")
    refused(tmp_path, name, f"but {tar} is there: `mapbench data visda` unpacks it", missing=True)  # who looks does not
    assert [path.name for path in (tmp_path / "visda").iterdir()] == [tar.name]
    unpacked(tmp_path, name)
    check(read(tmp_path, name), made)
    assert sorted(path.name for path in (tmp_path / "visda").iterdir()) == sorted([part, tar.name])
    tar.write_bytes(b"")  # not looked at again
    unpacked(tmp_path, name)
    check(read(tmp_path, name), made)


def test_who_loses_a_race_to_unpack_takes_what_is_there(tmp_path, monkeypatch, made):
    data = tmp_path / "data"
    (data / "visda").mkdir(parents=True)
    with tarfile.open(data / "visda" / "train.tar", "w") as held:
        held.add(tmp_path / "visda" / "train", "train")
    extract = visda.archives.extract

    def slow(archive, folder):
        extract(archive, folder)
        extract(archive, data / "won")
        (data / "won" / "train").rename(data / "visda" / "train")

    monkeypatch.setattr(visda.archives, "extract", slow)
    unpacked(data, "visda-train")
    check(read(data, "visda-train"), made)
    assert sorted(path.name for path in (data / "visda").iterdir()) == ["train", "train.tar"]


@pytest.mark.parametrize("how", ["cut short", "no tar", "another", "harmful"])
def test_a_tar_that_cannot_be_unpacked_leaves_nothing(tmp_path, how):
    (tmp_path / "visda").mkdir()
    tar = tmp_path / "visda" / "train.tar"
    with tarfile.open(tar, "w") as held:
        for name in ("../out.png",) if how == "harmful" else ("validation/bus/1.png", "validation/bus/2.png"):
            member = tarfile.TarInfo(name)
            member.size = 3000
            held.addfile(member, io.BytesIO(b"x" * 3000))
    if how == "cut short":
        tar.write_bytes(tar.read_bytes()[:4000])
    if how == "no tar":
        tar.write_bytes(b"<html>")
    with pytest.raises(domains.SuiteError) as error:
        unpacked(tmp_path, "visda-train")
    assert "\n" not in str(error.value) and str(tar) in str(error.value)
    assert ("has no folder train/ in it" in str(error.value)) == (how == "another")
    assert [path.name for path in tmp_path.rglob("*")] == ["visda", "train.tar"]


def test_its_class_called_train_is_not_its_domain_called_train(tmp_path, monkeypatch):
    write(tmp_path, "visda-val")
    refused(tmp_path, "visda-train", f"no {tmp_path / 'visda' / 'train'};", missing=True)
