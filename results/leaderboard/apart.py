"""Who differs from whom in a table of the board: its rows in pairs, on the same train cells.

    python -m pytest tests/results/leaderboard/test_reading.py

A board may have thirty tables and a hundred thousand pairs: they are dealt out by setting once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from results.pairs import Pairs, by_rule, eligible
from results.stats import SETTING

if TYPE_CHECKING:
    import pandas as pd

    from results.leaderboard.board import Board


class Setting(NamedTuple):
    """What the tables of one suite, split, part and backbone are made from."""

    pairs: pd.DataFrame  # of role target
    cells: pd.DataFrame  # protected models
    counted: Pairs  # eligible


def by_setting(board: Board) -> dict[tuple[Any, ...], Setting]:
    """The settings of a board, by their values of SETTING."""
    pairs, cells = board.pairs[board.pairs["role"] == "target"], board.cells[board.cells["kind"] == "protect"]
    computed, suites = by_rule(board.pairs), board.plan.get("suites") or {}
    of_cells = cells.groupby(SETTING, dropna=False).indices
    found = {}
    for at, rows in pairs.groupby(SETTING, dropna=False).indices.items():
        place: tuple[Any, ...] = at  # type: ignore[assignment]
        mine = pairs.iloc[rows]
        asked = set(zip(mine["source"], mine["target"], strict=True))
        counted, _ = eligible(asked, suites.get(place[0], {}), computed.get(place, set()))
        found[place] = Setting(mine, cells.iloc[of_cells.get(place, [])], counted)
    return found
