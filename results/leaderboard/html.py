"""The leaderboard as one offline HTML file: `mapbench leaderboard DIR --html FILE`.

The files of page/ beside this one are put into one page with the numbers as JSON (results.leaderboard.payload): nothing
is fetched, so it opens from a mail as well as from a server. jinja2 escapes all text; the script builds the rest with
textContent.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from results import records
from results.leaderboard import (
    ATTACK_COLUMNS,
    ATTACKERS,
    COLUMNS,
    INTERVALS,
    MAP_SENTENCE,
    Board,
    Gap,
    payload,
    sheets,
)
from results.place import is_local

HERE = Path(__file__).parent / "page"
# one script, in this order: what stands further down uses what stands above
SCRIPTS = (
    "state", "cells", "filter", "table", "reading", "plane", "heat", "compare", "strength", "drill", "export", "main",
)  # fmt: skip
GAP_LINES = 150  # of failures and of missing cells, after grouping; the JSON form has all
BUDGET = 490_000  # bytes of a page; what it can best do without is left out until it fits


def write(board: Board, path: Path, out: Path | None = None) -> Path:
    """Write the page and return its path: a reader sees the old page or the new one, never half of it.

    `out` is the run directory, whose records hold the training curves; without it the page has none."""
    content = page(board, out).encode()
    if is_local(path) and path.exists() and not path.is_file():
        path.write_bytes(content)  # /dev/stdout, say: nothing to put in the place of
    else:
        records.atomic_write(path, content)
    return path


def page(board: Board, out: Path | None = None) -> str:
    """The whole page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    room = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = room.get_template("template.html")
    groups = list(board.groups())
    suites = board.plan.get("suites", {})
    told = {
        "board": board,
        "suites": [f"{name} version {facts.get('version', '?')}" for name, facts in suites.items()],
        "columns": COLUMNS,
        "attack_columns": ATTACK_COLUMNS,
        "attacked": [sheet for group in groups for sheet in sheets(group)[1:]],
        "attackers": ATTACKERS,
        "intervals": INTERVALS,
        "map_sentence": MAP_SENTENCE,
        "css": (HERE / "board.css").read_text("utf-8"),
        "script": _script(),
        "failed": _grouped(board.failed),
        "missing": _grouped(board.missing),
        "gap_lines": GAP_LINES,
    }
    written = ""
    for data in payload.payloads(board, groups, out):
        first = data["groups"][0] if data["groups"] else {"title": "", "reading": "", "notes": []}
        written = template.render(**told, first=first, data=embedded(data))
        if len(written.encode()) <= BUDGET:
            break
    return written


def _script() -> str:
    """The parts of page/ as one; what only a reader of them needs, comments and indents, stays behind."""
    whole = "\n".join((HERE / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    return re.sub(r"(?m)^\s+|^//.*\n", "", whole)


def embedded(data: Any) -> str:
    """JSON that can stand inside <script>: no `<`, `>` or `&` is left that could end the element or open another."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub(r"[<>&\u2028\u2029]", lambda hit: f"\\u{ord(hit[0]):04x}", text)


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
