"""The four disjoint parts of every domain, and the checks that nothing leaks from one into another.

    train (the owner's) | attacker (an adversary's or auditor's) | val (choosing) | test (the number)

All choices come from sha256 of names, so they depend neither on the order in which a folder is listed nor on a global
random state; both have made published splits irreproducible (an os.listdir order, a loader that re-seeds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

    from suites.domains import Item

PARTS = ("train", "attacker", "val", "test")
HALF = {"train": "fitting", "attacker": "fitting", "val": "scoring", "test": "scoring"}
T = TypeVar("T")


def digest(*names: Any) -> bytes:
    """sha256 of the names: the root of every random choice (Python's own hash() differs from process to process)."""
    return hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()


def rng(*names: Any) -> np.random.Generator:
    """A generator that depends on the names alone."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(digest(*names)[:16], "big"))


def shuffled(ids: Iterable[str], *salt: Any) -> list[str]:
    """The ids in an order that depends on the set of ids and the salt, not on the order they came in."""
    return sorted(ids, key=lambda name: (digest(*salt, name), name))


def cut(ordered: Sequence[T], sizes: Mapping[str, int], offset: int = 0) -> dict[str, list[T]]:
    """Contiguous blocks of `ordered`, read as a circle that starts at `offset`, in the order of PARTS.

    SuiteError when the sizes ask for more than there is."""
    n = len(ordered)
    if sum(sizes[part] for part in PARTS) > n:
        raise SuiteError(f"parts of {[sizes[part] for part in PARTS]} do not fit into {n} images; make them smaller")
    parts, start = {}, offset
    for part in PARTS:
        parts[part] = [ordered[i % n] for i in range(start, start + sizes[part])]
        start += sizes[part]
    return parts


def check(domain: str, parts: Mapping[str, Sequence[Item]], alone: Sequence[str], halves: Sequence[str]) -> None:
    """Refuse a split that leaks (SuiteError).

    An id occurs once. An origin named in `alone` (a region of a photograph) belongs to one part, one named in `halves`
    (a font file) either to train and attacker or to val and test."""
    if set(parts) != set(PARTS):
        raise SuiteError(f"{domain}: parts are {', '.join(sorted(parts))}; a domain has {', '.join(PARTS)}")
    seen: set[str] = set()
    owner: dict[tuple[str, str], str] = {}
    for part in PARTS:
        for item in parts[part]:
            if item.id in seen:
                raise SuiteError(f"{domain}: image {item.id} is in the split twice")
            seen.add(item.id)
            sides = [(key, part) for key in alone] + [(key, HALF[part]) for key in halves]
            for key, side in sides:
                held = owner.setdefault((key, str(item.origin[key])), side)
                if held != side:
                    raise SuiteError(f"{domain}: {key} {item.origin[key]} leaks from {held} into {side}")
