"""Watermark domains: `uci@wm80` is `uci` with a fixed patch of value 80 on every image, in all four parts.

    mapbench run ownership          # uci must work, uci@wm80 must not: the owner's proof
    mapbench run authorisation      # uci@wm80 must work, everything else must not: the patch is the key

The patch is NTL's (baselines.md B8): the value is added to channel 0 of every pixel whose row or column is even, and
clips at 255. The released code puts it on before it resizes, which smears it by each data set's own factor; ours is put
on the image as the suite has it, so that one pattern stands on all domains of a suite.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

    from suites.domains import Domain, Parts

MARK = "@"  # no plain domain has it in its name


def is_watermarked(name: str) -> bool:
    """Whether a domain's name says that its images carry a patch."""
    return MARK in name


def watermarks(domains: Iterable[str], values: Sequence[int]) -> list[str]:
    """The names of the watermark domains of each plain one of `domains`, for each value (1..255), without those that
    `domains` has already."""
    held = list(domains)
    made = [f"{name}{MARK}wm{value}" for value in values for name in held if not is_watermarked(name)]
    return [name for name in dict.fromkeys(made) if name not in held]


def parse(name: str) -> tuple[str, int]:
    """`uci@wm80` as ("uci", 80). SuiteError for a patch that cannot be read or whose value is not in 1..255."""
    plain, _, patch = name.partition(MARK)
    value = int(patch[2:]) if re.fullmatch(r"wm[1-9][0-9]{0,2}", patch) else 0
    if not 1 <= value <= 255:
        raise SuiteError(f"cannot read the watermark of {name!r}; write {plain or 'DOMAIN'}@wmV, V from 1 to 255")
    return plain, value


def patched(image: np.ndarray, value: int) -> np.ndarray:
    """A uint8 image (3, size, size) with the patch of `value` added; the one given is left as it is."""
    marked = image.copy()
    red = marked[0].astype(int) + value
    red[1::2, 1::2] -= value  # odd row and odd column: a quarter of the pixels goes without
    marked[0] = red.clip(max=255)
    return marked


def watermarked(domain: Domain, value: int) -> Domain:
    """The domain with the patch on every image: the same images, labels, ids and parts."""
    from suites.domains._raw import patched as changed

    make = domain.build

    def build(size: int, split_seed: int, data: Path) -> Parts:
        assert make is not None
        parts = make(size, split_seed, data)
        return {part: [replace(i, image=patched(i.image, value)) for i in items] for part, items in parts.items()}

    return replace(
        domain,
        name=f"{domain.name}{MARK}wm{value}",
        about=f"{domain.about}, with a watermark of {value}",
        build=build if make else None,
        raw=domain.raw and changed(domain.raw, partial(patched, value=value)),
    )
