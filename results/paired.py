"""Two variants on the same train cells: what one has more than the other, its interval, and whether it is shown.

    python -m pytest tests/results/test_paired.py

Pairs are fixed and the unit is the train cell (source, seed), as on the board: both variants began with the same f_s,
so what it gave to or took from both falls out of their difference. A Wilcoxon test or a bootstrap over (pair, seed)
takes the cells of one f_s for independent: where their effects are shared, its level at a nominal 5 % is many times
that (the test shows by how much).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from results.intervals import CONFIDENCE, error, interval, places_of
from results.pairs import TIE, Pairs
from results.stats import ATTACKERS, ROW

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05  # of Holm's p, below which two rows are told apart
COLUMNS = (
    "attacker", "a", "a_start", "b", "b_start", "family", "difference", "low", "high", "df", "units", "pairs",
    "p", "p_holm", "wins", "ties", "losses", "differs",
)  # fmt: skip


Laid = dict[str, np.ndarray]  # columns of the pairs table, each (pairs, seeds)


@dataclass(frozen=True)
class Difference:
    """Of one number, a less b, over what both have. NaN where it is undefined."""

    estimate: float
    low: float  # of the 95 % t-interval; NaN where no source has two train cells
    high: float
    df: int
    p: float  # two-sided, not corrected
    units: int  # train cells
    pairs: int
    wins: int  # observations (pair, seed) where a has more
    ties: int
    losses: int


def removed_difference(a: pd.DataFrame, b: pd.DataFrame, counted: Pairs, attacker: str = "argmax") -> Difference:
    """target_removed of a less that of b, over the eligible pairs and seeds that both have.

    `a`, `b`: rows of the pairs table of one variant each, role `target`; `counted`: the eligible pairs. As on the board
    (results.stats.removed_against) B is clipped at chance after the mean over seeds, and the interval linearises.
    """
    after = ATTACKERS[attacker][1]
    columns = ("target_before_balanced", after, "classes")
    pairs = sorted(counted & _pairs(a) & _pairs(b))
    seeds = sorted({*a["seed"], *b["seed"]})
    found = _removed(_laid(a, columns, pairs, seeds), _stacked([_laid(b, columns, pairs, seeds)]), pairs, after)
    return Difference(**{name: values[0].item() for name, values in found.items()})


def mean_difference(a: pd.DataFrame, b: pd.DataFrame, column: str) -> Difference:
    """A column of the pairs table, the mean of a less that of b: a train cell's targets first, sources weigh the same.

    Only the pairs and seeds that both have are in it.
    """
    pairs, seeds = sorted(_pairs(a) & _pairs(b)), sorted({*a["seed"], *b["seed"]})
    difference = _laid(a, (column,), pairs, seeds)[column] - _laid(b, (column,), pairs, seeds)[column]
    there = ~np.isnan(difference)
    strata = []
    for places in _by_source(pairs):
        mine, have = difference[places], there[places].any(axis=0)
        if have.any():
            strata.append(np.nanmean(mine[:, have], axis=0))
    estimate = float(np.mean([values.mean() for values in strata])) if strata else math.nan
    return _difference(estimate, strata, difference[there], int(there.any(axis=1).sum()))


def _removed(a: Laid, b: Laid, pairs: Sequence[tuple[str, str]], after: str) -> Laid:
    """The fields of Difference for a against each of `b`, whose arrays are (several, pairs, seeds)."""
    from scipy.stats import t

    there = ~np.isnan(a[after] + b[after] + a["target_before_balanced"] + b["target_before_balanced"])
    chance = 1 / np.where(there, a["classes"], 1.0).max(axis=2, initial=1.0, keepdims=True)
    shares, slopes, seen, varies, used = [], [], [], False, there.any(axis=2)
    for side in (a, b):
        before, left = side["target_before_balanced"], side[after]
        mean_before, mean_left = _row_means(before, there), _row_means(left, there)
        room, kept = mean_before - chance, np.maximum(mean_left - chance, 0.0)
        used = used & (np.nan_to_num(room) > 0)[..., 0]  # else there is nothing to remove
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(1 - (kept / room)[..., 0])
            slope = (kept * (before - mean_before) - room * (left - mean_left)) / room**2
            seen.append(1 - np.maximum(left - chance, 0.0) / room)
        slopes.append(np.where(kept > 0, slope, 0.0))  # a mean below chance adds a constant 1
        varies = varies | (np.nan_to_num(kept) > 0)[..., 0]
    there &= used[..., None]
    count = used.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = np.where(used, shares[0] - shares[1], 0.0).sum(axis=1) / count
    units, spread, df = _over_sources(np.where(there, slopes[0] - slopes[1], 0.0), there, used & varies, pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread /= count
        half = t.ppf((1 + CONFIDENCE) / 2, df) * spread
        p = 2 * t.sf(np.abs(estimate) / spread, df)
    same = spread <= TIE  # every train cell says the same, to the last digit that is kept
    apart = np.where(there, seen[0] - seen[1], 0.0)
    wins, losses = ((sign * apart > TIE).sum(axis=(1, 2)) for sign in (1, -1))
    return {
        "estimate": estimate,
        "low": np.where(df > 0, estimate - half, math.nan),
        "high": np.where(df > 0, estimate + half, math.nan),
        "df": df,
        "p": np.where(df > 0, np.where(same, np.abs(estimate) <= TIE, p), math.nan),
        "units": units,
        "pairs": count,
        "wins": wins,
        "ties": there.sum(axis=(1, 2)) - wins - losses,
        "losses": losses,
    }


def _over_sources(
    change: np.ndarray, there: np.ndarray, varies: np.ndarray, pairs: Sequence[tuple[str, str]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train cells, standard error of the sum over pairs, and its degrees of freedom: results.intervals.error for many.

    A source whose pairs are all below chance cannot vary: it adds neither variance nor degrees of freedom, unless no
    source can.
    """
    units, squares, inverse, df = (np.zeros(len(change)) for _ in range(4))
    some = varies.any(axis=1)
    for mine in _by_source(pairs):
        have = there[:, mine].any(axis=1)
        n = have.sum(axis=1)
        free = (varies[:, mine].any(axis=1) | ~some) & (n > 0)
        sums = change[:, mine].sum(axis=1)
        middle = np.divide(sums.sum(axis=1), n, out=np.zeros(len(n)), where=n > 0)
        units += n
        squares += np.where(free, (np.where(have, sums - middle[:, None], 0.0) ** 2).sum(axis=1), 0.0)
        inverse += np.divide(1.0, n, out=np.zeros(len(n)), where=free)
        df += np.where(free, n - 1, 0)
    spread = np.sqrt(np.divide(squares, df, out=np.full(len(df), math.nan), where=df > 0) * inverse)
    return units.astype(int), spread, df.astype(int)


