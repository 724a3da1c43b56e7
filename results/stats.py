"""The numbers of a leaderboard: means, t-intervals and ranks, from the pairs and cells tables (design 5).

    python -m pytest tests/results/test_stats.py

Pairs are fixed, the unit is the train cell (source, seed): the runs that share an f_s are one observation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from results.intervals import interval, places_of
from results.pairs import SETTING, Pairs, by_rule, eligible, targets
from results.ranks import ranked
from results.records import CLOSED

if TYPE_CHECKING:
    import pandas as pd

    from results.intervals import Columns

# Each attacker's accuracy on f_s and on the protected net, as columns of `pairs`.
ATTACKERS = {
    "argmax": ("target_before_balanced", "target_after_balanced"),
    "matched": ("target_matched_before", "target_matched"),
    "decoded": ("target_decoded_before", "target_decoded"),
}
ROW = [*SETTING, "scenario", "variant", "start"]
RANKED_WITHIN = [*SETTING, "scenario", "tuned"]  # as described and tuned are never compared across the two (design 4)

COLUMNS = (
    *ROW, "method", "fidelity", "control", "tuned", "seeds", "units", "pairs_done", "pairs_expected",
    "eligible_pairs", "eligible_source", "failed", "skipped", "flags",
    "source_drop", "source_drop_low", "source_drop_high", "source_drop_worst", "target_drop", "st_d", "df",
    *(
        column
        for a in ATTACKERS
        for column in (
            f"target_removed_{a}", f"target_removed_{a}_low", f"target_removed_{a}_high", f"target_removed_{a}_df",
            f"target_removed_{a}_sums", f"target_before_{a}", f"target_after_{a}", f"rank_{a}",
        )
    ),
    "rank_basis", "seconds",
)  # fmt: skip

ONCE = [*ROW, "source", "target", "seed"]  # of an observation
ASKED = [*ROW, "method", "fidelity", "control", "tuned", "source", "targets", "domains", "seed"]
NOWHERE = np.array([], dtype=np.intp)
_identity = itemgetter(*ROW)

Unit = tuple[str, str, int]  # source, target, seed
Row = tuple[Any, ...]  # values of ROW


def board(pairs: pd.DataFrame, cells: pd.DataFrame, plan: Mapping[str, Any] | None) -> pd.DataFrame:
    """One row per variant: the frame that every board (terminal, HTML, LaTeX, CSV) prints.

    `pairs` and `cells` are the tables of results.tables as DataFrames, `plan` the content of plan.json (or None).
    Only current cells and pairs of role `target` count. NaN where a number is undefined, never 0; fractions in 0..1.

    Columns, in this order:
      suite, split_seed, score, backbone, scenario, variant, start    the row's identity (a method whose tuned settings
                       are its defaults has two rows, tuned and not)
      method, fidelity (str), control, tuned (bool)
      seeds            int, distinct seeds
      units            int, train cells (source, seed): the n of the intervals
      pairs_done       int, pairs with every expected seed
      pairs_expected   int, pairs that any method of the same scenario was asked for
      eligible_pairs   int, pairs in target_removed
      eligible_source  "frozen" (in the suite file) | "computed" (from this run) | "both" (some by each)
      failed           int, cells that ended neither ok nor skipped     skipped   int
      flags            str, distinct flags joined by ", " ("" if none)
      source_drop, source_drop_low, source_drop_high, source_drop_worst (the worst pair's mean over seeds)
      target_drop, st_d, df (of source_drop)
      and for each attacker a of argmax, matched, decoded:
        target_removed_a, target_removed_a_low, target_removed_a_high, target_removed_a_df, target_removed_a_sums
        target_before_a, target_after_a   class-balanced accuracy of f_s / of the protected net under that attacker
        rank_a         Int64, NA for controls, for rows with missing pairs and where target_removed_a is undefined
      rank_basis       "interval" | "point" (too few units for an interval: the 2 % rule took the estimate)
      seconds          mean per protect cell
    """
    import pandas as pd

    plan = plan or {}
    ran = (cells["kind"] == "protect") & cells["current"].astype(bool)
    protect = cells.loc[ran, [*ASKED, "status", "flags", "seconds"]]
    used = observed(pairs)
    expected = _expected(protect, plan)
    wanted = _pairs_per_scenario(expected)
    computed = by_rule(pairs)
    # plain arrays and the places of each row in them: a frame for each of 500 rows takes longer than all sums in them
    column = {name: used[name].to_numpy() for name in used.columns.difference(ROW)}
    status, flagged, seconds = (protect[name].to_numpy() for name in ("status", "flags", "seconds"))
    ok, skipped = status == "ok", status == "skipped"
    lost = ~(ok | skipped)
    of_pairs, of_cells = (table.groupby(ROW, dropna=False).indices for table in (used, protect))
    rows = []
    for identity, (facts, units) in expected.items():
        places = of_pairs.get(identity, NOWHERE)
        mine = {name: values[places] for name, values in column.items()}
        here = of_cells.get(identity, NOWHERE)
        have = set(zip(*(mine[name].tolist() for name in ("source", "target", "seed")), strict=True))
        lacking = {unit[:2] for unit in units - have}
        complete = {unit[:2] for unit in units} - lacking
        suite = (plan.get("suites") or {}).get(identity[0], {})
        counted, judged = eligible({unit[:2] for unit in units}, suite, computed.get(identity[:4], set()))
        rows.append(
            dict(zip(ROW, identity, strict=True))
            | facts
            | {
                "seeds": len({seed for _, _, seed in have}),
                "units": len({(source, seed) for source, _, seed in have}),
                "pairs_done": len(complete),
                "pairs_expected": len({unit[:2] for unit in units} | wanted.get(identity[:5], set())),
                "eligible_source": judged,
                "failed": int(lost[here].sum()),
                "skipped": int(skipped[here].sum()),
                "flags": ", ".join(sorted({flag for flags in flagged[here] if flags is not None for flag in flags})),
                "seconds": _mean(seconds[here][ok[here]]),
            }
            | drops(mine)
            | removed_against(mine, counted)
        )
    frame = pd.DataFrame(rows, columns=[name for name in COLUMNS if not name.startswith("rank_")])
    # Where the search settled on the defaults, one set of cells is both headline rows: it stands in both tables, or
    # among the untuned where no other tuned method is there to be compared with.
    frame["tuned"] = frame["tuned"].astype(bool)
    both = frame["tuned"] & (frame["variant"] == frame["method"])
    among_tuned = frame[both] if (frame["tuned"] & ~both).any() else frame.iloc[:0]
    frame = pd.concat([frame.assign(tuned=frame["tuned"] & ~both), among_tuned], ignore_index=True)
    return ranked(frame, ATTACKERS, RANKED_WITHIN)[list(COLUMNS)]


def observed(pairs: pd.DataFrame, *more: str) -> pd.DataFrame:
    """Of the pairs table what the numbers are made from: current rows of role `target`, one for each ONCE, with the
    columns that `board` needs and `more`, which have to be numbers."""
    names = ["classes", "source_drop", "target_drop", *itertools.chain(*ATTACKERS.values()), *more]
    used = pairs.loc[(pairs["role"] == "target") & pairs["current"].astype(bool), [*ONCE, *names]]
    if used.duplicated(ONCE).any():  # a target blocked alone and in a union: one observation, their mean
        return used.groupby(ONCE, as_index=False, dropna=False)[names].mean()
    return used


def _expected(protect: pd.DataFrame, plan: Mapping[str, Any]) -> dict[Row, tuple[dict[str, Any], set[Unit]]]:
    """Each row's facts on its method, and what it was asked for: by the plan, or by the cells there are."""
    expected: dict[Row, tuple[dict[str, Any], set[Unit]]] = {}
    planned = (cell for cell in plan.get("cells") or () if cell["kind"] == "protect")
    ran = zip(*(protect[name].tolist() for name in ASKED), strict=True)
    # the plan first: what it says of a method is newer
    for cell in itertools.chain(planned, (dict(zip(ASKED, values, strict=True)) for values in ran)):
        identity = _identity(cell if "split_seed" in cell else {"split_seed": 0, **cell})
        if identity not in expected:
            facts = {name: cell[name] for name in ("method", "fidelity")}
            expected[identity] = facts | {name: bool(cell[name]) for name in ("control", "tuned")}, set()
        source, seed = cell["source"], int(cell["seed"])
        expected[identity][1].update([(source, target, seed) for target in targets(cell)])
    for identity, (facts, units) in expected.items():
        if facts["fidelity"] == CLOSED:  # which of its cells are there, somebody chose: the others' are asked for
            units.update(*(theirs for other, theirs in _open(expected) if other == identity[:5]))
    return expected


def _open(expected: Mapping[Row, tuple[dict[str, Any], set[Unit]]]) -> Iterator[tuple[Row, set[Unit]]]:
    """The settings and units of the methods that can be run: no controls, and none whose figures were imported."""
    for identity, (facts, units) in expected.items():
        if not facts["control"] and facts["fidelity"] != CLOSED:
            yield identity[:5], units


def _pairs_per_scenario(
    expected: Mapping[Row, tuple[dict[str, Any], set[Unit]]],
) -> dict[tuple[Any, ...], set[tuple[str, str]]]:
    """The pairs that any method of a scenario was asked for: who ran on fewer is not ranked beside the others."""
    wanted: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for setting, units in _open(expected):
        wanted.setdefault(setting, set()).update(unit[:2] for unit in units)
    return wanted


def drops(mine: Columns) -> dict[str, float]:
    """source_drop and target_drop with their intervals, the worst pair's source_drop, and st_d, the ratio of the two
    means, of one variant's observations; all sources weigh the same."""
    source, low, high, df = over_units(mine, "source_drop")
    target, target_low, target_high, _ = over_units(mine, "target_drop")
    worst = _means(np.asarray(mine["source_drop"]), places_of(mine, "source", "target").values())
    return {
        "source_drop": source,
        "source_drop_low": low,
        "source_drop_high": high,
        "source_drop_worst": max((value for value in worst if not math.isnan(value)), default=math.nan),
        "target_drop": target,
        "target_drop_low": target_low,
        "target_drop_high": target_high,
        "st_d": source / target if target > 0 else math.nan,
        "df": df,
    }


def over_units(mine: Columns, name: str) -> tuple[float, float, float, int]:
    """A column's mean with its interval, (estimate, low, high, degrees of freedom): over the targets of each train
    cell, then over those of a source, then over sources. NaN where it is undefined."""
    sources = _units(mine, name)
    estimate = _mean([values.mean() for values in sources])
    return estimate, *interval(estimate, sources, len(sources))


def removed_against(
    mine: Columns, counted: Pairs, attackers: Mapping[str, tuple[str, str]] = ATTACKERS
) -> dict[str, float]:
    """target_removed for each attacker over the eligible pairs, with its interval.

    `attackers` names the columns of each one's accuracy on f_s and on the protected net. Per pair, A and B are means
    over seeds, B is then clipped at chance, and R = (A - B) / (A - 1/K); pairs weigh the same. A is what argmax gets
    out of f_s, for every attacker: the knowledge there was to remove. The interval linearises R around the means,
    dR = ((B - 1/K) dA - (A - 1/K) dB) / (A - 1/K)^2, on what each train cell adds to the sum over its pairs; a pair
    with mean B below chance adds a constant 1.
    """
    names = {"seed", "classes", "target_before_balanced", *itertools.chain(*attackers.values())}
    column = {name: np.asarray(mine[name]) for name in names}
    places = {pair: found for pair, found in places_of(mine, "source", "target").items() if pair in counted}
    alike: dict[int, list[tuple[str, str]]] = {}  # pairs by their number of train cells: each kind is one array
    for pair, found in places.items():
        alike.setdefault(len(found), []).append(pair)
    # Per attacker and pair: B and A less chance, what the attacker sees before and after, and dR of each train cell.
    seen: dict[str, dict[tuple[str, str], tuple[float, float, float, float, list[float]]]] = {a: {} for a in attackers}
    pairs_used = 0
    for pairs in alike.values():
        at = np.array([places[pair] for pair in pairs])  # (pairs, train cells)
        chance = 1 / column["classes"][at[:, 0]]
        a = column["target_before_balanced"][at]
        room = a.mean(axis=1) - chance
        kept = np.flatnonzero(room > 0)  # else there is nothing to remove after all
        pairs_used += len(kept)
        at, chance, a, room = at[kept], chance[kept, None], a[kept], room[kept, None]
        for attacker, (before, after) in attackers.items():
            b = column[after][at]
            middle = b.mean(axis=1, keepdims=True)
            left = np.maximum(middle - chance, 0.0)
            slope = (left * (a - a.mean(axis=1, keepdims=True)) - room * (b - middle)) / room**2
            slope = np.where(left > 0, slope, 0.0)
            sides = (left[:, 0], room[:, 0], column[before][at].mean(axis=1), middle[:, 0], slope)
            told = zip((pairs[i] for i in kept), *(side.tolist() for side in sides), strict=True)
            seen[attacker] |= {pair: tuple(of) for pair, *of in told if not math.isnan(of[0])}
    numbers: dict[str, float] = {"eligible_pairs": pairs_used}
    for attacker, by_pair in seen.items():
        # Per source: what each train cell adds to the sum of R, as a deviation from its mean.
        changes: dict[str, dict[int, float]] = {}
        in_order = {pair: by_pair[pair] for pair in places if pair in by_pair}
        for pair, (*_, slopes) in in_order.items():
            units = changes.setdefault(pair[0], {})
            for seed, change in zip(column["seed"][places[pair]].tolist(), slopes, strict=True):
                units[seed] = units.get(seed, 0.0) + change
        ratios = [1 - left / room for left, room, *_ in in_order.values()]
        estimate, pairs_seen = _mean(ratios), len(ratios)
        sums = np.sum([of[:4] for of in in_order.values()], axis=0) if ratios else (math.nan,) * 4
        left, room, seen_before, seen_after = sums
        # A source whose pairs are all below chance cannot vary: it neither adds variance nor degrees of freedom.
        varying = {pair[0] for pair, (left_here, *_) in in_order.items() if left_here > 0}
        strata = [np.array(list(units.values())) for s, units in changes.items() if s in varying or not varying]
        low, high, df = interval(estimate, strata, pairs_seen)
        numbers |= {
            f"target_removed_{attacker}": estimate,
            f"target_removed_{attacker}_low": low,
            f"target_removed_{attacker}_high": high,
            f"target_removed_{attacker}_df": df,
            f"target_removed_{attacker}_sums": 1 - left / room,
            f"target_before_{attacker}": seen_before / max(pairs_seen, 1),
            f"target_after_{attacker}": seen_after / max(pairs_seen, 1),
        }
    return numbers


def _units(mine: Columns, name: str) -> list[np.ndarray]:
    """For each source, one value per train cell: its mean over the targets."""
    cells = places_of(mine, "source", "seed")
    units: dict[str, list[float]] = {}
    for (source, _), mean in zip(cells, _means(np.asarray(mine[name]), cells.values()), strict=True):
        if not math.isnan(mean):
            units.setdefault(source, []).append(mean)
    return [np.array(means) for means in units.values()]


def _means(values: np.ndarray, groups: Collection[list[int]]) -> list[float]:
    """The mean of each group of places: in one step where all are of one size and nothing is undefined."""
    if len({len(places) for places in groups}) == 1 and not np.isnan(values).any():
        return values[np.array(list(groups))].mean(axis=1).tolist()  # type: ignore[no-any-return]
    return [_mean(values[places]) for places in groups]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Of those that are defined; NaN of none."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
