"""Who comes first on a board: the source budget, then what is removed, and shared ranks where intervals overlap.

    python -m pytest tests/results/test_stats.py

Used by results.stats.board. Nothing is ranked by st_d, and nothing across scenarios.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from results.pairs import SETTING, TIE

if TYPE_CHECKING:
    import pandas as pd

SOURCE_BUDGET = 0.02  # a method whose source_drop interval reaches this is ranked after those that stay under it


def ranked(frame: pd.DataFrame, attackers: Iterable[str], within: Sequence[str]) -> pd.DataFrame:
    """Adds rank_basis and rank_a: rows under the source budget first, then by target_removed_a.

    A row's rank is one more than the number of those before it that are clearly better: of the tier above, or with an
    interval that lies wholly above its own. So rows share a rank where their intervals overlap, and a row without an
    interval is taken at its estimate. Never better than that of a row with more removed: overlap is not transitive.
    Rows are ranked `within` the values of those columns; controls, and rows with missing pairs, have no rank.
    """
    point = frame["source_drop_high"].isna()
    frame = frame.assign(rank_basis=np.where(point, "point", "interval"))
    drop = frame["source_drop_high"].where(~point, frame["source_drop"])
    fit = ~frame["control"].astype(bool) & (frame["pairs_done"] == frame["pairs_expected"]) & drop.notna()
    for attacker in attackers:
        removed = frame[f"target_removed_{attacker}"]
        low, high = (frame[f"target_removed_{attacker}_{end}"].fillna(removed) for end in ("low", "high"))
        ranks: dict[Any, int] = {}
        for _, group in frame[fit & removed.notna()].groupby(list(within), dropna=False):
            best_first = sorted(group.index, key=lambda row: (drop[row] >= SOURCE_BUDGET, -removed[row], row))
            dear = (drop[best_first] >= SOURCE_BUDGET).to_numpy()
            lows, highs = low[best_first].to_numpy(), high[best_first].to_numpy()
            last = 1
            for place, row in enumerate(best_first):
                better = (dear[:place] < dear[place]) | (lows[:place] > highs[place] + TIE)
                ranks[row] = last = max(last, 1 + int(better.sum()))
        frame[f"rank_{attacker}"] = [ranks.get(row) for row in frame.index]
        frame[f"rank_{attacker}"] = frame[f"rank_{attacker}"].astype("Int64")
    keys = [*SETTING, "scenario", "control", "tuned", "rank_argmax", "_worth", "variant"]
    order = frame.assign(_worth=-frame["target_removed_argmax"]).sort_values(keys, kind="stable", na_position="last")
    return order.drop(columns="_worth").reset_index(drop=True)
