"""Strength fronts: variants of one method that differ in one number, in the order of that number.

    mapbench run strength && mapbench leaderboard runs/strength --html board.html

A method's single point says little: with more strength it removes more and costs more, and two methods are fairly
compared by their lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.stats import ROW

if TYPE_CHECKING:
    import pandas as pd

    from results.leaderboard.board import Board

Front = tuple[str, list[tuple[int, float]]]  # the param, and (row, its value) by value


def settings(board: Board) -> dict[tuple[Any, ...], dict[str, Any]]:
    """All params of each variant, defaults included, by its identity (stats.ROW)."""
    planned = [{"split_seed": 0, **cell} for cell in board.plan.get("cells", [])]
    ran = board.cells.to_dict("records")
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in (cell for cell in [*planned, *ran] if cell["kind"] == "protect"):
        params = cell["params"]
        known = json.loads(params) if isinstance(params, str) else dict(params or {})
        found.setdefault(tuple(cell[name] for name in ROW), known)
    return found


def of(frame: pd.DataFrame, params: Sequence[Mapping[str, Any]]) -> list[Front]:
    """The fronts among a table's methods; `params` has the params of each row. Rows are counted from 0.

    A variant may stand on several fronts. Controls have none, and a param that is a word is no strength."""
    alike: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for i, (method, control, own) in enumerate(zip(frame["method"], frame["control"], params, strict=True)):
        for name, value in {} if control else own.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                rest = json.dumps({k: v for k, v in own.items() if k != name}, sort_keys=True)
                alike.setdefault((str(method), name, rest), []).append((i, float(value)))
    fronts = [
        (name, sorted(points, key=lambda point: point[1]))
        for (_, name, _), points in alike.items()
        if len({value for _, value in points}) > 1
    ]
    return sorted(fronts, key=lambda front: front[1][0][0])
