"""A watermark domain is its plain domain, image by image, with NTL's patch on it and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from suites import SuiteError, cache, domains
from suites.domains._watermark import patched, watermarks
from suites.splits import PARTS


def test_patch_is_ntls():
    """baselines.md F: 768 of 32x32 pixels (even row or even column), channel 0 alone, saturating at 255."""
    image = np.full((3, 32, 32), 200, dtype=np.uint8)
    marked = patched(image, 20)
    assert marked.dtype == np.uint8 and (image == 200).all()
    assert (marked[1:] == 200).all() and (marked[0] == 220).sum() == 768
    rows, columns = np.nonzero(marked[0] == 200)
    assert len(rows) == 256 and (rows % 2 == 1).all() and (columns % 2 == 1).all()
    assert set(np.unique(patched(image, 255)[0])) == {200, 255}


def test_same_images_labels_and_parts_as_the_plain_domain(suite, data):
    marked = suite.model_copy(update={"domains": ["uci", "uci@wm80"]})
    plain, other = (list(cache.items(marked, data, 0, name)) for name in marked.domains)
    told = [[(i["id"], i["part"], i["label"], i["origin"]) for i in held] for held in (plain, other)]
    assert told[0] == told[1]
    assert all(a["sha256"] != b["sha256"] for a, b in zip(plain, other, strict=True))
    prints = cache.fingerprints(marked, data, 0)
    assert prints["uci"] != prints["uci@wm80"]
    for part in PARTS:
        before, after = (cache.read(marked, data, 0, name, part).images for name in marked.domains)
        assert (after == np.stack([patched(image, 80) for image in before])).all()


def test_what_is_known_of_the_plain_domain_is_known_of_it():
    plain, marked = domains.find("uci-m"), domains.find("uci-m@wm20")
    assert marked.name == "uci-m@wm20"
    assert (marked.classes, marked.alone, marked.version) == (plain.classes, plain.alone, plain.version)


def test_names_are_made_once_and_of_plain_domains_only():
    assert watermarks(["uci", "uci@wm80", "print"], [80, 20, 20]) == ["print@wm80", "uci@wm20", "print@wm20"]


@pytest.mark.parametrize("name", ["uci@wm", "uci@wm0", "uci@wm999", "uci@wm256", "uci@wm08", "uci@80", "uci@wm8@wm8"])
def test_a_patch_that_cannot_be_read_is_one_line(name):
    with pytest.raises(SuiteError) as error:
        domains.find(name)
    assert str(error.value) == f"cannot read the watermark of {name!r}; write uci@wmV, V from 1 to 255"


def test_the_domain_below_a_watermark_must_be_there():
    with pytest.raises(SuiteError, match=r"unknown domain 'ucim'; did you mean 'uci-m'\?"):
        domains.find("ucim@wm80")
    with pytest.raises(SuiteError, match="unknown domain 'foo'; there are"):
        domains.find("foo@wm80")
