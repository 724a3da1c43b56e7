"""Training curves for the page's drill-down, thinned and as small integers: what a record holds and no table does.

python -m pytest tests/results/leaderboard/test_packed.py -k curves
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import curves, records
from results.place import is_local

MOST = 1500  # cells; a larger board's page could hold no curve, so none is read
LEVELS = 63  # a curve's values are steps between its lowest and its highest: two digits each
FIRST = "loss"  # the one that is kept where there is no room for all


def of(cells: Sequence[Mapping[str, Any]], out: Path) -> list[Any] | None:
    """For each protect cell: [name, lowest, highest, levels] of each of its curves.

    None where the directory is a URL (a record is a request there) or the board too large for its page to hold them."""
    if not is_local(out) or len(cells) > MOST:
        return None
    return [[] if cell["status"] == "missing" else _of(out, cell) for cell in cells]


def loss(drawn: list[Any]) -> list[Any]:
    """The same with the loss of each cell alone, or with its first curve where it has none."""
    return [sorted(lines, key=lambda line: line[0] != FIRST)[:1] for lines in drawn]


def _of(out: Path, cell: Mapping[str, Any]) -> list[Any]:
    key = cell["key"]
    record = records.read(out / "records" / key[:2] / f"{key}.{int(cell['attempt'])}.{cell['uuid']}.json")
    lines = {} if isinstance(record, records.Damaged) else curves.of(record)
    known = {name: line for name, line in lines.items() if any(value is not None for value in line)}
    return [[name, *levels(curves.thin(line))] for name, line in known.items()]


def levels(line: Sequence[float | None]) -> list[Any]:
    """Lowest, highest, and each value as a step between the two; null stays null."""
    known = [value for value in line if value is not None]
    low, high = min(known), max(known)
    room = (high - low) or 1.0
    steps = [None if value is None else round(LEVELS * (value - low) / room) for value in line]
    return [float(f"{low:.4g}"), float(f"{high:.4g}"), steps]
