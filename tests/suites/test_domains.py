"""The four domains of digits-mini hold what they claim, and nothing leaks between parts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_image

from suites import SuiteError, cache, domains
from suites.splits import PARTS

SPLITS = (0, 1)


def items(suite, data, split_seed, domain):
    return list(cache.items(suite, data, split_seed, domain))


def by_part(suite, data, split_seed, domain, key):
    found = defaultdict(list)
    for item in items(suite, data, split_seed, domain):
        found[item["part"]].append(item["origin"][key])
    return found


@pytest.mark.parametrize("domain", ["uci", "uci-m", "print", "street"])
def test_part_sizes_and_shapes(suite, data, domain):
    sizes = {part: len(cache.read(suite, data, 0, domain, part).labels) for part in PARTS}
    assert sizes == {"train": 1150, "attacker": 200, "val": 150, "test": 297 if domain.startswith("uci") else 300}
    part = cache.read(suite, data, 0, domain, "val")
    assert part.images.dtype == np.uint8 and part.images.shape == (150, 3, 32, 32) and not part.images.flags.writeable
    assert part.labels.dtype == np.int64


def test_uci_pixels_are_the_bilinear_enlargement(suite, data):
    raw = load_digits()
    part = cache.read(suite, data, 0, "uci", "val")
    ids = [int(i["id"]) for i in items(suite, data, 0, "uci") if i["part"] == "val"]
    assert (part.labels == raw.target[ids]).all()
    # twice the distance between pixel centres is odd, so no output pixel sits on an input one: average by hand
    source = raw.images[ids[7]]
    y, x = 13, 18  # centres at 13.5/4-.5 = 2.875 and 18.5/4-.5 = 4.125
    top = source[2, 4] * 0.875 + source[2, 5] * 0.125
    bottom = source[3, 4] * 0.875 + source[3, 5] * 0.125
    expected = np.rint((top * 0.125 + bottom * 0.875) * 255 / 16)
    assert (part.images[7][:, y, x] == expected).all()
    assert (part.images[7][:, 0, 0] == np.rint(source[0, 0] * 255 / 16)).all()  # the border repeats, never fades
    assert part.images[7].max() > 150


@pytest.mark.parametrize("split_seed", SPLITS)
def test_handwriting_is_split_in_contiguous_blocks(suite, data, split_seed):
    for part, indices in by_part(suite, data, split_seed, "uci", "digit").items():
        held = set(indices)
        starts = [i for i in held if (i - 1) % 1797 not in held]
        assert len(starts) == 1, f"{part} is not one block on the circle"
    assert sorted(item["origin"]["digit"] for item in items(suite, data, split_seed, "uci")) == list(range(1797))


@pytest.mark.parametrize("split_seed", SPLITS)
def test_twins_are_in_the_same_part(suite, data, split_seed):
    plain, blended = (
        {i["id"]: (i["part"], i["label"]) for i in items(suite, data, split_seed, d)} for d in ("uci", "uci-m")
    )
    assert plain == blended


def test_blend_is_the_difference_of_photograph_and_twin(suite, data):
    digit = cache.read(suite, data, 0, "uci", "test").images
    blend = cache.read(suite, data, 0, "uci-m", "test").images
    told = [i["origin"] for i in items(suite, data, 0, "uci-m") if i["part"] == "test"]
    for k in (0, 100, 296):
        left, top, right, bottom = told[k]["crop"]
        crop = load_sample_image(told[k]["tile"].split(":")[0])[top:bottom, left:right].transpose(2, 0, 1)
        assert (blend[k] == np.abs(crop.astype(int) - digit[k].astype(int))).all()


@pytest.mark.parametrize("split_seed", SPLITS)
def test_no_pixel_of_a_photograph_is_seen_by_two_parts(suite, data, split_seed):
    seen = {(part, name): np.zeros((427, 640), bool) for part in PARTS for name in ("china.jpg", "flower.jpg")}
    for item in items(suite, data, split_seed, "uci-m"):
        left, top, right, bottom = item["origin"]["crop"]
        seen[item["part"], item["origin"]["tile"].split(":")[0]][top:bottom, left:right] = True
    for name in ("china.jpg", "flower.jpg"):
        assert sum(seen[part, name].astype(int) for part in PARTS).max() == 1
    assert all(mask.any() for mask in seen.values())


@pytest.mark.parametrize("split_seed", SPLITS)
def test_no_font_file_is_shared(suite, data, split_seed):
    fonts = {}
    for domain in ("print", "street"):
        used = by_part(suite, data, split_seed, domain, "font")
        fonts[domain, "fitting"] = set(used["train"]) | set(used["attacker"])
        fonts[domain, "scoring"] = set(used["val"]) | set(used["test"])
    assert sum(len(hand) for hand in fonts.values()) == len(set().union(*fonts.values()))
    assert all(len(hand) >= 5 for hand in fonts.values())


@pytest.mark.parametrize("domain", ["print", "street"])
@pytest.mark.parametrize("part", PARTS)
def test_rendered_parts_are_balanced_and_without_copies(suite, data, domain, part):
    read = cache.read(suite, data, 0, domain, part)
    assert set(np.bincount(read.labels, minlength=10)) == {len(read.labels) // 10}
    assert len({image.tobytes() for image in read.images}) == len(read.images)


def test_looks(suite, data):
    """print is grey and light on dark, street is coloured and of both polarities, in every part."""
    for part in PARTS:
        grey = cache.read(suite, data, 0, "print", part).images
        assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 0] == grey[:, 2]).all()
        assert (grey[:, 0, 0, 0] < grey[:, 0, 6:26, 6:26].max((1, 2))).all()
        colour = cache.read(suite, data, 0, "street", part).images.astype(float)
        spread = colour.mean((2, 3)).max(1) - colour.mean((2, 3)).min(1)
        assert np.median(spread) > 30
        middle, rim = colour[:, :, 10:22, 12:20].mean((1, 2, 3)), colour[:, :, :2].mean((1, 2, 3))
        assert 0.25 < (middle > rim).mean() < 0.75


def test_unknown_domain_gets_a_hint():
    with pytest.raises(SuiteError, match=r"unknown domain 'ucim'; did you mean 'uci-m'\?"):
        domains.find("ucim")


def test_a_new_file_is_a_new_domain_and_a_taken_name_is_refused(tmp_path, monkeypatch):
    text = "from suites.domains import Domain\nDOMAINS = (Domain({name!r}, 'x', ('a', 'b'), lambda *a: {{}}),)\n"
    (tmp_path / "mine_for_test.py").write_text(text.format(name="mine"))
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(tmp_path)])
    try:
        domains.known.cache_clear()
        assert set(domains.known()) >= {"mine", "uci", "uci-m", "print", "street"}
        (tmp_path / "zwei_for_test.py").write_text(text.format(name="uci"))
        domains.known.cache_clear()
        with pytest.raises(SuiteError, match=r"the name uci is taken"):
            domains.known()
    finally:
        domains.known.cache_clear()