def _difference(estimate: float, strata: list[np.ndarray], seen: np.ndarray, pairs: int) -> Difference:
    """The estimate with its interval and test from what each train cell adds; `seen`: the observations' differences."""
    from scipy.stats import t

    wins, losses = int((seen > TIE).sum()), int((seen < -TIE).sum())
    counts = {"units": sum(map(len, strata)), "pairs": pairs}
    counts |= {"wins": wins, "ties": len(seen) - wins - losses, "losses": losses}
    weight = max(len(strata), 1)
    (spread, df), (low, high, _) = error(strata, weight), interval(estimate, strata, weight)
    if not df or spread <= TIE:  # every train cell says the same, to the last digit that is kept
        p = math.nan if not df else float(abs(estimate) <= TIE)
        return Difference(estimate, low, high, df, p, **counts)
    return Difference(estimate, low, high, df, float(2 * t.sf(abs(estimate) / spread, df)), **counts)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p, in the order given: below 0.05 at a family-wise level of 5 %. A NaN stays one, and is not
    counted: what was not tested needs no correction."""
    known = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    adjusted, highest = [math.nan] * len(p), 0.0
    for done, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - done) * value))
        adjusted[place] = highest
    return adjusted


def compared(
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    cells: pd.DataFrame,
    counted: Pairs,
    attackers: Collection[str] = tuple(ATTACKERS),
) -> pd.DataFrame:
    """Every two rows of one table of the board, for each attacker, on the one primary metric: target_removed.

    `rows`: of results.stats.board, one suite, split, part and backbone. `pairs`, `cells`: the tables; `counted`: the
    eligible pairs. Columns, fractions in 0..1:

      attacker              argmax | matched | decoded
      a, a_start, b, b_start   variant and start of the two; a stands before b in `rows`
      family                "methods": both are; "controls": a is a method, b a control, whatever their order in `rows`
      difference, low, high, df, units, pairs, p, wins, ties, losses    as in Difference, a less b
      p_holm                corrected over all rows of this attacker and family
      differs               what the two sides mix ("torch 2.14.0, 2.15.0"), "" if nothing: then the difference is not
                            that of the methods alone
    """
    import pandas as pd

    used = pairs[(pairs["role"] == "target") & pairs["current"].astype(bool)]
    named = sorted(counted & _pairs(used))
    seeds = sorted(set(used["seed"]))
    columns = ["target_before_balanced", "classes", *(after for _, after in ATTACKERS.values())]
    groups = places_of(used, *ROW)
    order = list(rows[ROW].itertuples(index=False, name=None))
    laid = _stacked([_laid(used.iloc[groups.get(row, [])], columns, named, seeds) for row in order])
    ran = cells[(cells["kind"] == "protect") & cells["current"].astype(bool) & (cells["status"] == "ok")]
    ran_by = places_of(ran, *ROW)
    made_on = [_made_on(ran.iloc[ran_by.get(row, [])]) for row in order]
    control = rows["control"].to_numpy(dtype=bool)
    places = np.arange(len(order))
    made = []
    for place in np.flatnonzero(~control):
        beside = places[control | (places > place)]
        if not len(beside):
            continue
        facts = {
            "a": order[place][-2], "a_start": order[place][-1], "b": [order[other][-2] for other in beside],
            "b_start": [order[other][-1] for other in beside],
            "family": np.where(control[beside], "controls", "methods"),
            "differs": [_differs(made_on[place], made_on[other]) for other in beside],
        }  # fmt: skip
        one = {name: values[place] for name, values in laid.items()}
        others = {name: values[beside] for name, values in laid.items()}
        for attacker in attackers:
            found = _removed(one, others, named, ATTACKERS[attacker][1])
            found["difference"] = found.pop("estimate")
            made.append(pd.DataFrame({"attacker": attacker, **facts, **found, "p_holm": math.nan}))
    frame = pd.concat(made, ignore_index=True)[list(COLUMNS)] if made else pd.DataFrame(columns=list(COLUMNS))
    for family in places_of(frame, "attacker", "family").values():
        frame.loc[family, "p_holm"] = holm(frame["p"].iloc[family].tolist())
    return frame


def cliques(order: Sequence[Any], apart: Collection[frozenset[Any]]) -> list[list[Any]]:
    """Runs of neighbours in `order` (best first) none of which are told apart: the bars of a critical-difference
    diagram. Only the longest ones, and none of one alone."""
    found: list[list[Any]] = []
    reached = -1
    for begin in range(len(order)):
        end = begin
        while end + 1 < len(order) and not any(frozenset((order[end + 1], x)) in apart for x in order[begin : end + 1]):
            end += 1
        if end > begin and end > reached:
            found.append(list(order[begin : end + 1]))
            reached = end
    return found


def _made_on(ran: pd.DataFrame) -> dict[str, frozenset[str]]:
    return {name: frozenset(ran[name].dropna()) for name in ("torch", "device")}


def _differs(one: dict[str, frozenset[str]], other: dict[str, frozenset[str]]) -> str:
    mixed = {name: sorted(one[name] | other[name]) for name in one}
    return "; ".join(f"{name} {', '.join(values)}" for name, values in mixed.items() if len(values) > 1)


def _pairs(rows: pd.DataFrame) -> Pairs:
    return set(zip(rows["source"], rows["target"], strict=True))


def _by_source(pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Places of each source's pairs."""
    found: dict[str, list[int]] = {}
    for place, (source, _) in enumerate(pairs):
        found.setdefault(source, []).append(place)
    return list(found.values())


