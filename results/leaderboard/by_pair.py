"""The board pair by pair: what a model knew of its source and its target before and after, and of each of a union.

    mapbench leaderboard runs/ownership --by-pair     (or with --json, --csv; --latex and --markdown: see papers.py)

The leaderboard is the mean of these rows over pairs. Ownership, authorisation and blocking all domains at once are
questions about one pair, and are read here. Nothing is ranked: variants stand in the leaderboard's order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.intervals import quantile
from results.leaderboard import Board, Group, name_of, number, said_of
from results.leaderboard.terminal import SHORTEST_VARIANT, folded
from results.leaderboard.text import as_csv
from results.pairs import by_rule, frozen, removed
from results.pairs import name as pair_name
from results.plain import plain, plain_json
from results.stats import ROW, SETTING

if TYPE_CHECKING:
    import pandas as pd

PAIR = [*ROW, "source", "pair"]
SIDES = ["source_before", "source_after", "source_drop", "target_before_balanced", "target_after_balanced"]
PROBES = ["target_matched", "target_decoded"]
PUBLISHED = ["target_before", "target_after", "target_drop"]  # top-1, as papers have it
SPREAD = ["source_after", "target_after"]  # with an interval over seeds
MEANS = [*SIDES, *PROBES, *PUBLISHED]
BOUNDS = [f"{name}_{end}" for name in SPREAD for end in ("low", "high")]
HEADS = {
    "source_before": "source\nf_s", "source_after": "source\nafter", "source_drop": "source\ndrop",
    "target_before_balanced": "target\nf_s", "target_after_balanced": "target\nafter",
    "target_removed": "removed\nargmax", "target_matched": "target\nmatched", "target_decoded": "target\ndecoded",
    "target_before": "top-1\nf_s", "target_after": "top-1\nafter", "target_drop": "target\ndrop",
}  # fmt: skip
# where the terminal is too narrow for whole numbers and names
FIRST_TO_GO = (
    "target_drop", "target_before", "target_after", "target_matched", "source_before", "target_decoded", "source_after",
    "target_before_balanced",
)  # fmt: skip
NOTE = (
    "source: top-1; target: class-balanced, and top-1 as papers have it; means over seeds. A union (a+b, or * for all "
    "other domains) is blocked by one model: its row is the mean of the domains below it that count. (-) f_s hardly "
    "knows it, so it does not count."
)


def frame(board: Board) -> pd.DataFrame:
    """One row per variant, pair and target domain, and before those of a union one of the pair itself, with no target.

    Columns: those of results.stats.ROW, source, pair (as asked for), target ("" for a union's mean), counted (bool:
    eligible), seeds (int), source_before, source_after, source_drop (top-1), target_before_balanced,
    target_after_balanced, target_matched, target_decoded, target_removed (argmax); target_before, target_after,
    target_drop (top-1, as papers print them), st_d, and of source_after and target_after the ends, _low and _high, of a
    95 % t-interval over seeds. Means over seeds, fractions in 0..1; target_removed is clipped at chance after the mean,
    st_d is the ratio of mean drops. A union's mean is over the domains that count, or over all where none does, and
    then has no target_removed; it has no interval.
    """
    import pandas as pd

    rows = board.pairs[board.pairs["role"] == "target"]
    groups = rows.assign(pair=rows["key"].map(called(board))).groupby([*PAIR, "target"], sort=False, dropna=False)
    each = groups[["classes", *MEANS]].mean().assign(seeds=groups["seed"].nunique(), **_bounds(groups)).reset_index()
    each["target_removed"] = removed(each, "target_after_balanced")
    suites, computed = board.plan.get("suites") or {}, by_rule(board.pairs)
    counted = []
    for suite, *place, source, target in each[[*SETTING, "source", "target"]].itertuples(index=False, name=None):
        said = frozen(suites.get(suite, {}), source, target)
        counted.append((source, target) in computed.get((suite, *place), ()) if said is None else said)
    each["counted"] = pd.Series(counted, each.index, dtype=bool)
    each = each.assign(_place=each.groupby(PAIR, sort=False, dropna=False).ngroup())
    unions = each[each["_place"].duplicated(keep=False)]
    whole = [_mean(of) for _, of in unions.groupby("_place", sort=False)]
    found = pd.concat([*whole, each]).sort_values("_place", kind="stable", ignore_index=True)
    found["st_d"] = (found["source_drop"] / found["target_drop"]).where(found["target_drop"] > 0)
    columns = ["target", "counted", "seeds", *SIDES, *PROBES, "target_removed", *PUBLISHED, "st_d", *BOUNDS]
    return found[[*PAIR, *columns]]


def called(board: Board) -> dict[str, str]:
    """What the pair of each protect cell is called, by its key."""
    cells = board.cells.loc[board.cells["kind"] == "protect", ["key", "source", "targets", "domains"]]
    return {cell["key"]: pair_name({str(k): v for k, v in cell.items()}) for cell in cells.to_dict("records")}


def _bounds(groups: Any) -> dict[str, pd.Series]:
    """The ends of the t-intervals over each group's seeds, by column; NaN for one seed."""
    seeds = groups.size()
    errors = groups[SPREAD].std(ddof=1).div(seeds**0.5, axis=0)
    means, halves = groups[SPREAD].mean(), errors.mul(seeds.map(lambda n: quantile(n - 1)), axis=0)
    return {
        f"{name}_{end}": means[name] + sign * halves[name]
        for name in SPREAD
        for end, sign in (("low", -1), ("high", 1))
    }


