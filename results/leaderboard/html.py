"""The leaderboard as one offline HTML file: `mapbench leaderboard DIR --html FILE`.

template.html, board.css and board.js beside this file are put into one page with the numbers as JSON: nothing is
fetched, so it opens from a mail as well as from a server. Only aggregates travel (a line per variant, one per variant
and pair), which keeps 5,000 cells under 500 KB. jinja2 escapes all text; the script builds the rest with textContent.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import records, stats
from results.leaderboard import (
    ATTACK_COLUMNS,
    ATTACKERS,
    COLUMNS,
    INTERVALS,
    MAP_SENTENCE,
    Board,
    Gap,
    is_defined,
    name_of,
    sheets,
    within_budget,
)
from results.pairs import by_rule, removed
from results.place import is_local

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
GAP_LINES = 150  # of failures and of missing cells, after grouping; the JSON form has all


def write(board: Board, path: Path) -> Path:
    """Write the page and return its path: a reader sees the old page or the new one, never half of it."""
    content = page(board).encode()
    if is_local(path) and path.exists() and not path.is_file():
        path.write_bytes(content)  # /dev/stdout, say: nothing to put in the place of
    else:
        records.atomic_write(path, content)
    return path


def page(board: Board) -> str:
    """The whole page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    room = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return room.get_template("template.html").render(
        board=board,
        suites=[f"{name} version {facts.get('version', '?')}" for name, facts in board.plan.get("suites", {}).items()],
        columns=COLUMNS,
        attack_columns=ATTACK_COLUMNS,
        attacked=[sheet for group in board.groups() for sheet in sheets(group)[1:]],
        attackers=ATTACKERS,
        intervals=INTERVALS,
        map_sentence=MAP_SENTENCE,
        css=(HERE / "board.css").read_text("utf-8"),
        script=(HERE / "board.js").read_text("utf-8"),
        data=embedded(payload(board)),
        failed=_grouped(board.failed),
        missing=_grouped(board.missing),
        gap_lines=GAP_LINES,
    )


def embedded(data: Any) -> str:
    """JSON that can stand inside <script>: no `<`, `>` or `&` is left that could end the element or open another."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub(r"[<>&\u2028\u2029]", lambda hit: f"\\u{ord(hit[0]):04x}", text)


def payload(board: Board) -> dict[str, Any]:
    """What the script draws. A row is a list beside `fields`, its numbers the frame's own, to seven decimals."""
    position = {index: i for i, index in enumerate(board.frame.index)}
    drawn, gaps = _per_row(board), _gaps_by_row(board)
    places: dict[str, int] = {}  # domains by number: their names would be a third of the page
    rows = []
    for (_, row), within in zip(board.frame.iterrows(), within_budget(board.frame), strict=True):
        plane, cells = drawn.get(tuple(row[stats.ROW]), (None, []))
        here = gaps.get((row["suite"], row["split_seed"], row["backbone"], row["variant"], row["start"]), {})
        lost: list[list[Any]] = [[*pair, *n] for pair, n in here.items()]
        for cell in (*cells, *lost):
            cell[:2] = [places.setdefault(domain, len(places)) for domain in cell[:2]]
        facts = {"variant": name_of(row), "control": bool(row["control"]), "within": bool(within)}
        rows.append(facts | _row(row) | {"plane": plane, "pairs": cells, "gaps": lost})
    groups = [
        {
            "title": g.title,
            "chance": 1 / g.classes if g.classes else None,
            "domains": g.domains,
            "rows": [position[i] for i in g.frame.index],
            "untrained": [position[i] for i in g.untrained.index],
        }
        for g in board.groups()
    ]
    return {
        "columns": [{"name": c.name, "head": c.head, "help": c.help} for c in COLUMNS],
        "attackers": ATTACKERS,
        "places": list(places),
        "fields": list(rows[0]) if rows else [],
        "rows": [list(row.values()) for row in rows],
        "groups": groups,
    }


def _row(row: pd.Series) -> dict[str, Any]:
    names = ["source_drop", "source_drop_low", "source_drop_high", "st_d"]
    for a in ATTACKERS:
        removed = f"target_removed_{a}"
        names += [f"rank_{a}", removed, f"{removed}_low", f"{removed}_high", f"target_before_{a}", f"target_after_{a}"]
    names += ["seeds", "units", "pairs_done", "pairs_expected", "failed"]
    numbers = {name: float(row[name]) if is_defined(row[name]) else None for name in names}
    short = {name: int(x) if x is not None and x.is_integer() else x and round(x, 7) for name, x in numbers.items()}
    return short | {"flags": str(row["flags"]), "rank_basis": str(row["rank_basis"])}


