"""USPS from libsvm's text in bzip2."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import USPS

from suites.domains import known
from suites.domains._digits import enlarged
from tests.suites.published import absence, cached, count, md5, read, refusal, served, whole

LABELS = [i * 3 % 10 for i in range(15)]
VALUES = np.random.default_rng(0).integers(-1000, 1001, (15, 256)) / 1000  # -1 to 1


def lines(labels: list[int] = LABELS) -> list[str]:
    return [
        f"{label + 1} {' '.join(f'{place}:{value:g}' for place, value in enumerate(row, 1))} \n"
        for label, row in zip(labels, VALUES, strict=True)
    ]


@pytest.fixture
def write(tmp_path, monkeypatch):
    assert known()["usps"].raw.count == 7_291
    count(monkeypatch, "usps", None)

    def write(content: str | bytes, stated: bool = True) -> Path:
        path = tmp_path / "usps.bz2"
        path.write_bytes(content if isinstance(content, bytes) else bz2.compress(content.encode()))
        if stated:
            url, name, _ = USPS.split_list["train"]
            monkeypatch.setitem(USPS.split_list, "train", [url, name, md5(path)])
        return path

    return write


def grey() -> np.ndarray:
    """-1 is 0, 1 is 255, and fractions are cut off."""
    return np.floor((VALUES.astype(np.float32) + 1) / 2 * 255).astype(np.uint8).reshape(-1, 16, 16)


def test_pixels_and_labels_are_the_files(write, tmp_path):
    write("".join(lines()))
    images = read("usps", tmp_path)
    assert images.ids == [f"train-{i:05}" for i in range(15)] and images.labels == LABELS
    made = whole(images, 32)
    assert all((made[i, ..., c] == enlarged(grey()[i])).all() for i in range(15) for c in range(3))


def test_in_the_cache(write, tmp_path, suite):
    write("".join(lines()))
    held = cached(suite, tmp_path, "usps")
    assert len(held) == 14  # eight, one and one of ten, rounded down
    for name, (label, image) in held.items():
        place = int(name[-5:])
        assert label == LABELS[place] and (image == enlarged(grey()[place])).all()


def test_what_is_not_there_is_named(tmp_path):
    assert f"no {tmp_path}/usps.bz2" in absence("usps", tmp_path)


def test_another_file_than_the_published_is_refused_by_its_md5(write, tmp_path):
    path = write("".join(lines()), stated=False)
    wanted = USPS.split_list["train"][2]
    assert f"{path} is damaged: its md5 is {md5(path)}, not {wanted}" in refusal("usps", tmp_path)


def short(line: str) -> str:
    return line.rsplit(" ", 2)[0] + "\n"  # 255 values


DAMAGED = {
    "cut short": (bz2.compress("".join(lines()).encode())[:-50], "Compressed file ended"),
    "not bzip2": (b"no bzip2", "Invalid data stream"),
    "one line short": ("".join([short(lines()[0]), *lines()[1:]]), "cannot be read as lines of a label and 256 values"),
    "all lines short": ("".join(map(short, lines())), "cannot be read as lines of a label and 256 values"),
    "by accident a whole number": (("1" + " 1:0" * 255 + "\n") * 256, "has 256 labels for 255 images"),
    "nothing but empty lines": ("\n\n", "cannot be read as lines"),
    "an empty line": ("".join(["\n", *lines()]), "cannot be read as lines"),
    "no numbers": ("".join(lines()).replace(":", ":x"), "cannot be read as lines"),
    "a label too high": ("".join(lines([*LABELS[:-1], 10])), "none of the ten classes: 10, of image 14"),
    "a label too low": ("".join(lines([-1, *LABELS[1:]])), "none of the ten classes: -1, of image 0"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_what_is_damaged_is_refused_in_one_line(write, tmp_path, how):
    content, message = DAMAGED[how]
    path = write(content)
    text = refusal("usps", tmp_path)
    assert message in text and str(path) in text


def test_it_is_fetched_from_where_torchvision_says(write, tmp_path, monkeypatch):
    path = write("".join(lines()))
    _, name, stated = USPS.split_list["train"]
    with served(tmp_path) as url:
        monkeypatch.setitem(USPS.split_list, "train", [f"{url}{path.name}", name, stated])
        known()["usps"].raw.download(tmp_path / "data")
    assert read("usps", tmp_path / "data").labels == LABELS


def test_fewer_than_there_are_is_noticed(write, tmp_path, monkeypatch):
    write("".join(lines()))
    count(monkeypatch, "usps", 7_291)
    assert "has 15 of 7,291 images" in refusal("usps", tmp_path)
