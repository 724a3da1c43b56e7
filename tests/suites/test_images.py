"""Image files: read as torchvision's ImageFolder and default_loader read them, and one line for what is damaged."""

from __future__ import annotations

import io
import os
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from suites import SuiteError
from suites.domains._files import EXTENSIONS, listed, tree
from suites.domains._raw import MissingData, Raw, squared
from tests.suites.trees import picture


def raw_of(root, *classes):
    return Raw("pictures", ("pictures/CLASS/IMAGE",), "draw some", lambda data, raw: tree(raw, data / root, classes))


def made(mode, form, **how):
    """A picture of a mode as bytes of a format; palettes with transparency, 16 bits and CMYK among them."""
    image = Image.fromarray(picture("x"))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(picture("x")[..., 1]))
        image = image.convert(mode)
    else:
        image = image.convert(mode)
    into = io.BytesIO()
    image.save(into, form, **how)
    return into.getvalue()


MODES = {
    "rgb.png": lambda: made("RGB", "PNG"),
    "grey.png": lambda: made("L", "PNG"),
    "one-bit.png": lambda: made("1", "PNG"),
    "16-bit.png": lambda: made("I;16", "PNG"),
    "palette.png": lambda: made("P", "PNG"),
    "transparent-palette.png": lambda: made("P", "PNG", transparency=bytes(range(256))),
    "alpha.png": lambda: made("RGBA", "PNG"),
    "grey-alpha.png": lambda: made("LA", "PNG"),
    "rgb.JPG": lambda: made("RGB", "JPEG"),
    "grey.jpeg": lambda: made("L", "JPEG"),
    "cmyk.jpg": lambda: made("CMYK", "JPEG"),
    "a-gif-in-truth.jpg": lambda: made("P", "GIF"),
    "a.bmp": lambda: made("RGB", "BMP"),
    "a.ppm": lambda: made("RGB", "PPM"),
    "a.pgm": lambda: made("L", "PPM"),
    "a.tif": lambda: made("RGB", "TIFF"),
    "cmyk.tiff": lambda: made("CMYK", "TIFF"),
    "a.webp": lambda: made("RGBA", "WEBP", lossless=True),
}


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    for name, make in MODES.items():
        (tmp_path / "a" / name).write_bytes(make())
    (tmp_path / "a" / "deep" / "x.png").write_bytes(made("RGB", "PNG"))
    (tmp_path / "a" / "notes.txt").write_text("none")
    return tmp_path


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_ids_and_pixels_are_torchvisions(pictures):
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS, default_loader

    assert EXTENSIONS == IMG_EXTENSIONS
    images = raw_of("", "a").read(pictures)
    theirs = sorted(os.path.relpath(path, pictures) for path, _ in ImageFolder(pictures).samples)
    assert list(images.ids) == theirs and len(theirs) == len(MODES) + 1
    for index, name in enumerate(images.ids):
        wanted = default_loader(pictures / name)
        small = wanted.resize((20, 20), Image.Resampling.BILINEAR)
        assert (images.pixels(index, 20) == np.asarray(small).transpose(2, 0, 1)).all(), name
        assert (squared(wanted, 32) == images.pixels(index, 32)).all()


def damaged(content, seed):
    draw = random.Random(seed)
    held = bytearray(content)
    for _ in range(draw.choice((1, 5, 50))):
        held[draw.randrange(len(held))] = draw.randrange(256)
    return bytes(held[: draw.choice((len(held), draw.randrange(len(held))))])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODES)
def test_damage_is_one_line_or_an_image(tmp_path, name):
    """Whatever PIL makes of damaged bytes, and it makes of them struct.error, IndexError and more."""
    (tmp_path / "a").mkdir()
    at, content = tmp_path / "a" / name, MODES[name]()
    refused = 0
    at.write_bytes(content)
    images = raw_of("", "a").read(tmp_path)
    for seed in range(30):
        at.write_bytes(damaged(content, seed))
        try:
            assert images.pixels(0, 8).shape == (3, 8, 8)
        except SuiteError as error:
            refused += 1
            assert "\n" not in str(error) and f"pictures: {at} " in str(error) and "pictures/CLASS/IMAGE" in str(error)
    assert refused > 3


@pytest.mark.parametrize("error", [MemoryError(), IndexError("x\ny"), Image.DecompressionBombError("too large")])
def test_whatever_is_raised_is_one_line(tmp_path, monkeypatch, error):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(made("RGB", "PNG"))
    images = raw_of("", "a").read(tmp_path)

    def raising(*_):
        raise error

    monkeypatch.setattr(Image.Image, "resize", raising)
    with pytest.raises(SuiteError) as said:
        images.pixels(0, 8)
    reason = " ".join(str(error).split()) or "MemoryError"
    assert f"{tmp_path / 'a' / '1.png'} cannot be decoded ({reason})" in str(said.value) and "\n" not in str(said.value)


