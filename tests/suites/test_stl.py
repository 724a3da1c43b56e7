"""STL-10 and its nine classes from the binary files."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import STL10

from suites import domains
from tests.suites.published import absence, cached, count, md5, read, refusal, served, whole

HOME = "stl10_binary"
PUBLISHED = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]  # class_names.txt
SIZES = {"train": 13, "test": 7}
IMAGES = {p: np.random.default_rng(n).integers(0, 256, (n, 96, 96, 3), np.uint8) for p, n in SIZES.items()}
LABELS = {"train": [i % 10 for i in range(13)], "test": [9 - i for i in range(7)]}  # the publisher's, from 0
IDS = [f"{part}-{i:05}" for part, n in SIZES.items() for i in range(n)]
BOTH = np.concatenate([IMAGES["train"], IMAGES["test"]])


def expect(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let torchvision state the md5 of the files that are there."""
    for name in ("train_list", "test_list"):
        held = getattr(STL10, name)
        stated = [[file, md5(folder / file) if (folder / file).exists() else sum_] for file, sum_ in held]
        monkeypatch.setattr(STL10, name, stated)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    assert [domains.known()[name].raw.count for name in ("stl10", "stl9")] == [13_000, 11_700]
    count(monkeypatch, "stl10", None)
    count(monkeypatch, "stl9", None)
    folder = tmp_path / HOME
    folder.mkdir()
    for part in SIZES:  # column by column: the format's own words
        columns = [image[:, x, c].tobytes() for image in IMAGES[part] for c in range(3) for x in range(96)]
        (folder / f"{part}_X.bin").write_bytes(b"".join(columns))
        (folder / f"{part}_y.bin").write_bytes(bytes(label + 1 for label in LABELS[part]))
    return folder


@pytest.fixture
def data(folder, monkeypatch) -> Path:
    expect(monkeypatch, folder)
    return folder.parent


def test_pixels_are_the_files(data):
    images = read("stl10", data)
    assert images.ids == IDS and (whole(images, 96) == BOTH).all()


def test_labels_are_cifars_numbers_and_the_names_go_with_them(data):
    images, classes = read("stl10", data), domains.find("stl10").classes
    assert [classes[label] for label in images.labels] == [PUBLISHED[i] for i in LABELS["train"] + LABELS["test"]]
    assert images.labels[:10] == [0, 2, 1, 3, 4, 5, 7, 6, 8, 9]  # baselines.md A1
    cifar = domains.find("cifar10").classes
    odd = {a: b for a, b in zip(cifar, classes, strict=True) if a != b}
    assert odd == {"automobile": "car", "frog": "monkey"} and classes[6] == "monkey"


def test_nine_mean_the_same_as_cifars_nine(data):
    ten, nine = read("stl10", data), read("stl9", data)
    classes = domains.find("stl9").classes
    kept = [i for i, label in enumerate(ten.labels) if label != 6]
    assert nine.ids == [ten.ids[i] for i in kept] and len(kept) == 18
    names = domains.find("stl10").classes
    assert [classes[label] for label in nine.labels] == [names[ten.labels[i]] for i in kept]
    assert all((nine.pixels(row, 96) == ten.pixels(i, 96)).all() for row, i in enumerate(kept))
    assert tuple("automobile" if name == "car" else name for name in classes) == domains.find("cifar9").classes


def test_in_the_cache(data, suite):
    from PIL import Image

    for name, (_, image) in cached(suite, data, "stl10").items():
        small = Image.fromarray(BOTH[IDS.index(name)]).resize((32, 32), Image.Resampling.BILINEAR)
        assert (image.transpose(1, 2, 0) == np.asarray(small)).all()


@pytest.mark.parametrize("name", ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"])
def test_what_is_not_there_is_named(data, name):
    (data / HOME / name).unlink()
    assert f"no {data / HOME / name};" in absence("stl9", data)


@pytest.mark.parametrize("name", ["train_X.bin", "test_y.bin"])
def test_other_files_than_the_published_are_refused_by_their_md5(data, name):
    wanted = md5(data / HOME / name)
    (data / HOME / name).write_bytes((data / HOME / name).read_bytes()[::-1])
    found = md5(data / HOME / name)
    assert f"{data / HOME / name} is damaged: its md5 is {found}, not {wanted}" in refusal("stl10", data)


def test_the_md5_are_those_that_torchvision_states(folder):
    assert f"not {dict(STL10.train_list)['train_X.bin']}" in refusal("stl10", folder.parent)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_X.bin", 13 * 27_648 - 1, "is cut short: 359,423 bytes are no whole number of images"),
        ("test_X.bin", 0, "is cut short: 0 bytes"),
        ("test_X.bin", 6 * 27_648, "has 7 labels for 6 images"),
        ("train_y.bin", b"\1" * 12, "has 12 labels for 13 images"),
        ("test_y.bin", bytes([1, 2, 3, 4, 5, 6, 0]), "none of the ten classes: -1, of image 6"),
        ("test_y.bin", bytes([1, 2, 3, 4, 5, 6, 11]), "none of the ten classes: 10, of image 6"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(data, monkeypatch, name, content, message):
    (data / HOME / name).write_bytes(bytes(content))  # so many zeros, where it is a number
    expect(monkeypatch, data / HOME)
    text = refusal("stl10", data)
    assert message in text and str(data / HOME / name[:4]) in text


def test_the_unlabelled_images_are_not_needed(data):
    assert not (data / HOME / "unlabeled_X.bin").exists() and len(read("stl9", data).ids) == 18


def test_it_is_fetched_without_a_look_at_the_unlabelled_images(data, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "stl.tar.gz", "w:gz") as archive:
        archive.add(data / HOME, HOME)
    with served(tmp_path) as url:
        monkeypatch.setattr(STL10, "url", f"{url}stl.tar.gz")
        monkeypatch.setattr(STL10, "tgz_md5", md5(tmp_path / "stl.tar.gz"))
        domains.find("stl9").raw.download(tmp_path / "data")
    assert read("stl10", tmp_path / "data").ids == IDS
    (tmp_path / "data" / STL10.filename).unlink()
    domains.find("stl10").raw.download(tmp_path / "data")  # without a server: all is there


def test_fewer_than_there_are_is_noticed(data, monkeypatch):
    count(monkeypatch, "stl9", 11_700)
    assert "has 18 of 11,700 images" in refusal("stl9", data)
