"""What attacks find: means and t-intervals per variant and attack, from the attacks table (design 5).

    python -m pytest tests/results/test_attacks.py

The same pairs, units and intervals as the board's (results/stats.py): eligible pairs are fixed and weigh the same, the
unit is the train cell (source, seed).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from results.intervals import interval, places_of
from results.pairs import Pairs, by_rule, eligible
from results.stats import ROW, removed_against

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = [*ROW, "attack", "n"]
# each the mean over pairs of a column of the attacks table
MEANS = {
    "target_before": "target_before_balanced",
    "target_after": "target_after_balanced",
    "target_attacked": "target_attacked",
    "target_attacked_before": "target_attacked_before",
    "target_scratch": "target_scratch",
    "source_attacked": "source_attacked",
}
COLUMNS = (
    *IDENTITY, "method", "control", "seeds", "units", "pairs_done", "pairs_expected", "failed", *MEANS,
    "target_removed", "target_removed_low", "target_removed_high", "target_gain", "target_gain_low", "target_gain_high",
)  # fmt: skip

Unit = tuple[str, str, int]  # source, target, seed


def board(attacks: pd.DataFrame, cells: pd.DataFrame, pairs: pd.DataFrame, plan: Mapping[str, Any]) -> pd.DataFrame:
    """One row per variant (as the board has it) and attack; none where nothing was attacked.

    The three tables are results.tables', as DataFrames. Only current rows and eligible pairs count. Class-balanced
    accuracies, fractions in 0..1; NaN where a number is undefined or a cell that it needs is not there.

      n                       int, images the attacker has of the target
      seeds, units, failed    int, as on the board
      pairs_done, pairs_expected   int, eligible pairs with all their seeds, and those asked for
      target_before, target_after            of f_s and of the protected net, not attacked
      target_attacked_before, target_attacked      the same two under this attack
      target_scratch          of a net trained on the same n images alone
      source_attacked         of the attacked net on its source
      target_removed          as on the board, against this attacker      _low, _high
      target_gain             target_attacked - target_scratch: what holding the model is worth to him      _low, _high
    """
    import pandas as pd

    asked = _asked(cells, plan)
    used = attacks[attacks["current"].astype(bool) & attacks["method"].notna()]
    once = [*IDENTITY, "source", "target", "seed"]
    # a target blocked alone and in a union is one observation: their mean
    used = used.groupby(once, as_index=False, dropna=False)[["classes", *used.select_dtypes("float").columns]].mean()
    by_row = dict(list(used.groupby(IDENTITY, dropna=False)))
    computed = by_rule(pairs) if asked else {}
    rows = []
    for identity, (facts, units, failed) in asked.items():
        suite = (plan.get("suites") or {}).get(identity[0], {})
        counted, _ = eligible({unit[:2] for unit in units}, suite, computed.get(identity[:4], set()))
        mine = by_row.get(identity, used.iloc[:0])
        counts = [pair in counted for pair in zip(mine["source"], mine["target"], strict=True)]
        mine = mine[np.array(counts, dtype=bool)]
        have = set(zip(mine["source"], mine["target"], mine["seed"], strict=True))
        wanted = {unit[:2] for unit in units if unit[:2] in counted}
        rows.append(
            dict(zip(IDENTITY, identity, strict=True))
            | facts
            | {
                "seeds": mine["seed"].nunique(),
                "units": len({(source, seed) for source, _, seed in have}),
                "pairs_done": len(wanted - {unit[:2] for unit in units - have}),
                "pairs_expected": len(wanted),
                "failed": failed,
            }
            | {name: _mean(mine, column) for name, column in MEANS.items()}
            | _removed(mine, counted)
            | _gain(mine)
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n": int, "seeds": int, "units": int, "failed": int})


def _asked(
    cells: pd.DataFrame, plan: Mapping[str, Any]
) -> dict[tuple[Any, ...], tuple[dict[str, Any], set[Unit], int]]:
    """Each row's facts, the units that it was asked for (by the plan, or by the cells there are), and its failures."""
    ran = cells[(cells["kind"] == "attack") & cells["current"].astype(bool)].to_dict("records")
    found: dict[tuple[Any, ...], tuple[dict[str, Any], set[Unit], int]] = {}
    for cell in [*({"split_seed": 0, **cell} for cell in plan.get("cells") or ()), *ran]:
        if cell["kind"] != "attack" or not isinstance(cell["method"], str):  # f_s, or no model, is read beside the rest
            continue
        identity = (*(cell[name] for name in ROW), cell["attack"], int(cell["n"]))
        facts = {"method": cell["method"], "control": bool(cell["control"])}
        facts, units, failed = found.get(identity, (facts, set(), 0))
        lost = cell.get("status") not in (None, "ok", "skipped")
        found[identity] = facts, units | {(cell["source"], cell["target"], int(cell["seed"]))}, failed + lost
    return found


def _by_pair(mine: pd.DataFrame, values: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """source, seeds and values of each pair."""
    for (source, _), places in places_of(mine, "source", "target").items():
        yield source, mine["seed"].to_numpy()[places], values[places]


def _mean(mine: pd.DataFrame, column: str) -> float:
    """Over seeds, then over pairs; NaN where one value is missing, for a mean of the rest is of other pairs."""
    means = [values.mean() for _, _, values in _by_pair(mine, mine[column].to_numpy(dtype=float))]
    return float(np.mean(means)) if means else math.nan


def _removed(mine: pd.DataFrame, counted: Pairs) -> dict[str, float]:
    numbers = removed_against(mine, counted, {"attacked": ("target_attacked_before", "target_attacked")})
    return {f"target_removed{end}": numbers[f"target_removed_attacked{end}"] for end in ("", "_low", "_high")}


def _gain(mine: pd.DataFrame) -> dict[str, float]:
    difference = (mine["target_attacked"] - mine["target_scratch"]).to_numpy(dtype=float)
    units: dict[str, dict[int, float]] = {}  # what each train cell adds to the sum over pairs, from its mean
    means = []
    for source, seeds, values in _by_pair(mine, difference):
        means.append(values.mean())
        mine_units = units.setdefault(source, {})
        for seed, value in zip(seeds, values, strict=True):
            mine_units[seed] = mine_units.get(seed, 0.0) + float(value - values.mean())
    estimate = float(np.mean(means)) if means else math.nan
    low, high, _ = interval(estimate, [np.array(list(v.values())) for v in units.values()], max(len(means), 1))
    return {"target_gain": estimate, "target_gain_low": low, "target_gain_high": high}
