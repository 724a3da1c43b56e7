"""Every domain that is folders of pictures: read as it was written, the same everywhere, and one line for what is not.

What is special to one data set is in its own file: test_visda.py, test_domainnet.py, test_terra.py, test_folder.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from suites import SuiteError, cache, domains
from suites.splits import PARTS
from tests.suites.trees import FORMS, ONE_OF_EACH, Shuffled, check, fit, picture, read, refused, some_classes, write

each = pytest.mark.parametrize("name", ONE_OF_EACH)
as_tree = pytest.mark.parametrize("name", ["real-world", "pacs-art", "vlcs-sun09", "terra-38"])


def suite_of(suite, name):
    return suite.model_copy(update={"domains": [name], "classes": len(domains.known()[name].classes)})


@pytest.mark.parametrize("name", FORMS)
def test_read_as_it_is_distributed(tmp_path, monkeypatch, name):
    made = write(tmp_path, name)
    fit(monkeypatch, tmp_path, name, len(made))
    check(read(tmp_path, name), made)


@pytest.mark.parametrize("name", FORMS)
def test_the_same_on_two_machines(suite, tmp_path, monkeypatch, name):
    """Written in two orders, below two roots, listed in two orders: one split, one fingerprint, and these pixels."""
    here, there = tmp_path / "here", tmp_path / "there" / "deep"
    made = write(here, name)
    fit(monkeypatch, here, name, len(made))
    small = suite_of(suite, name)
    first = cache.manifest(small, here, 0, name, jobs=1)
    assert write(there, name, backwards=True).keys() == made.keys()
    monkeypatch.setattr(os, "scandir", Shuffled)
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": sorted(listdir(path), reverse=True))
    second = cache.manifest(small, there, 0, name, jobs=2)
    assert {**first} == {**second}
    for part in PARTS:
        held = [item for item in cache.items(small, there, 0, name) if item["part"] == part]
        got = cache.read(small, there, 0, name, part)
        for item, image, label in zip(held, got.images, got.labels, strict=True):
            assert label == item["label"] == made[item["id"]][0]
            if made[item["id"]][1].shape == (32, 32, 3):
                assert (image == made[item["id"]][1].transpose(2, 0, 1)).all()


@pytest.mark.parametrize("name", FORMS)
def test_a_handful_is_not_taken_for_the_whole(tmp_path, name):
    """The real counts and sums: of Terra Incognita none is asked for."""
    made = write(tmp_path, name)
    if name.startswith("terra"):
        check(read(tmp_path, name), made)
    elif name.startswith("domainnet"):
        refused(tmp_path, name, "_train.txt", "these are the lists of the uncleaned version: its md5 is")
    else:
        refused(tmp_path, name, f"has {len(made)} of {domains.find(name).raw.count:,} images: half extracted")


@each
def test_nothing_there(tmp_path, name):
    refused(tmp_path, name, f"no {tmp_path / FORMS[name].root};", missing=True)


@each
def test_another_domain_of_the_set_alone_is_there(tmp_path, name):
    form = FORMS[name]
    (tmp_path / form.root / "another" / "kind").mkdir(parents=True)
    refused(tmp_path, name, f"no {tmp_path / form.root / form.folder};", missing=True)


def test_the_domains_of_a_set_that_is_not_there_are_one_line(suite, tmp_path):
    for root in {form.root for form in FORMS.values()}:
        names = [name for name in FORMS if FORMS[name].root == root]
        with pytest.raises(SuiteError) as error:
            cache.fingerprints(suite.model_copy(update={"domains": names}), tmp_path, 0)
        assert "\n" not in str(error.value)


@each
def test_one_folder_too_deep(tmp_path, monkeypatch, name):
    """As where a zip was unpacked into a folder of its own name."""
    write(tmp_path / "x", name)
    deep = tmp_path / FORMS[name].root / "set_2016"
    deep.parent.mkdir()
    (tmp_path / "x" / FORMS[name].root).rename(deep)
    refused(tmp_path, name, f"{FORMS[name].folder} one folder too deep: move up what is in {deep}")


@as_tree
def test_classes_one_folder_too_deep(tmp_path, name):
    write(tmp_path, name)
    at = tmp_path / FORMS[name].root / FORMS[name].folder
    at.rename(tmp_path / "x")
    at.mkdir()
    (tmp_path / "x").rename(at / "images")
    refused(tmp_path, name, at, f"class folders one folder too deep: move up what is in {at / 'images'}")


@as_tree
@pytest.mark.parametrize("how", ["gone", "empty", "no image", "a file"])
def test_a_class_that_is_not_there(tmp_path, name, how):
    """A peer's labels are shifted by it, silently (baselines.md A1)."""
    write(tmp_path, name)
    at = tmp_path / FORMS[name].root / FORMS[name].folder / some_classes(name)[2]
    shutil.rmtree(at)
    if how == "a file":
        at.touch()
    elif how != "gone":
        at.mkdir()
        (at / "Thumbs.db").write_bytes(b"x" * (how == "no image"))
    refused(tmp_path, name, f"{at} {'is not there (there is ' if how in ('gone', 'a file') else 'has no image in it'}")


@as_tree
def test_class_folders_of_another_domain(tmp_path, name):
    at = tmp_path / FORMS[name].root / FORMS[name].folder
    for kind in ("zebra", "yak"):
        (at / kind).mkdir(parents=True)
    classes = some_classes(name)
    more = f"is not there, nor are {len(classes) - 1} more of {len(classes)} class folders (there is yak, zebra)"
    refused(tmp_path, name, f"{at / classes[0]} {more}")


