"""Domains: one file here is one domain; a new file is found, no list is edited (`mapbench list domains`).

A file says `DOMAINS = (Domain(...),)`. A domain is read from a data set on the disk (`raw`, see _raw.py), or it is
embedded: its `build(size, split_seed, data)` returns the four parts. Either way they depend on nothing else: no global
random state, no clock, no order of listing. Files that begin with an underscore are helpers. Every domain is also there
with a patch on its images, as `NAME@wmV` (_watermark.py); a folder of a user's own is one too (_folder.py).
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

from suites.domains._raw import MissingData, Raw
from suites.domains._watermark import is_watermarked, parse, watermarked, watermarks
from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DIGITS", "Domain", "Item", "MissingData", "Parts", "Raw", "find", "is_watermarked", "known", "parse", "watermarks",
]  # fmt: skip

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
    """A domain, and how to build it or where to read it. Bump `version` when its pixels, labels or split change.

    `build(size, split_seed, data)`, of embedded domains: image size in pixels, which of the possible splits, and the
    folder with raw files (which they ignore). `alone` and `halves` name keys of `origin` that may not leak (see
    splits.check). `raw`, of all others: one data set, cut by the suite's rule (see splits.sizes); `per_class` images of
    each class are taken of it, where that is the protocol, and `capped` says whether the rule's caps hold."""

    name: str
    about: str
    classes: tuple[str, ...]
    build: Callable[[int, int, Path], Parts] | None = None
    version: int = 1
    alone: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()
    raw: Raw | None = None
    per_class: int | None = None
    capped: bool = True
    folder: str = ""  # of a user's own: as the suite file names it


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


def find(name: str, folders: Mapping[str, str] | None = None) -> Domain:
    """The domain of that name, or SuiteError with a did-you-mean. `uci@wm80` is uci with a watermark of 80.

    `folders` are a user's own domains, by name."""
    if is_watermarked(name):
        plain, value = parse(name)
        return watermarked(find(plain, folders), value)
    if name in (folders or {}):
        from suites.domains._folder import own

        return own(name, (folders or {})[name])
    if name not in known():
        close = get_close_matches(name, known(), 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known())}, and folder:PATH"
        raise SuiteError(f"unknown domain {name!r}; {hint}")
    return known()[name]
