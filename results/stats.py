"""The numbers of a leaderboard: means, t-intervals and ranks, from the pairs and cells tables (design 5).

    python -m pytest tests/results/test_stats.py

Pairs are fixed, the unit is the train cell (source, seed): the runs that share an f_s are one observation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from results.intervals import interval, places_of
from results.pairs import SETTING, Pairs, by_rule, eligible, targets
from results.ranks import ranked
from results.records import CLOSED

if TYPE_CHECKING:
    import pandas as pd

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
    protect = cells[(cells["kind"] == "protect") & cells["current"].astype(bool)]
    used = pairs[(pairs["role"] == "target") & pairs["current"].astype(bool)]
    once = [*ROW, "source", "target", "seed"]
    if used.duplicated(once).any():  # a target blocked alone and in a union: one observation, their mean
        numbers = ["classes", *used.select_dtypes("float").columns]
        used = used.groupby(once, as_index=False, dropna=False)[numbers].mean()
    expected = _expected(protect, plan)
    wanted = _pairs_per_scenario(expected)
    computed = by_rule(pairs)
    by_row = dict(list(used.groupby(ROW, dropna=False)))
    done_cells = dict(list(protect.groupby(ROW, dropna=False)))
    rows = []
    for identity, (facts, units) in expected.items():
        mine = by_row.get(identity, used.iloc[:0])
        ran = done_cells.get(identity, protect.iloc[:0])
        have = set(zip(mine["source"], mine["target"], mine["seed"], strict=True))
        lacking = {unit[:2] for unit in units - have}
        complete = {unit[:2] for unit in units} - lacking
        suite = (plan.get("suites") or {}).get(identity[0], {})
        counted, judged = eligible({unit[:2] for unit in units}, suite, computed.get(identity[:4], set()))
        rows.append(
            dict(zip(ROW, identity, strict=True))
            | facts
            | {
                "seeds": mine["seed"].nunique(),
                "units": len({(source, seed) for source, _, seed in have}),
                "pairs_done": len(complete),
                "pairs_expected": len({unit[:2] for unit in units} | wanted.get(identity[:5], set())),
                "eligible_source": judged,
                "failed": int((~ran["status"].isin(["ok", "skipped"])).sum()),
                "skipped": int((ran["status"] == "skipped").sum()),
                "flags": ", ".join(sorted({flag for flags in ran["flags"] if flags is not None for flag in flags})),
                "seconds": ran.loc[ran["status"] == "ok", "seconds"].mean(),
            }
            | _drops(mine)
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


def _expected(protect: pd.DataFrame, plan: Mapping[str, Any]) -> dict[Row, tuple[dict[str, Any], set[Unit]]]:
    """Each row's facts on its method, and what it was asked for: by the plan, or by the cells there are."""
    expected: dict[Row, tuple[dict[str, Any], set[Unit]]] = {}
    names = [*ROW, "kind", "method", "fidelity", "control", "tuned", "source", "targets", "domains", "seed"]
    planned = [{"split_seed": 0, **cell} for cell in plan.get("cells") or ()]
    for cell in [*planned, *protect[names].to_dict("records")]:  # the plan first: what it says of a method is newer
        if cell["kind"] != "protect":
            continue
        facts = {name: cell[name] for name in ("method", "fidelity")} | {n: bool(cell[n]) for n in ("control", "tuned")}
        units = expected.setdefault(tuple(cell[name] for name in ROW), (facts, set()))[1]
        for target in targets(cell):
            units.add((cell["source"], target, int(cell["seed"])))
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


def _drops(mine: pd.DataFrame) -> dict[str, float]:
    """source_drop with its interval, its worst pair, target_drop and st_d, all sources weighing the same."""
    sources = _units(mine, "source_drop")
    estimate = _mean([values.mean() for values in sources])
    low, high, df = interval(estimate, sources, len(sources))
    target = _mean([values.mean() for values in _units(mine, "target_drop")])
    worst = [_mean(mine["source_drop"].to_numpy()[places]) for places in places_of(mine, "source", "target").values()]
    return {
        "source_drop": estimate,
        "source_drop_low": low,
        "source_drop_high": high,
        "source_drop_worst": max((value for value in worst if not math.isnan(value)), default=math.nan),
        "target_drop": target,
        "st_d": estimate / target if target > 0 else math.nan,
        "df": df,
    }


