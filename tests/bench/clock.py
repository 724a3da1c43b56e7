"""How two ways of doing the same work are compared: the same answers first, then CPU time in interleaved rounds.

    PYTHONPATH=. .venv/bin/pytest tests/bench/test_ratios.py

A ratio of two times of one machine says the same on another; the times do not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.published import Published

LEAST = 0.05  # CPU seconds of one reading, below which the clock's own grain shows; shorter work is repeated
ROUNDS = 7  # the median of so many is steady to a few percent, where single rounds differ by a third


class Unequal(AssertionError):
    """The two sides do not give the same answer, so their times say nothing."""


def agree(what: str, ours: float, theirs: float, relative: float = 0.0) -> None:
    """Raises Unequal where two numbers differ by more than `relative`, or one of them is none."""
    apart = abs(ours - theirs)
    if not (math.isfinite(apart) and apart <= relative * abs(theirs)):
        raise Unequal(f"{what}: ours {ours!r}, theirs {theirs!r}, {apart / (abs(theirs) or 1):.1e} apart")


def within(what: str, error: float, most: float) -> None:
    """Raises Unequal where a relative error is more than `most`, or no number."""
    if not error <= most:
        raise Unequal(f"{what}: {error:.1e} apart, at most {most:.0e} is allowed")


@dataclass(frozen=True)
class Sides:
    """What is timed; both did the same work, or it was never built. A side that keeps the clock itself, since only part
    of what it does counts, returns its CPU seconds; all others return None."""

    ours: Callable[[], float | None]
    theirs: Callable[[], float | None]


@dataclass(frozen=True)
class Counts:
    """Numbers that need no clock, and what they are made of."""

    ours: int
    theirs: int
    of: str


@dataclass(frozen=True)
class Benchmark:
    """One ratio. `prepare` raises Unequal unless both sides agree. With `at_most`, the ratio is ours over theirs and
    may be at most `floor`; otherwise theirs over ours, and at least that."""

    id: str
    work: str
    floor: float
    prepare: Callable[[Published], Sides | Counts]
    at_most: bool = False
    rounds: int = ROUNDS
    against: str = ""  # what theirs is, where it is ours too; else the published form, or a peer's checkout


@dataclass(frozen=True)
class Measured:
    """A benchmark that was run; milliseconds of CPU time, or counts."""

    benchmark: Benchmark
    against: str
    ours: Sequence[float]
    theirs: Sequence[float]
    of: str = ""
    ratios: Sequence[float] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.ours, self.theirs, strict=True)
        ratios = [a / b if self.benchmark.at_most else b / a for a, b in pairs]
        object.__setattr__(self, "ratios", ratios)

    @property
    def passes(self) -> bool:
        reached, floor = median(self.ratios), self.benchmark.floor
        return reached <= floor if self.benchmark.at_most else reached >= floor

    def json(self) -> dict[str, Any]:
        """As bench.json has it."""
        b = self.benchmark
        return {
            "id": b.id, "work": b.work, "against": self.against, "floor": b.floor,
            "bound": "at most" if b.at_most else "at least", "passes": self.passes, "rounds": len(self.ours),
            "unit": "trainings" if self.of else "ms of CPU time", "ours": spread(self.ours),
            "theirs": spread(self.theirs), "ratio": spread(self.ratios), "of": self.of,
        }  # fmt: skip


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}


def seconds(work: Callable[[], float | None], times: int = 1) -> float:
    """CPU seconds of one call, the mean of `times`."""
    begun, kept = time.process_time(), []
    for _ in range(times):
        kept.append(work())
    took = time.process_time() - begun
    own = [k for k in kept if k is not None]
    return (sum(own) if own else took) / times


def measure(benchmark: Benchmark, form: Published) -> Measured:
    """Equality, a call of each side to warm it, then rounds that take turns in who comes first."""
    sides = benchmark.prepare(form)
    against = benchmark.against or form.name
    if isinstance(sides, Counts):
        return Measured(benchmark, against, [sides.ours], [sides.theirs], sides.of)
    works = (sides.ours, sides.theirs)
    # what takes a minute was warmed by `prepare`
    times = [math.ceil(LEAST / max(seconds(work), 1e-6)) if benchmark.rounds >= 5 else 1 for work in works]
    read: list[list[float]] = [[], []]
    for turn in range(benchmark.rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            read[side].append(1e3 * seconds(works[side], times[side]))
    return Measured(benchmark, against, read[0], read[1])
