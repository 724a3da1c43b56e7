"""Domains: one file here is one domain; a new file is found, no list is edited (`mapbench list domains`).

A file says `DOMAINS = (Domain(...),)`. Its `build(size, split_seed, data)` returns the four parts, and they depend on
nothing else: no global random state, no clock, no order of listing. Files that begin with an underscore are helpers.
Every domain is also there with a patch on its images, as `NAME@wmV` (_watermark.py).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.domains._watermark import is_watermarked, parse, watermarked, watermarks
from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DIGITS", "Domain", "Item", "Parts", "find", "is_watermarked", "known", "parse", "watermarks"]

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Item:
    """One image: uint8 (3, size, size), its label, an id that is unique in the domain, and where it came from."""

    id: str
    label: int
    image: np.ndarray
    origin: Mapping[str, Any] = field(default_factory=dict)


Parts = Mapping[str, Sequence[Item]]


@dataclass(frozen=True)
class Domain:
    """A domain and how to build it. Bump `version` when its pixels, labels or split change.

    `build(size, split_seed, data)`: image size in pixels, which of the possible splits, and the folder with raw files
    (embedded domains ignore it). `alone` and `halves` name keys of `origin` that may not leak (see splits.check)."""

    name: str
    about: str
    classes: tuple[str, ...]
    build: Callable[[int, int, Path], Parts]
    version: int = 1
    alone: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()


@cache
def known() -> dict[str, Domain]:
    """All domains by name, sorted. SuiteError when two files claim one name."""
    found: dict[str, Domain] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        for domain in importlib.import_module(f"{__name__}.{module.name}").DOMAINS:
            if domain.name in found:
                raise SuiteError(f"suites/domains/{module.name}.py: the name {domain.name} is taken; choose another")
            found[domain.name] = domain
    return dict(sorted(found.items()))


def find(name: str) -> Domain:
    """The domain of that name, or SuiteError with a did-you-mean. `uci@wm80` is uci with a watermark of 80."""
    if is_watermarked(name):
        plain, value = parse(name)
        return watermarked(find(plain), value)
    if name not in known():
        close = get_close_matches(name, known(), 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known())}"
        raise SuiteError(f"unknown domain {name!r}; {hint}")
    return known()[name]
