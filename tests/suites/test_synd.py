"""SYND from a folder per class; and what all published sets have in common."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suites import SuiteError
from suites.domains import MissingData, known
from suites.domains._digits import enlarged
from tests.suites.published import absence, cached, read, refusal, whole

SIZES = [(45, 45), (60, 40), (32, 32), (20, 31), (28, 28)]  # wide, high


@pytest.fixture
def root(tmp_path) -> Path:
    """Twenty pictures, of several sizes; in PNG's bits under the name .jpg, so that pixels are exact."""
    rng, root = np.random.default_rng(0), tmp_path / "synthetic_digits" / "imgs_train"
    for number in range(20):
        wide, high = SIZES[number % 5]
        (root / str(number % 10)).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (high, wide, 3), np.uint8))
        image.save(root / str(number % 10) / f"{number:05}.jpg", format="PNG")
    return root


def test_pixels_are_enlarged_in_rgb_and_labels_are_the_folders(root):
    images = read("synd", root.parents[1])
    assert images.ids == sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg")) and len(images.ids) == 20
    assert images.labels == [int(name[0]) for name in images.ids]
    for name, image in zip(images.ids, whole(images, 32), strict=True):
        assert (image == enlarged(np.asarray(Image.open(root / name)))).all()


def test_in_the_cache(root, suite):
    for name, (label, image) in cached(suite, root.parents[1], "synd").items():
        assert label == int(name[0])
        assert (image.transpose(1, 2, 0) == enlarged(np.asarray(Image.open(root / name)))).all()


def test_a_grey_one_becomes_three_channels(root):
    Image.fromarray(np.full((40, 40), 77, np.uint8)).save(root / "0" / "00000.jpg", format="PNG")
    assert (read("synd", root.parents[1]).pixels(0, 32) == 77).all()


def test_what_is_not_there_is_named(tmp_path):
    assert f"no {tmp_path}/synthetic_digits/imgs_train;" in absence("synd", tmp_path)


def test_a_class_that_is_not_there_or_empty(root):
    for path in (root / "7").iterdir():
        path.unlink()
    assert f"{root / '7'} has no image" in refusal("synd", root.parents[1])
    shutil.rmtree(root / "7")
    assert f"{root / '7'} is not there" in refusal("synd", root.parents[1])


def test_a_picture_that_cannot_be_decoded_is_one_line(root):
    images, path = read("synd", root.parents[1]), root / "0" / "00000.jpg"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SuiteError, match="cannot be decoded") as error:
        images.pixels(0, 32)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


NAMES = ["mnist", "usps", "svhn", "mnist-m", "synd", "cifar10", "cifar9", "stl10", "stl9"] + [
    f"rmnist-{angle}" for angle in (0, 15, 30, 45, 60, 75)
]


def test_no_torch_is_loaded_to_say_that_data_is_missing(tmp_path):
    """A plan takes a second, and so must its refusal."""
    code = f"""
import sys
from dataclasses import replace
from pathlib import Path
from suites import domains
for name in {NAMES}:
    try:
        domains.find(name).raw.read(Path({str(tmp_path)!r}))
    except domains.MissingData as error:
        assert len(str(error).splitlines()) == 1
        continue
    raise SystemExit(name)
print({{'torch', 'torchvision', 'scipy'}} & set(sys.modules))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "set()\n"


def test_an_md5_is_asked_for_only_of_a_file_that_is_there(tmp_path):
    """Who knows it is torchvision, and that takes seconds to load."""
    raw = replace(known()["mnist"].raw, sums=lambda: pytest.fail("asked"))
    with pytest.raises(MissingData):
        raw.whole(tmp_path / "a", tmp_path)


def test_a_path_that_cannot_be_looked_at_is_one_line(tmp_path):
    raw = known()["usps"].raw
    with pytest.raises(SuiteError, match=r"cannot be read \(File name too long\)") as error:
        raw.need(tmp_path / ("a" * 300))
    assert "\n" not in str(error.value) and raw.layout[0] in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_with_a_watermark_it_is_the_same_set(name, tmp_path):
    absence(f"{name}@wm80", tmp_path)