def _mean(of: pd.DataFrame) -> pd.DataFrame:
    """The row of a union: the mean of those of its domains that count."""
    some = of[of["counted"]]
    means = (some if len(some) else of)[[*MEANS, "target_removed"]].mean()
    none = dict.fromkeys(BOUNDS, float("nan"))
    whole = of.head(1).assign(target="", counted=len(some) > 0, seeds=of["seeds"].min(), **means, **none)
    return whole if len(some) else whole.assign(target_removed=float("nan"))


def to_json(board: Board) -> str:
    """The frame's rows as a list; null where a number is undefined."""
    rows: list[dict[str, Any]] = json.loads(frame(board).to_json(orient="records", double_precision=15))
    return plain_json(json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False))


def to_csv(board: Board) -> str:
    """The frame, a line for each row; empty where a number is undefined."""
    return as_csv(frame(board))


def render(board: Board, console: Console) -> None:
    """A table per group of the leaderboard: under each pair its variants, and under each union its domains. Where the
    console is too narrow for all columns the line below a table names those that were left out."""
    console.print(Text(board.title, style="bold"))
    console.print(Text(NOTE, style="dim"))
    rows = frame(board)
    for group in board.groups():
        console.print()
        table, left_out = _table(group, rows, console.width)
        console.print(table)
        for note in said_of(group):
            console.print(Text(note), style="yellow")
        if left_out:
            console.print(f"left out at this width: {', '.join(left_out)}", style="dim")
    lost = len(board.failed) + len(board.missing)
    if lost:
        console.print(f"{lost} cells without a number: see the leaderboard without --by-pair", style="bold red")


def _table(group: Group, rows: pd.DataFrame, width: int) -> tuple[Table, list[str]]:
    """The table of a group, and the columns that are left out of it so that no number is cut at this width."""
    shown = [row for part in (group.frame, group.untrained) for _, row in part.iterrows()]
    mine = {tuple(row[ROW]): place for place, row in enumerate(shown)}
    order = [mine.get(tuple(key), -1) for key in rows[ROW].itertuples(index=False, name=None)]
    rows = rows.assign(_order=order)[[place >= 0 for place in order]]
    lines: dict[str, list[tuple[dict[str, str], str]]] = {}
    for pair, of in rows.groupby("pair", sort=False):
        best_first = of.sort_values("_order", kind="stable")
        lines[str(pair)] = [_line(row, str(pair)) for _, row in best_first.iterrows()]

    every = [texts for of in lines.values() for texts, _ in of]
    heads = {"seeds": "seeds", **HEADS}
    wide = {name: max(map(cell_len, [*head.split("\n"), *(t[name] for t in every)])) for name, head in heads.items()}
    longest = max(map(cell_len, ["pair, variant", *map(plain, lines), *(texts["label"] for texts in every)]))
    names, left_out = list(heads), []
    for name in FIRST_TO_GO:
        if min(longest, SHORTEST_VARIANT) + sum(wide[n] + 1 for n in names) <= width:
            break
        names.remove(name)
        left_out.append(name)
    numbers = sum(wide[name] + 1 for name in names)  # the box draws one blank between columns
    label = min(longest, max(SHORTEST_VARIANT, width - numbers))

    table = Table(
        title=Text(group.title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False,
        padding=(0, int(label + numbers + len(names) <= width), 0, 0),
    )  # fmt: skip
    table.add_column("pair, variant", overflow="fold", width=label)
    for name in names:
        table.add_column(heads[name], justify="right", no_wrap=True, width=wide[name])
    for pair, models in lines.items():
        table.add_row(Text(plain(pair), style="bold"))
        for texts, style in models:
            cells = [folded(texts["label"], label), *(texts[name] for name in names)]
            table.add_row(*(Text(cell, style=style) for cell in cells))
        table.add_section()
    return table, left_out


def _line(row: pd.Series, pair: str) -> tuple[dict[str, str], str]:
    """A row as text, by column, and its style."""
    single = pair == f"{row['source']}:{row['target']}"
    whole = single or not row["target"]
    label = (f"  {name_of(row)}" if whole else f"    {plain(row['target'])}") + ("" if row["counted"] else " (-)")
    numbers = {name: number(row[name]) for name in HEADS}
    return {"label": label, "seeds": str(int(row["seeds"]))} | numbers, "" if whole else "dim"
