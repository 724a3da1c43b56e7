"""What a comparison comes to, in one sentence that can be quoted: who, where, against whom, how much, how sure.

    mapbench compare runs/digits-mini sa-map cuti

It says "no difference could be shown" where the 95 % interval holds 0, and that there is no interval where no source
has two train cells. Every number in it is one of the table's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.leaderboard import ATTACKERS, number
from results.quantities import DROP, PRIMARY

if TYPE_CHECKING:
    from results.paired import Difference
    from results.versus import Versus

ALPHA = 0.05
WHAT = "of the target accuracy above chance"
LISTED = 3  # of the variants that differ between two runs


def of_variants(one: Versus) -> str:
    """`digits-mini, convnet, ...: sa-map removes 0.120 (95 % CI ...) less of ... than cuti, at a source drop ...`."""
    change, drop = one.primary.difference, one.line(DROP).difference
    head = f"{_where(one)}: "
    if math.isnan(change.estimate):
        return f"{head}nothing can be said of {one.a} and {one.b}, which share no eligible pair"
    if not _has_interval(change):
        most = f"{one.a} removes {number(abs(change.estimate))} {_more(change.estimate)} {WHAT} than {one.b}"
        same = f"{one.a} removes as much {WHAT} as {one.b}"
        said = same if number(abs(change.estimate)) == number(0) else most
        return f"{head}{said}{_at(one, drop)} ({_n(change)}; no source has two train cells, so without an interval)"
    if not _shown(change):
        return (
            f"{head}no difference could be shown between {one.a} and {one.b} in what they remove {WHAT} "
            f"({_signed(change)}, {_n(change)}, df {change.df}, {p_value(change.p)}){_at(one, drop)}"
        )
    size, low, high = _size(change)
    sure = f"95 % CI {number(low)} to {number(high)}, {_n(change)}, df {change.df}, {p_value(change.p)}"
    said = f"{one.a} removes {number(size)} ({sure}) {_more(change.estimate)} {WHAT} than {one.b}"
    return f"{head}{said}{_at(one, drop)}"


def of_runs(table: Sequence[Versus], family: int) -> str:
    """Of one table of two runs: how many variants differ, and the largest differences. `family`: in how many
    comparisons p was corrected."""
    first, removed = table[0], [one for one in table if not math.isnan(one.primary.difference.estimate)]
    count = "1 variant" if len(table) == 1 else f"{len(table)} variants"
    head = f"{_where(first)}: of {count} that {first.a} and {first.b} both have, "
    if not removed:
        return f"{head}none has an eligible pair in both, so nothing can be said"
    if not any(_has_interval(one.primary.difference) for one in removed):
        most = max(removed, key=lambda one: abs(one.primary.difference.estimate))
        largest = f"the largest difference in what is removed {WHAT} is {_told(most)}"
        return f"{head}no source has two train cells, so there is no interval; {largest}"
    found = sorted((one for one in removed if one.primary.p_holm < ALPHA), key=lambda one: one.primary.p_holm)
    if not found:
        return f"{head}none could be shown to remove another share {WHAT} (t-tests on train cells, Holm over {family})"
    listed = "; ".join(f"{_told(one)} ({p_value(one.primary.p_holm)})" for one in found[:LISTED])
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return f"{head}{len(found)} could be shown to remove another share {WHAT} (Holm over {family}): {listed}{more}"


def p_value(p: float) -> str:
    """`p = 0.012`, `p < 0.001`; "" where there is none."""
    return "" if math.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _where(one: Versus) -> str:
    scenario = re.sub(r"^((?:un)?labelled) source, \1 target$", r"\1 source and target", one.scenario)
    parts = [one.suite, one.backbone, scenario]
    parts += [f"split_seed {one.split_seed}"] if one.split_seed else []
    parts += [f"scored on {one.score}"] if one.score != "test" else []
    return f"{', '.join(parts)}, against an attacker who {ATTACKERS[PRIMARY]}"


def _told(one: Versus) -> str:
    """`cuti: +0.100 in runs/a, 95 % CI ..., 12 train cells, 9 pairs`."""
    change = one.primary.difference
    sure = f", 95 % CI {number(change.low)} to {number(change.high)}" if _has_interval(change) else ""
    return f"{one.variant}: {signed(change.estimate)} in {one.a}{sure}, {_n(change)}"


def _at(one: Versus, drop: Difference) -> str:
    """The source drop, as the end of the sentence."""
    if math.isnan(drop.estimate):
        return ""
    size, low, high = _size(drop)
    step = f"{number(size)} {'higher' if drop.estimate > 0 else 'lower'}"
    if not _has_interval(drop):
        return ", at the same source drop" if number(size) == number(0) else f", at a source drop {step}"
    sure, other = f"{_units(drop)}, df {drop.df}, {p_value(drop.p)}", _shown(one.primary.difference)
    if not _shown(drop):
        return f", {'with no difference shown' if other else 'and none'} in source drop ({_signed(drop)}, {sure})"
    head = f", at a source drop {step}" if other else f"; {one.a} has a source drop {step}"
    return f"{head} (95 % CI {number(low)} to {number(high)}, {sure})"


def _has_interval(change: Difference) -> bool:
    return not math.isnan(change.low)


def _shown(change: Difference) -> bool:
    """Whether the interval lies on one side of 0."""
    return change.low > 0 or change.high < 0


def _size(change: Difference) -> tuple[float, float, float]:
    """The difference and its interval, counted upwards from 0."""
    if change.estimate >= 0:
        return change.estimate, change.low, change.high
    return -change.estimate, -change.high, -change.low


def signed(value: float) -> str:
    """`+0.120`, `-0.120`, and `0.000` without a sign."""
    text = f"{value:+.3f}"
    return text if float(text) else text[1:]


def _signed(change: Difference) -> str:
    return f"{signed(change.estimate)}, 95 % CI {number(change.low)} to {number(change.high)}"


def _more(estimate: float) -> str:
    return "more" if estimate > 0 else "less"


def _n(change: Difference) -> str:
    return f"{_units(change)}, {change.pairs} pair{'s' * (change.pairs != 1)}"


def _units(change: Difference) -> str:
    return f"{change.units} train cell{'s' * (change.units != 1)}"
