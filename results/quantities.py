"""One quantity of two sides, and the difference: source drop, what is removed, what is left, what attacks get.

    python -m pytest tests/results/test_versus.py

Both sides are cut down to the (source, target, seed) that both have before anything is averaged, so `a` less `b` is the
difference beside them. The means are the board's (results/stats.py, results/attacks.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.intervals import error, interval, places_of
from results.paired import Difference, mean_difference, removed_difference
from results.pairs import TIE, Pairs
from results.stats import ATTACKERS, removed_against

if TYPE_CHECKING:
    import pandas as pd

KEY = ["source", "target", "seed"]  # of an observation
DROP, REMOVED, AFTER, ATTACKED = "source_drop", "target_removed", "target_after", "target_attacked"
PRIMARY = "argmax"  # the attacker whose target_removed is quoted, and whose p are corrected


@dataclass(frozen=True)
class Line:
    """One quantity of both sides, over the observations that both have; fractions, NaN where undefined."""

    quantity: str  # source_drop | target_removed | target_after | target_attacked
    attacker: str  # argmax | matched | decoded | `probe[n=20]`; "" of the source drop
    a: float
    b: float
    seeds: int
    difference: Difference  # a less b
    p_holm: float = math.nan  # of two runs, the primary quantity: corrected over all that is compared


def once(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers by observation (index KEY); a target blocked alone and in a union is one, their mean, as on the board."""
    numbers = ["classes", *rows.select_dtypes("float").columns]
    return rows.groupby(KEY)[numbers].mean()


def common(a: pd.DataFrame, b: pd.DataFrame, *columns: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both of `once`, on the observations for which both have a number in these columns."""
    for column in columns:
        a, b = a[a[column].notna()], b[b[column].notna()]
    both = a.index.intersection(b.index).sort_values()
    return a.loc[both], b.loc[both]


def lines(a: pd.DataFrame, b: pd.DataFrame, counted: Pairs) -> list[Line]:
    """What is compared of two variants: `once` of their rows of `pairs`, `counted` the eligible pairs."""
    removed = [_removed(a, b, counted, attacker, after) for attacker, (_, after) in ATTACKERS.items()]
    return [_source_drop(a, b), *removed, _accuracy(a, b, counted, AFTER, PRIMARY, ATTACKERS[PRIMARY][1])]


def attacked(a: pd.DataFrame, b: pd.DataFrame, counted: Pairs, attack: str) -> list[Line]:
    """And of what one attack finds: `once` of their rows of `attacks`."""
    a, b = common(a, b)
    return [_removed(a, b, counted, attack, ATTACKED), _accuracy(a, b, counted, ATTACKED, attack, ATTACKED)]


def _source_drop(a: pd.DataFrame, b: pd.DataFrame) -> Line:
    """Over all pairs, eligible or not; sources weigh the same."""
    a, b = (side.reset_index() for side in common(a, b, DROP))
    means = [side.groupby(["source", "seed"])[DROP].mean().groupby("source").mean().mean() for side in (a, b)]
    return Line(DROP, "", float(means[0]), float(means[1]), a["seed"].nunique(), mean_difference(a, b, DROP))


def _removed(a: pd.DataFrame, b: pd.DataFrame, counted: Pairs, attacker: str, after: str) -> Line:
    """target_removed, with what the attacker gets in column `after`; pairs weigh the same."""
    a, b = common(a, b, "target_before_balanced", after)
    # a pair has a figure where f_s knows of the target, which of two runs is said of two f_s
    for side in (a, b):
        means = side.groupby(["source", "target"])[["target_before_balanced", "classes"]].mean()
        counted = counted - set(means.index[means["target_before_balanced"] <= 1 / means["classes"]])
    left, right = (_of(side, counted).assign(target_after_balanced=lambda rows: rows[after]) for side in (a, b))
    columns = {"it": ATTACKERS["argmax"]}
    values = [removed_against(side, counted, columns)["target_removed_it"] for side in (left, right)]
    change, seeds = removed_difference(left, right, counted), left["seed"].nunique()
    return Line(REMOVED, attacker, values[0], values[1], seeds, change)


def _accuracy(a: pd.DataFrame, b: pd.DataFrame, counted: Pairs, quantity: str, attacker: str, column: str) -> Line:
    """A plain accuracy on the targets; pairs weigh the same."""
    left, right = (_of(side, counted) for side in common(a, b, column))
    means = [side.groupby(["source", "target"])[column].mean().mean() for side in (left, right)]
    seeds = left["seed"].nunique()
    return Line(quantity, attacker, float(means[0]), float(means[1]), seeds, by_pair(left, right, column))


def _of(side: pd.DataFrame, counted: Pairs) -> pd.DataFrame:
    rows = side.reset_index()
    counts = [pair in counted for pair in zip(rows["source"], rows["target"], strict=True)]
    return rows[np.array(counts, dtype=bool)].reset_index(drop=True)


def by_pair(a: pd.DataFrame, b: pd.DataFrame, column: str) -> Difference:
    """Of a plain column, pairs weighing the same, as in the board's target_after (mean_difference weighs sources).

    `a` and `b` hold the same observations in the same order: columns source, target, seed and `column`.
    """
    from scipy.stats import t

    change = (a[column] - b[column]).to_numpy(dtype=float)
    seeds, means = a["seed"].to_numpy(), []
    units: dict[str, dict[int, float]] = {}  # what each train cell adds to the sum over pairs, from its mean
    for (source, _), places in places_of(a, "source", "target").items():
        mean = float(change[places].mean())
        means.append(mean)
        mine = units.setdefault(source, {})
        for seed, value in zip(seeds[places], change[places], strict=True):
            mine[seed] = mine.get(seed, 0.0) + float(value) - mean
    estimate = float(np.mean(means)) if means else math.nan
    strata, weight = [np.array(list(values.values())) for values in units.values()], max(len(means), 1)
    (spread, _), (low, high, df) = error(strata, weight), interval(estimate, strata, weight)
    p = math.nan
    if df:
        p = 2 * float(t.sf(abs(estimate) / spread, df)) if spread > TIE else float(abs(estimate) <= TIE)
    wins, losses = int((change > TIE).sum()), int((change < -TIE).sum())
    return Difference(
        estimate=estimate, low=low, high=high, df=df, p=p, units=sum(map(len, units.values())), pairs=len(means),
        wins=wins, ties=len(change) - wins - losses, losses=losses,
    )  # fmt: skip