def _per_row(board: Board) -> dict[tuple[Any, ...], tuple[list[Any] | None, list[Any]]]:
    """For each variant its point in the source/target plane and its cells of the heat map.

    A heat map cell is [source, target, seeds, eligible, [after, removed for each attacker], [their halves]], in
    thousandths, the halves only where there are two seeds. As in the frame, removed is clipped at chance after the
    mean over seeds.
    """
    import pandas as pd

    pairs = board.pairs[board.pairs["role"] == "target"].copy()
    if pairs.empty:
        return {}
    computed = by_rule(board.pairs)
    where = pairs[[*stats.SETTING, "source", "target"]].itertuples(index=False, name=None)
    ruled = pd.Series([place[4:] in computed.get(place[:4], ()) for place in where], pairs.index)
    pairs["eligible"] = pairs["eligible"].astype("boolean").fillna(ruled).astype(bool)
    after = {a: column for a, (_, column) in stats.ATTACKERS.items()}
    for a in ATTACKERS:
        pairs[f"removed_{a}"] = removed(pairs, after[a])
    spread = [column for a in ATTACKERS for column in (after[a], f"removed_{a}")]
    cells = pairs.groupby([*stats.ROW, "source", "target"], dropna=False)
    mean, half = cells[["classes", "target_before_balanced", *spread]].mean(), _half(cells[spread])
    for a in ATTACKERS:
        mean[f"removed_{a}"] = removed(mean, after[a])
    heat: dict[tuple[Any, ...], list[Any]] = {}
    for (*row, source, target), means, halves, n, eligible in zip(
        mean.index,
        mean[spread].to_numpy(),
        half[spread].to_numpy(),
        cells.size(),
        cells["eligible"].first(),
        strict=True,
    ):
        cell = [source, target, int(n), int(eligible), [_thousandths(v) for v in means]]
        heat.setdefault(tuple(row), []).append([*cell, [_thousandths(v) for v in halves]] if n > 1 else cell)
    planes = _planes(pairs[pairs["eligible"]])
    return {key: (planes.get(key), cells) for key, cells in heat.items()}


def _planes(pairs: pd.DataFrame) -> dict[tuple[Any, ...], list[Any]]:
    """[source accuracy before, after, seeds, half of after, halves of target accuracy for each attacker] by variant.

    Means are over pairs; the intervals are over the seeds that have all of them.
    """
    sides = ["source_before", "source_after"]
    means = pairs.groupby([*stats.ROW, "source", "target"])[sides].mean().groupby(stats.ROW).mean()
    sizes = pairs.groupby([*stats.ROW, "seed"])["source"].transform("size")
    whole = pairs[sizes == sizes.groupby([pairs[name] for name in stats.ROW]).transform("max")]
    spread = ["source_after", *(after for _, after in stats.ATTACKERS.values())]
    seeds = whole.groupby([*stats.ROW, "seed"])[spread].mean().groupby(stats.ROW)
    return {
        key: [*(round(float(x), 5) for x in before_after), int(n), *(_rounded(h) for h in halves)]
        for key, before_after, n, halves in zip(
            means.index, means.to_numpy(), seeds.size(), _half(seeds).to_numpy(), strict=True
        )
    }


def _half(groups: Any) -> Any:
    """Half of the 95 % t-interval of each group's mean; NaN for a group of one."""
    from scipy.stats import t

    n = groups.count()
    return t.ppf(0.975, (n - 1).where(n > 1)) * groups.std(ddof=1) / n**0.5


def _rounded(value: Any) -> float | None:
    return round(float(value), 5) if is_defined(value) else None


def _thousandths(value: Any) -> int | None:
    return round(float(value) * 1000) if is_defined(value) else None


def _gaps_by_row(board: Board) -> dict[tuple[Any, ...], dict[tuple[str, str], list[int]]]:
    """For each variant and pair: how many of its cells failed, were skipped and are missing."""
    found: dict[tuple[Any, ...], dict[tuple[str, str], list[int]]] = {}
    for gap in (gap for gap in [*board.failed, *board.missing] if not gap.attack):
        others = [d for d in board.plan.get("suites", {}).get(gap.suite, {}).get("domains", []) if d != gap.source]
        counts = found.setdefault((gap.suite, gap.split_seed, gap.backbone, gap.variant, gap.start), {})
        for target in gap.targets.split("+") if gap.targets else others:
            counts.setdefault((gap.source, target), [0, 0, 0])[{"skipped": 1, "missing": 2}.get(gap.status, 0)] += 1
    return found


def _grouped(gaps: list[Gap]) -> list[dict[str, str]]:
    """Gaps that share a variant, a backbone and an outcome as one line that lists their cells."""
    alike: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for gap in gaps:
        what = (gap.what, f"{gap.suite} · {gap.backbone}", gap.status, " ".join(gap.error.split())[:300])
        pair = gap.source + (gap.targets and f":{gap.targets}")
        alike.setdefault(what, {}).setdefault(pair, []).append(str(gap.seed))
    return [
        {
            "variant": variant,
            "where": where,
            "status": status,
            "error": error,
            "cells": "; ".join(f"{pair} seed {', '.join(seeds)}" for pair, seeds in list(cells.items())[:40])
            + (f"; and {len(cells) - 40} more pairs" if len(cells) > 40 else ""),
        }
        for (variant, where, status, error), cells in alike.items()
    ]
