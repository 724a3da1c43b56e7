"""The training curves of a cell: out of its record, thinned for a page, and as one line of text.

    mapbench show runs/digits-mini KEY

A curve has one number for each epoch; None where nothing was measured (accuracy on val, which is looked at every few
epochs) and where what was measured is no number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Curve = list[float | None]

POINTS = 24  # enough to see a shape by, few enough for a page that holds thousands of curves
LEAST = 4  # first, last, lowest and highest
LEVELS = "▁▂▃▄▅▆▇█"


def of(record: Mapping[str, Any]) -> dict[str, Curve]:
    """The curves of a record by name, in the record's order; those without a value for any epoch are left out."""
    curves = record.get("curves") or {}
    return {str(name): [_number(value) for value in line] for name, line in curves.items() if line}


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if known else None


def kept(line: Sequence[float | None], points: int = POINTS) -> list[int]:
    """The places of at most `points` values that stand for the curve, in order: first, last, a lowest, a highest, and
    of each stretch between them the first value that there is. Raises ValueError for fewer than 4 points."""
    if points < LEAST:
        raise ValueError(f"a curve is thinned to {LEAST} points or more, not to {points}")
    count = len(line)
    if count <= points:
        return list(range(count))
    known = [(value, place) for place, value in enumerate(line) if value is not None]
    places = {0, count - 1, *((min(known)[1], max(known)[1]) if known else ())}
    stretches = points - len(places)
    for number in range(stretches):
        stretch = range(count * number // stretches, count * (number + 1) // stretches)
        free = [place for place in stretch if place not in places]
        places.update(([place for place in free if line[place] is not None] or free)[:1])
    return sorted(places)


def thin(line: Sequence[float | None], points: int = POINTS) -> Curve:
    """At most `points` values of a curve, in order, see `kept`; a short curve as it is."""
    return [line[place] for place in kept(line, points)]


def ends(line: Sequence[float | None]) -> dict[str, float | None]:
    """What is said of a curve: the `first`, `last`, `min` and `max` of what was measured, None where nothing was."""
    known = [value for value in line if value is not None]
    if not known:
        return dict.fromkeys(("first", "last", "min", "max"))
    return {"first": known[0], "last": known[-1], "min": min(known), "max": max(known)}


def spark(line: Sequence[float | None], width: int = POINTS) -> str:
    """A curve as text of at most `width` characters, from its lowest value to its highest; a blank where none is."""
    values = thin(line, width)
    said = ends(values)
    low, high = said["min"], said["max"]

    def drawn(value: float | None) -> str:
        if value is None or low is None or high is None:
            return " "
        share = (value - low) / (high - low) if high > low else 0.5  # a curve that never moves runs in the middle
        return LEVELS[min(int(share * len(LEVELS)), len(LEVELS) - 1)]

    return "".join(map(drawn, values))
