"""MNIST-M from PNGs and a list, and from a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suites.domains import mnist_m
from tests.suites.published import absence, cached, md5, read, refusal, whole

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (15, 32, 32, 3), np.uint8)
SMALL = RNG.integers(0, 256, (15, 28, 28, 3), np.uint8)
LABELS = [i * 3 % 10 for i in range(15)]
NAMES = [f"{i * 1511:08}.png" for i in range(15)]
GOOD = {"train": SMALL, "train_label": np.array(LABELS)}


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(mnist_m, "COUNT", 15)
    folder = tmp_path / "mnist_m" / "mnist_m_train"
    folder.mkdir(parents=True)
    for name, image in zip(NAMES, IMAGES, strict=True):
        Image.fromarray(image).save(folder / name)
    label(tmp_path, [f"{name} {label}" for name, label in zip(NAMES, LABELS, strict=True)][::-1])
    return tmp_path / "mnist_m"


def label(data: Path, lines: list[str]) -> Path:
    path = data / "mnist_m" / "mnist_m_train_labels.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def dump(data: Path, held: object, protocol: int = 4) -> Path:
    path = data / "mnistm_data.pkl"
    path.write_bytes(held if isinstance(held, bytes) else pickle.dumps(held, protocol))
    return path


def test_pngs_are_read_in_rgb(root):
    images = read("mnist-m", root.parent)
    assert images.ids == NAMES and images.labels == LABELS and (whole(images, 32) == IMAGES).all()


def test_in_the_cache(root, suite):
    held = cached(suite, root.parent, "mnist-m")
    assert len(held) == 14
    for name, (number, image) in held.items():
        place = NAMES.index(name)
        assert number == LABELS[place] and (image.transpose(1, 2, 0) == IMAGES[place]).all()


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("one_hot", [False, True])
def test_else_the_pickle_is(tmp_path, protocol, one_hot):
    dump(tmp_path, {**GOOD, "train_label": np.eye(10)[LABELS] if one_hot else LABELS}, protocol)
    images = read("mnist-m", tmp_path)
    assert images.ids == [f"train-{i:05}" for i in range(15)] and images.labels == LABELS
    assert (whole(images, 28) == SMALL).all()


def test_where_both_are_there_the_pngs_are_read(root):
    dump(root.parent, GOOD)
    assert read("mnist-m", root.parent).ids == NAMES


@pytest.mark.parametrize("both", [False, True])
def test_what_is_not_there_is_named(tmp_path, both):
    if both:
        (tmp_path / "mnist_m").mkdir()
    assert f"no {tmp_path}/mnist_m/mnist_m_train;" in absence("mnist-m", tmp_path)


def test_an_archive_that_is_not_unpacked(tmp_path, monkeypatch):
    archive = tmp_path / "mnist_m.tar.gz"
    archive.write_bytes(b"x")
    found, wanted = md5(archive), mnist_m.RAW.sums()["mnist_m.tar.gz"]
    assert f"{archive} is damaged: its md5 is {found}, not {wanted}" in refusal("mnist-m", tmp_path)
    monkeypatch.setattr(mnist_m, "MD5", found)
    assert f"but {archive} is: unpack it there (tar xzf mnist_m.tar.gz)" in absence("mnist-m", tmp_path)


def test_the_list_is_not_there(root):
    (root / "mnist_m_train_labels.txt").unlink()
    assert f"no {root}/mnist_m_train_labels.txt" in absence("mnist-m", root.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:-1], "99999999.png 3"], "1 of 15 listed images are not there, the first 99999999.png"),
        (lambda lines: [*lines[:-1], "../mnist_m_test/1.png 3"], "has a line 15 that is not `path label`"),
        (lambda lines: lines[1:], "names 14 of 15 images: it is cut short"),
        (lambda lines: [*lines, NAMES[0]], "has a line 16 that is not `path label`"),
        (lambda lines: [*lines[:-1], f"{NAMES[14]} ²"], "has a line 15 that is not `path label`"),
        (lambda lines: [*lines[:-1], f"{NAMES[14]} 10"], "none of the ten classes: 10"),
        (lambda lines: [*lines, f"{NAMES[0]} 9"], f"has a line 16 that gives {NAMES[0]} label 9, after 0"),
        (lambda lines: [], "names no image"),
    ],
)
def test_a_list_that_is_wrong_is_refused_in_one_line(root, change, message):
    lines = [f"{name} {number}" for name, number in zip(NAMES, LABELS, strict=True)]
    path = label(root.parent, change(lines))
    text = refusal("mnist-m", root.parent)
    assert message in text and str(path.parent) in text


def test_a_list_that_is_no_text(root):
    path = root / "mnist_m_train_labels.txt"
    path.write_bytes(b"\xff\xfe")
    assert f"{path} cannot be read" in refusal("mnist-m", root.parent)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "mnist_m").mkdir()
    path = tmp_path / "mnist_m" / "mnist_m_train"
    path.touch()
    label(tmp_path, ["1.png 1"])
    assert f"{path} is half extracted, or not all fetched" in refusal("mnist-m", tmp_path)


def test_a_picture_that_cannot_be_decoded_is_one_line(root):
    images, path = read("mnist-m", root.parent), root / "mnist_m_train" / NAMES[4]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="cannot be decoded") as error:
        images.pixels(4, 32)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"train": SMALL, "test": SMALL, "valid": SMALL}, "has images and no train_label: tf-dann's own script"),
        ({"train_label": LABELS}, "has no `train` of uint8 (images, 28, 28, 3)"),
        ({**GOOD, "train": SMALL.astype(np.float32)}, "has no `train` of uint8"),
        ({**GOOD, "train": SMALL[..., 0]}, "has no `train` of uint8"),
        ({**GOOD, "train": "SMALL"}, "has no `train` of uint8"),
        ({**GOOD, "train_label": LABELS[:-1]}, "has 14 labels for 15 images"),
        ({**GOOD, "train_label": [10, *LABELS[1:]]}, "none of the ten classes: 10, of image 0"),
        ({**GOOD, "train_label": np.zeros((15, 10))}, "neither a number per image nor one-hot"),
        ({**GOOD, "train_label": np.full((15, 10), 0.1)}, "neither a number per image nor one-hot"),
        ({**GOOD, "train_label": np.full(15, 1.5)}, "neither a number per image nor one-hot"),
        ({**GOOD, "train_label": np.full(15, np.nan)}, "neither a number per image nor one-hot"),
        ({**GOOD, "train_label": np.zeros((15, 1))}, "neither a number per image nor one-hot"),
        ({**GOOD, "train_label": ["three"] * 15}, "neither a number per image nor one-hot"),
        ({**GOOD, "train_label": [[1], [1, 2]]}, "neither a number per image nor one-hot"),
        ([SMALL, LABELS], "holds no dict, but a list"),
    ],
)
def test_a_pickle_that_is_wrong_is_refused_in_one_line(tmp_path, held, message):
    path = dump(tmp_path, held)
    text = refusal("mnist-m", tmp_path)
    assert message in text and str(path) in text
