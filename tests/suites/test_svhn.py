"""SVHN from a MATLAB file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import SVHN

from suites.domains import known
from tests.suites.published import absence, cached, count, md5, read, refusal, served, whole

IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), np.uint8)
LABELS = [i * 3 % 10 for i in range(15)]
GOOD = {"X": IMAGES.transpose(1, 2, 3, 0), "y": np.array([[label or 10] for label in LABELS], np.uint8)}


@pytest.fixture
def write(tmp_path, monkeypatch):
    assert known()["svhn"].raw.count == 73_257
    count(monkeypatch, "svhn", None)

    def write(content: dict | bytes, stated: bool = True) -> Path:
        path = tmp_path / "train_32x32.mat"
        if isinstance(content, dict):
            savemat(path, content, do_compression=True)
        else:
            path.write_bytes(content)
        if stated:
            url, name, _ = SVHN.split_list["train"]
            monkeypatch.setitem(SVHN.split_list, "train", [url, name, md5(path)])
        return path

    return write


def test_pixels_and_labels_are_the_files_and_10_is_0(write, tmp_path):
    write(GOOD)
    images = read("svhn", tmp_path)
    assert images.ids == [f"train-{i:05}" for i in range(15)] and images.labels == LABELS and 0 in LABELS
    assert (whole(images, 32) == IMAGES).all()


def test_in_the_cache(write, tmp_path, suite):
    write(GOOD)
    for name, (label, image) in cached(suite, tmp_path, "svhn").items():
        assert label == LABELS[int(name[-5:])] and (image.transpose(1, 2, 0) == IMAGES[int(name[-5:])]).all()


def test_what_is_not_there_is_named(tmp_path):
    assert f"no {tmp_path}/train_32x32.mat" in absence("svhn", tmp_path)


def test_another_file_than_the_published_is_refused_by_its_md5(write, tmp_path):
    path = write(GOOD, stated=False)
    assert f"{path} is damaged: its md5 is {md5(path)}, not {SVHN.split_list['train'][2]}" in refusal("svhn", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"y": GOOD["y"]}, "has no array 'X'"),
        ({"X": GOOD["X"]}, "has no array 'y'"),
        ({**GOOD, "y": GOOD["y"][:-1]}, "has 14 labels for 15 images"),
        ({**GOOD, "y": GOOD["y"] + 5}, "none of the ten classes"),
        ({**GOOD, "X": GOOD["X"].astype(float)}, "has an X of float64 (15, 3, 32, 32), not of uint8"),
        ({**GOOD, "X": GOOD["X"][:16]}, "has an X of uint8 (15, 3, 16, 32)"),
        ({**GOOD, "X": GOOD["X"][..., 0]}, "cannot be read as a MATLAB file"),
        (b"no mat", "cannot be read as a MATLAB file"),
        (b"", "cannot be read as a MATLAB file"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(write, tmp_path, content, message):
    path = write(content)
    text = refusal("svhn", tmp_path)
    assert message in text and str(path) in text


@pytest.mark.parametrize("cut", [20, 1_000, 30_000])
def test_cut_short(write, tmp_path, cut):
    whole_file = write(GOOD).read_bytes()
    assert str(write(whole_file[:-cut])) in refusal("svhn", tmp_path)


def test_it_is_fetched_from_where_torchvision_says(write, tmp_path, monkeypatch):
    path = write(GOOD)
    _, name, stated = SVHN.split_list["train"]
    with served(tmp_path) as url:
        monkeypatch.setitem(SVHN.split_list, "train", [f"{url}{path.name}", name, stated])
        known()["svhn"].raw.download(tmp_path / "data")
    assert read("svhn", tmp_path / "data").labels == LABELS


def test_fewer_than_there_are_is_noticed(write, tmp_path, monkeypatch):
    write(GOOD)
    count(monkeypatch, "svhn", 16)
    assert "has 15 of 16 images" in refusal("svhn", tmp_path)