def _laid(rows: pd.DataFrame, columns: Sequence[str], pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> Laid:
    """Columns as arrays (pairs, seeds), NaN where there is no row; the mean where there are several."""
    at = {pair: i for i, pair in enumerate(pairs)}
    when = {seed: i for i, seed in enumerate(seeds)}
    down, across, places = [], [], []
    for place, (source, target, seed) in enumerate(zip(rows["source"], rows["target"], rows["seed"], strict=True)):
        if (source, target) in at:
            down.append(at[source, target])
            across.append(when[seed])
            places.append(place)
    count = np.zeros((len(pairs), len(seeds)))
    np.add.at(count, (down, across), 1)
    laid = {}
    for name in columns:
        total = np.zeros_like(count)
        np.add.at(total, (down, across), rows[name].to_numpy(dtype=float)[places])
        laid[name] = np.divide(total, count, out=np.full_like(total, math.nan), where=count > 0)
    return laid


def _stacked(laid: Sequence[Laid]) -> Laid:
    """Of several variants: (several, pairs, seeds)."""
    return {name: np.stack([one[name] for one in laid]) for name in laid[0]} if laid else {}


def _row_means(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(..., pairs, 1): the mean over the seeds that are there; NaN where none is."""
    n = there.sum(axis=-1, keepdims=True)
    total = np.where(there, values, 0.0).sum(axis=-1, keepdims=True)
    return np.divide(total, n, out=np.full(total.shape, math.nan), where=n > 0)
