"""The four disjoint parts of every domain, and the checks that nothing leaks from one into another.

    train (the owner's) | attacker (an adversary's or auditor's) | val (choosing) | test (the number)

Embedded domains say how many images each part has; of all others the suite's rule does, `split: ntlbench` (the default)
or `legacy5k`.

All choices come from sha256 of names, so they depend neither on the order in which a folder is listed nor on a global
random state; both have made published splits irreproducible (an os.listdir order, a loader that re-seeds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

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


Rule = Literal["ntlbench", "legacy5k"]
MOST = {"train": 8000, "val": 1000, "test": 1000}  # NTLBench's caps (baselines.md A2)
LEGACY = {"train": 5000, "val": 1000, "test": 1000}  # NTL's and CUTI's train part and held-out part, which was both


def sizes(rule: Rule, n: int, capped: bool = True) -> dict[str, int]:
    """How many of `n` images each part gets (baselines.md A2). SuiteError where the rule cannot be kept.

    ntlbench: 8 : 1 : 1, at most 8,000 : 1,000 : 1,000 where `capped`. legacy5k: 5,000 : 1,000 as NTL and CUTI, and
    1,000 more, because their held-out images were looked at for choosing too. The attacker's part is a tenth of what is
    the train part there: ours are disjoint, theirs was not."""
    if rule == "legacy5k":
        if n < sum(LEGACY.values()):
            raise SuiteError(f"split legacy5k takes {sum(LEGACY.values()):,} images, and there are {n:,}: use ntlbench")
        held = dict(LEGACY)
    else:
        held = {"train": n * 8 // 10, "val": n // 10, "test": n // 10}
        if capped:
            held = {part: min(held[part], MOST[part]) for part in held}
    attacker = held["train"] // 10
    return {**held, "train": held["train"] - attacker, "attacker": attacker}


def deal(
    ids: Sequence[str], labels: Sequence[int], rule: Rule, salt: Sequence[Any], per_class: int | None = None,
    capped: bool = True,
) -> dict[str, list[int]]:  # fmt: skip
    """Positions in `ids` of each part, by `sizes`: val, test, train and attacker in the order of `shuffled(ids,
    *salt)`, so that neither the order of `ids` nor what else there is can change them.

    With `per_class`, so many of each class, the first in that order, are all that is dealt. A part is not balanced."""
    place = {name: i for i, name in enumerate(ids)}
    if len(place) < len(ids):
        raise SuiteError(f"{salt[0]}: an id occurs twice among its images")
    order = [place[name] for name in shuffled(ids, *salt)]
    if per_class:
        taken: dict[int, int] = {}
        kept = []
        for i in order:
            taken[labels[i]] = taken.get(labels[i], 0) + 1
            if taken[labels[i]] <= per_class:
                kept.append(i)
        order = kept
    counts = sizes(rule, len(order), capped)
    parts, start = {}, 0
    for part in ("val", "test", "train", "attacker"):  # NTLBench's order; train and attacker share its train part
        parts[part] = order[start : start + counts[part]]
        start += counts[part]
        if not parts[part]:
            raise SuiteError(f"{salt[0]}: {len(order)} images are too few: none would be left for {part}")
    return {part: parts[part] for part in PARTS}


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
