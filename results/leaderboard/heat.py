"""What the page draws of each variant pair by pair, and its point in the plane of source and target accuracy.

    python -m pytest tests/results/leaderboard/test_html.py -k "heat or plane"

Means over seeds and their t-intervals, from the same tables and by the same rule as results.stats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results import stats
from results.leaderboard.board import Board, is_defined
from results.pairs import by_rule, removed

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[Any, ...]  # values of stats.ROW
Pair = tuple[str, str]  # source, target
Attack = tuple[str, int]  # name, n
AFTER = {attacker: column for attacker, (_, column) in stats.ATTACKERS.items()}  # of the pairs table


def asked(board: Board) -> pd.DataFrame:
    """The rows of the pairs table that a method was asked to block, `eligible` by the suite file or else by the rule.

    Adds `removed_a` for each attacker a, of each row by itself."""
    import pandas as pd

    pairs = board.pairs[board.pairs["role"] == "target"].copy()
    computed = by_rule(board.pairs)
    where = pairs[[*stats.SETTING, "source", "target"]].itertuples(index=False, name=None)
    ruled = pd.Series([place[4:] in computed.get(place[:4], ()) for place in where], pairs.index, dtype=bool)
    pairs["eligible"] = pairs["eligible"].astype("boolean").fillna(ruled).astype(bool)
    for attacker, after in AFTER.items():
        pairs[f"removed_{attacker}"] = removed(pairs, after)
    return pairs


def per_pair(pairs: pd.DataFrame) -> dict[Row, dict[Pair, list[Any]]]:
    """For each variant and pair of `asked` its cell of the heat map: [seeds, eligible, means, halves].

    Means are [after, removed for each attacker] in thousandths, halves those of their 95 % t-intervals, left out where
    there is one seed. As in the frame, removed is clipped at chance after the mean over seeds."""
    if pairs.empty:
        return {}
    spread = [column for a, after in AFTER.items() for column in (after, f"removed_{a}")]
    cells = pairs.groupby([*stats.ROW, "source", "target"], dropna=False)
    mean, half = cells[["classes", "target_before_balanced", *spread]].mean(), half_interval(cells[spread])
    for a, after in AFTER.items():
        mean[f"removed_{a}"] = removed(mean, after)
    found: dict[Row, dict[Pair, list[Any]]] = {}
    for (*row, source, target), means, halves, n, eligible in zip(
        mean.index,
        mean[spread].to_numpy(),
        half[spread].to_numpy(),
        cells.size(),
        cells["eligible"].first(),
        strict=True,
    ):
        cell = [int(n), int(eligible), [thousandths(v) for v in means]]
        if n > 1:
            cell.append([thousandths(v) for v in halves])
        found.setdefault(tuple(row), {})[source, target] = cell
    return found


def attacked(board: Board) -> pd.DataFrame:
    """The rows of the attacks table that look at a protected model, with `removed_attacked` of each by itself."""
    rows = board.attack_rows[board.attack_rows["method"].notna()]
    return rows.assign(removed_attacked=removed(rows, "target_attacked"))


def per_attack(rows: pd.DataFrame) -> dict[Row, dict[tuple[Attack, Pair], list[Any]]]:
    """The same of each attack: [seeds, [after, removed], f_s attacked, halves], from the rows of `attacked`."""
    if rows.empty:
        return {}
    spread = ["target_attacked", "removed_attacked"]
    cells = rows.groupby([*stats.ROW, "attack", "n", "source", "target"], dropna=False)
    mean = cells[["classes", "target_before_balanced", "target_attacked_before", *spread]].mean()
    mean["removed_attacked"] = removed(mean, "target_attacked")
    found: dict[Row, dict[tuple[Attack, Pair], list[Any]]] = {}
    for (*row, attack, n, source, target), means, before, halves, seeds in zip(
        mean.index,
        mean[spread].to_numpy(),
        mean["target_attacked_before"],
        half_interval(cells[spread]).to_numpy(),
        cells.size(),
        strict=True,
    ):
        cell = [int(seeds), [thousandths(v) for v in means], thousandths(before)]
        if seeds > 1:
            cell.append([thousandths(v) for v in halves])
        found.setdefault(tuple(row), {})[(attack, int(n)), (source, target)] = cell
    return found


def planes(pairs: pd.DataFrame) -> dict[Row, list[Any]]:
    """[source accuracy before, after, seeds, half of after, halves of target accuracy for each attacker] by variant.

    Means are over eligible pairs; the intervals are over the seeds that have all of them."""
    pairs = pairs[pairs["eligible"]]
    if pairs.empty:
        return {}
    sides = ["source_before", "source_after"]
    means = pairs.groupby([*stats.ROW, "source", "target"])[sides].mean().groupby(stats.ROW).mean()
    sizes = pairs.groupby([*stats.ROW, "seed"])["source"].transform("size")
    whole = pairs[sizes == sizes.groupby([pairs[name] for name in stats.ROW]).transform("max")]
    seeds = whole.groupby([*stats.ROW, "seed"])[["source_after", *AFTER.values()]].mean().groupby(stats.ROW)
    return {
        key: [*(round(float(x), 5) for x in before_after), int(n), *(_rounded(h) for h in halves)]
        for key, before_after, n, halves in zip(
            means.index, means.to_numpy(), seeds.size(), half_interval(seeds).to_numpy(), strict=True
        )
    }


def gaps(board: Board) -> dict[Row, dict[Pair, list[int]]]:
    """For each variant and pair: how many of its cells failed, were skipped and are missing.

    By suite, split_seed, backbone, variant and start: a gap knows no scenario."""
    found: dict[Row, dict[Pair, list[int]]] = {}
    for gap in (gap for gap in [*board.failed, *board.missing] if not gap.attack):
        others = [d for d in board.plan.get("suites", {}).get(gap.suite, {}).get("domains", []) if d != gap.source]
        counts = found.setdefault((gap.suite, gap.split_seed, gap.backbone, gap.variant, gap.start), {})
        for target in gap.targets.split("+") if gap.targets else others:
            counts.setdefault((gap.source, target), [0, 0, 0])[{"skipped": 1, "missing": 2}.get(gap.status, 0)] += 1
    return found


def half_interval(groups: Any) -> Any:
    """Half of the 95 % t-interval of each group's mean; NaN for a group of one."""
    from scipy.stats import t

    n = groups.count()
    return t.ppf(0.975, (n - 1).where(n > 1)) * groups.std(ddof=1) / n**0.5


def thousandths(value: Any) -> int | None:
    """A fraction as an integer, null where it is undefined."""
    return round(float(value) * 1000) if is_defined(value) else None


def _rounded(value: Any) -> float | None:
    return round(float(value), 5) if is_defined(value) else None