def test_removed_after_it_was_listed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(made("RGB", "PNG"))
    images = raw_of("", "a").read(tmp_path)
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(SuiteError, match=r"1.png is not there: half extracted"):
        images.pixels(0, 8)


def test_links_are_followed_and_none_leads_in_a_circle(tmp_path):
    """A picture that is found on two ways would be trained on and tested on."""
    (tmp_path / "kept" / "more").mkdir(parents=True)
    (tmp_path / "data" / "a").mkdir(parents=True)
    for at in (tmp_path / "kept" / "1.png", tmp_path / "kept" / "more" / "2.png", tmp_path / "data" / "a" / "3.png"):
        at.write_bytes(made("RGB", "PNG"))
    (tmp_path / "data" / "a" / "l").symlink_to(tmp_path / "kept")
    (tmp_path / "data" / "a" / "m").symlink_to(tmp_path / "kept")
    (tmp_path / "kept" / "more" / "up").symlink_to(tmp_path / "kept")
    (tmp_path / "data" / "a" / "l-1.png").symlink_to(tmp_path / "kept" / "1.png")
    wanted = ["a/3.png", "a/l-1.png", "a/l/1.png", "a/l/more/2.png"]  # sorted as paths, not folder by folder
    assert list(raw_of("data", "a").read(tmp_path).ids) == wanted


@pytest.mark.parametrize("how", ["up", "across", "one folder"])
def test_a_link_does_not_give_an_image_two_labels(tmp_path, how):
    for name in ("x", "y"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").write_bytes(made("RGB", "PNG"))
    raw = raw_of("data", "x", "y")
    if how == "up":  # the folder of all classes: nothing in it is x's
        (tmp_path / "data" / "x" / "up").symlink_to(tmp_path / "data")
        assert list(raw.read(tmp_path).ids) == ["x/1.png", "y/1.png"]
        return
    if how == "across":
        (tmp_path / "data" / "y" / "more").symlink_to(tmp_path / "data" / "x")
        message = r"y/more leads to images of 'x', which cannot be 'y' too"
    else:
        shutil.rmtree(tmp_path / "data" / "y")
        (tmp_path / "data" / "y").symlink_to(tmp_path / "data" / "x")
        message = "y is the same folder as x"
    with pytest.raises(SuiteError, match=message):
        raw.read(tmp_path)


def test_a_list_without_classes_says_one_label_of_an_image(tmp_path):
    (tmp_path / "1.png").write_bytes(made("RGB", "PNG"))
    (tmp_path / "a.txt").write_text("1.png 4\n")
    (tmp_path / "b.txt").write_text("1.png   4\n\n./1.png 5\n")
    lists = [tmp_path / "a.txt", tmp_path / "b.txt"]
    raw = Raw("pictures", ("IMAGE",), "draw some", lambda data, raw: listed(raw, data, lists))
    with pytest.raises(SuiteError, match=r"b.txt has a line 3 that gives 1.png label 5, after 4; expected"):
        raw.read(tmp_path)
    (tmp_path / "b.txt").write_text("1.png 4")
    images = raw.read(tmp_path)
    assert (list(images.ids), list(images.labels)) == (["1.png"], [4])


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").symlink_to(tmp_path / "annex")
    with pytest.raises(SuiteError, match=r"a/1.png is a link to nothing: not all fetched; expected"):
        raw_of("", "a").read(tmp_path)


def test_names_of_any_letters_but_of_no_others(tmp_path):
    (tmp_path / "Käse").mkdir()
    for name in ("größe 1.png", "猫.png", "a\nb.png", "x\xa0y.png"):
        (tmp_path / "Käse" / name).write_bytes(made("RGB", "PNG"))
    assert len(raw_of("", "Käse").read(tmp_path).ids) == 4
    try:
        (tmp_path / "Käse" / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this disk has UTF-8 alone")
    with pytest.raises(SuiteError) as error:
        raw_of("", "Käse").read(tmp_path)
    assert r"a file whose name is not UTF-8: 'K\xe4se/\udcff.png'" in str(error.value)


def test_a_path_with_a_new_line_in_it_is_still_one_line(tmp_path):
    with pytest.raises(MissingData) as error:
        raw_of("a\nb", "x").read(tmp_path)
    assert "\n" not in str(error.value)