def removed_against(
    mine: pd.DataFrame, counted: Pairs, attackers: Mapping[str, tuple[str, str]] = ATTACKERS
) -> dict[str, float]:
    """target_removed for each attacker over the eligible pairs, with its interval.

    `attackers` names the columns of each one's accuracy on f_s and on the protected net. Per pair, A and B are means
    over seeds, B is then clipped at chance, and R = (A - B) / (A - 1/K); pairs weigh the same. A is what argmax gets
    out of f_s, for every attacker: the knowledge there was to remove. The interval linearises R around the means,
    dR = ((B - 1/K) dA - (A - 1/K) dB) / (A - 1/K)^2, on what each train cell adds to the sum over its pairs; a pair
    with mean B below chance adds a constant 1.
    """
    pairs_used = 0
    ratios: dict[str, list[float]] = {a: [] for a in attackers}
    sides: dict[str, list[tuple[float, float, float, float]]] = {a: [] for a in attackers}
    # Per attacker and source: what each train cell adds to the sum of R, as a deviation from its mean.
    changes: dict[str, dict[str, dict[int, float]]] = {a: {} for a in attackers}
    varying: dict[str, set[str]] = {a: set() for a in attackers}
    names = {"seed", "classes", "target_before_balanced", *itertools.chain(*attackers.values())}
    column = {name: mine[name].to_numpy() for name in names}
    for pair, places in places_of(mine, "source", "target").items():
        if pair not in counted:
            continue
        source, chance = pair[0], 1 / column["classes"][places[0]]
        a, seeds = column["target_before_balanced"][places], column["seed"][places]
        room = a.mean() - chance
        if not room > 0:  # nothing to remove here after all
            continue
        pairs_used += 1
        for attacker, (before, after) in attackers.items():
            b = column[after][places]
            left = max(b.mean() - chance, 0.0)
            if math.isnan(left):
                continue
            slope = (left * (a - a.mean()) - room * (b - b.mean())) / room**2 if left > 0 else np.zeros(len(b))
            if left > 0:
                varying[attacker].add(source)
            units = changes[attacker].setdefault(source, {})
            for seed, change in zip(seeds, slope, strict=True):
                units[seed] = units.get(seed, 0.0) + float(change)
            ratios[attacker].append(1 - left / room)
            sides[attacker].append((left, room, column[before][places].mean(), b.mean()))
    numbers: dict[str, float] = {"eligible_pairs": pairs_used}
    for attacker, values in ratios.items():
        estimate = _mean(values)
        left, room, seen_before, seen_after = np.sum(sides[attacker], axis=0) if values else (math.nan,) * 4
        # A source whose pairs are all below chance cannot vary: it neither adds variance nor degrees of freedom.
        free = [s for s in changes[attacker] if s in varying[attacker]] or list(changes[attacker])
        strata = [np.array(list(changes[attacker][s].values())) for s in free]
        low, high, df = interval(estimate, strata, len(values))
        numbers |= {
            f"target_removed_{attacker}": estimate,
            f"target_removed_{attacker}_low": low,
            f"target_removed_{attacker}_high": high,
            f"target_removed_{attacker}_df": df,
            f"target_removed_{attacker}_sums": 1 - left / room,
            f"target_before_{attacker}": seen_before / max(len(values), 1),
            f"target_after_{attacker}": seen_after / max(len(values), 1),
        }
    return numbers


def _units(mine: pd.DataFrame, name: str) -> list[np.ndarray]:
    """For each source, one value per train cell: its mean over the targets."""
    values = mine[name].to_numpy()
    units: dict[str, list[float]] = {}
    for (source, _), places in places_of(mine, "source", "seed").items():
        mean = _mean(values[places])
        if not math.isnan(mean):
            units.setdefault(source, []).append(mean)
    return [np.array(means) for means in units.values()]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Of those that are defined; NaN of none."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