@pytest.mark.parametrize("name", ["visda-val", "real-world", "domainnet-sketch", "pacs-art", "vlcs-sun09"])
def test_half_extracted(tmp_path, monkeypatch, name):
    made = write(tmp_path, name)
    form, kind = FORMS[name], some_classes(name)[1]
    at = tmp_path / form.root / form.folder / kind
    array = picture("more")
    if not form.listed:  # so that the class does not lack all
        Image.fromarray(array).save(at / "more.png")
    fit(monkeypatch, tmp_path, name, len(made) + (not form.listed))
    first = min(at.iterdir())
    first.unlink()
    if form.listed:
        gone = form.listed.format(kind=kind, file=first.name)
        said = f"1 of {len(made):,} listed images are not there, the first {gone}"
    else:
        said = f"has {len(made)} of {len(made) + 1} images: half extracted"
    refused(tmp_path, name, said)


@each
@pytest.mark.parametrize("how", ["cut short", "empty", "text", "a web page"])
def test_an_image_that_is_none(suite, tmp_path, monkeypatch, name, how):
    made = write(tmp_path, name)
    fit(monkeypatch, tmp_path, name, len(made))
    at = next((tmp_path / FORMS[name].root / FORMS[name].folder / some_classes(name)[-1]).iterdir())
    held = {"cut short": at.read_bytes()[:-400], "empty": b"", "text": b"\n\n", "a web page": b"<html>\n404"}[how]
    at.write_bytes(held)
    said = {"cut short": "cannot be decoded (", "empty": "is empty"}.get(how, "cannot be decoded (it is no image)")
    line = refused(tmp_path, name, f"{at} {said}")
    with pytest.raises(SuiteError) as error:
        cache.fingerprints(suite_of(suite, name), tmp_path, 0, jobs=1)
    assert str(error.value) == line
    assert not cache.folder(suite_of(suite, name), tmp_path, 0, name).exists()


@each
def test_what_is_no_image_is_passed_over(tmp_path, monkeypatch, name):
    made = write(tmp_path, name)
    fit(monkeypatch, tmp_path, name, len(made))
    form = FORMS[name]
    for at in (tmp_path / form.root / form.folder, tmp_path / form.root / form.folder / some_classes(name)[0]):
        for file in ("Thumbs.db", ".DS_Store", "ImageInfo.csv", "imagelist.txt", "._a.png", ".hidden.jpg"):
            (at / file).write_bytes(b"\x00")
        (at / ".ipynb_checkpoints").mkdir()
        (at / ".ipynb_checkpoints" / "a-checkpoint.png").write_bytes(b"\x00")
    check(read(tmp_path, name), made)


@each
def test_a_disk_that_does_not_answer(tmp_path, monkeypatch, name):
    made = write(tmp_path, name)
    fit(monkeypatch, tmp_path, name, len(made))
    at = tmp_path / FORMS[name].root / FORMS[name].folder / some_classes(name)[3]

    def broken(path):
        if os.fspath(path) == os.fspath(at):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return Shuffled(path)

    monkeypatch.setattr(os, "scandir", broken)
    refused(tmp_path, name, f"{at} cannot be read (Permission denied)")


@each
def test_a_file_where_a_folder_is_expected(tmp_path, name):
    form = FORMS[name]
    (tmp_path / form.root).write_text("x")
    refused(tmp_path, name, f"no {tmp_path / form.root};", missing=True)


@pytest.mark.parametrize(
    ("name", "root", "folder"),
    [
        ("visda-train", "VisDA", "train"),
        ("art", "OfficeHomeDataset_10072016", "Art"),
        ("art", "office-home-65", "Art"),
        ("real-world", "office-home-65", "RealWorld"),
        ("real-world", "office_home", "Real_World"),
        ("pacs-sketch", "kfold", "sketch"),
        ("pacs-sketch", "PACS/kfold", "sketch"),
        ("domainnet-real", "DomainNet", "real"),
        ("domainnet-real", "domainnet", "real"),
    ],
)
def test_other_names_under_which_it_is_about(tmp_path, monkeypatch, name, root, folder):
    made = write(tmp_path / "x", name)
    fit(monkeypatch, tmp_path / "x", name, len(made))
    (tmp_path / root).parent.mkdir(exist_ok=True)
    (tmp_path / "x" / FORMS[name].root).rename(tmp_path / root)
    (tmp_path / root / FORMS[name].folder).rename(tmp_path / root / folder)
    check(read(tmp_path, name), made)


def test_counts_and_classes_are_the_published_ones():
    counts = {name: domains.known()[name].raw.count for name in FORMS}
    for root, count in {"office_home": 15588, "PACS": 9991, "VLCS": 10729, "domain_net": 586575}.items():
        assert sum(counts[name] for name in FORMS if FORMS[name].root == root) == count
    assert (counts["visda-train"], counts["visda-val"]) == (152397, 55388)
    classes = {name: domains.known()[name].classes for name in FORMS}
    assert [len(classes[one]) for one in ONE_OF_EACH] == [12, 65, 345, 7, 5, 10]
    for name in FORMS:
        assert len(set(classes[name])) == len(classes[name])
        if not name.startswith("domainnet"):
            assert list(classes[name]) == sorted(classes[name])
    assert classes["art"][58:60] == ("TV", "Table")


def test_the_loaders_import_no_torch():
    code = (
        "import sys; from suites import domains; domains.known();"
        "print({'torch', 'torchvision', 'numpy', 'PIL'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_pictures_differ():
    assert picture("a").tobytes() != picture("b").tobytes() and {picture(str(i)).shape for i in range(9)} == {
        (32, 32, 3), (24, 41, 3),
    }  # fmt: skip
    assert np.unique(picture("a")).size > 100
