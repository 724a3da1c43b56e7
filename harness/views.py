"""The reading verbs: what plan, status, list and leaderboard show, as data and as text.

    mapbench status runs/digits-mini

`plan` and `status` load neither torch nor pandas: they answer at once, also beside a running grid.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import UsageError, api, environment, numerics
from harness.cells import Cell, label
from harness.grid import Filters
from harness.panel import duration
from harness.plan import Plan
from results import StoreError, place
from results.plain import plain
from results.store import Store
from suites import SuiteError, pairs

# what `chosen` looks at: of 35,000 cells all else would take seconds to turn into dicts
CHOSEN_BY = [
    "kind", "suite", "domains", "backbone", "method", "variant", "attack", "source", "targets", "target", "parent",
    "seed",
]  # fmt: skip


def plan_json(name: str, made: Plan) -> dict[str, Any]:
    """The plan for scripts: counts, and each cell with its status."""
    cells = [
        {"key": c.key, "label": c.label, "status": made.status(c), "stale": made.stale.get(c.key), "why": c.skip}
        for c in made.cells
    ]
    return {
        "grid": name,
        "counts": {k: len(v) for k, v in made.by_status.items()},
        "gflop_left": sum(c.cost for c in made.todo()),
        "seconds_left": made.seconds_left(1),
        "edited": made.edited,
        "missing_data": made.missing_data,
        "cells": cells,
    }


def plan_text(name: str, made: Plan, store: Store) -> str:
    """The plan for people."""
    kinds = Counter((c.meta["kind"], made.status(c)) for c in made.cells)
    statuses = [s for s, cells in made.by_status.items() if cells]
    lines = [f"{name}: {len(made.cells)} cells, in {api.show(store.out)}", ""]
    lines.append(f"{'':<10}" + "".join(f"{s:>9}" for s in statuses))
    for kind in dict.fromkeys(c.meta["kind"] for c in made.cells):
        row = f"{kind:<10}" + "".join(f"{kinds[kind, s] or '-':>9}" for s in statuses)
        lines.append(f"{row}   {_targets(made)}".rstrip() if kind == "protect" else row)
    lines.append("")
    lines += [api.damaged(api.show(one.path), one.reason) for one in store.damaged()]
    for method, n in made.edited.items():
        lines.append(
            f"warning: the file of {method} changed since {n} of these cells ran; if its numbers did, bump version"
        )
    if made.by_status["failed"]:
        lines.append(f"failed: run again by `mapbench retry {api.show(store.out)}`, not by run")
    lines += [f"blocked: {line}" for line in made.missing_data]
    for status in ("stale", "blocked", "skipped"):
        for text, n in Counter(_why(made, c, status) for c in made.by_status[status]).items():
            lines.append(f"{status}: {n} cells: {text}")
    gpu, waiting = made.gpu(), [c for c in made.by_status["blocked"] if made.without_data(c)]
    slots = 1 if gpu else environment.cores()
    gflop, seconds = sum(c.cost for c in made.todo()), made.seconds_left(slots)
    lines.append(f"to do: {len(made.todo())} cells, {gflop:,.0f} GFLOP of training at least")
    if waiting:
        gflop = sum(c.cost for c in waiting)
        lines.append(f"waiting for data: {len(waiting)} cells, {gflop:,.0f} GFLOP of training at least")
    if seconds is not None and made.todo() and gpu:
        lines.append(f"time: about {duration(seconds)} of one slot of {gpu}, from the cells done so far")
    elif seconds is not None and made.todo():
        lines.append(f"time: about {duration(seconds)} on {slots} slots, from the cells done so far")
    elif made.todo():
        lines.append("time: not known before some cells have run here")
    return "\n".join(map(plain, lines))


def _targets(made: Plan) -> str:
    """How many of the cells are told their target, where some are and some are not."""
    told = Counter(bool(c.meta["targets"]) for c in made.cells if c.meta["kind"] == "protect")
    return f"{told[True]} with a target, {told[False]} with none" if len(told) > 1 else ""


def _why(made: Plan, cell: Cell, status: str) -> str:
    if made.without_data(cell):
        return f"the data of {cell.meta['suite']} is not there; `mapbench data` says what is expected"
    if status == "stale":
        return (
            f"{', '.join(made.stale[cell.key])} changed since they ran; they run anew, the old ones stay off the board"
        )
    return cell.skip or "the model they begin with failed; `mapbench retry` runs both again"


def status(directory: str, filters: Filters) -> dict[str, Any]:
    """Counts per status, running cells by driver, failures with the last lines of their logs."""
    store = opened(directory)
    winners = store.winners()
    expected = [c for c in (store.plan() or {}).get("cells", []) if chosen(c, filters)]
    keys = {c["key"] for c in expected}
    rows = [r for r in winners.values() if r["key"] in keys or (not expected and chosen(r["cell"], filters))]
    counts = Counter(r["status"] for r in rows)
    counts["missing"] = len(keys - {r["key"] for r in rows})
    failed = [r for r in rows if r["status"] not in ("ok", "skipped")]
    return {
        "directory": api.show(store.out),
        "counts": {k: v for k, v in counts.items() if v},
        "drivers": store.other_drivers(),
        "damaged": [{"path": str(damaged.path), "reason": damaged.reason} for damaged in store.damaged()],
        "generated": [
            {"label": label(r["cell"]), "quality": r["quality"], "picture": r["picture"]}
            for r in rows
            if r.get("quality")
        ],
        "failures": [
            {
                "label": label(r["cell"]),
                **{k: r[k] for k in ("status", "error", "log")},
                "tail": _tail(store.out, r["log"]),
            }
            for r in failed
        ],
    }


def status_text(facts: dict[str, Any]) -> str:
    """`status` for people."""
    counts = ", ".join(f"{n} {s}" for s, n in facts["counts"].items()) or "no cells yet"
    lines = [f"{facts['directory']}: {counts}"]
    for driver in facts["drivers"]:
        running = driver.get("running", [])
        lines.append(f"running: driver {driver.get('host')}.{driver.get('pid')}, {len(running)} cells in flight")
        lines += [f"  {cell['label']}: {cell['note']}" for cell in running]
    lines += [api.damaged(one["path"], one["reason"]) for one in facts["damaged"]]
    for made in facts["generated"]:
        lines.append(f"generated: {made['label']}: {_worth(made['quality'])}")
        lines.append(f"    {facts['directory']}/{made['picture']}" if made["picture"] else "")
    for f in facts["failures"]:
        lines += [f"{f['status']}: {f['label']}: {f['error']}", *(f"    {line}" for line in f["tail"])]
        lines.append(f"    {facts['directory']}/{f['log']}" if f["log"] else "")
    if facts["failures"]:
        lines.append(f"next: mapbench retry {facts['directory']}")
    return "\n".join(plain(line) for line in lines if line)


def _worth(quality: dict[str, float]) -> str:
    """What a judge who never helped to make them says of a synthesiser's images (harness/quality.py)."""
    return (
        f"a judge accepts {quality['judge']:.0%} (of real images {quality['judge_real']:.0%}); "
        f"within-class diversity against real {quality['diversity']:.2f} in pixels, "
        f"{quality['diversity_judge']:.2f} to the judge"
    )


def board(
    directory: str, filters: Filters, score: str, html: str | None, form: str | None, by_pair: bool = False
) -> int:
    """The leaderboard in the terminal, or as HTML, JSON, CSV, Markdown, LaTeX: always the same frame."""
    from results import leaderboard

    if by_pair and html:
        raise UsageError("--by-pair has no page: leave out --html, or print it by --latex, --markdown, --csv or --json")
    store = opened(directory)
    with _uncollected():
        shown = leaderboard.load(store.out, score=score) if filters == Filters() else _filtered(store, filters, score)
        _print(shown, html, form, by_pair, store.out)
    return 0


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which looks through a plan of 35,000 cells again and again: a quarter of the time
    that their board takes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _print(shown: Any, html: str | None, form: str | None, by_pair: bool, out: Path) -> None:
    from results.leaderboard import text

    if by_pair:
        _by_pair(shown, form)
    elif html:
        from results.leaderboard import html as page

        print(api.show(page.write(shown, api.located(html), out)))
    elif form:
        print(
            {"json": text.to_json, "csv": text.to_csv, "markdown": text.to_markdown, "latex": text.to_latex}[form](
                shown
            )
        )
    else:
        api.board_to_terminal(shown)


def _by_pair(shown: Any, form: str | None) -> None:
    from rich.console import Console

    from results.leaderboard import by_pair, papers_text

    if form == "json":
        print(by_pair.to_json(shown))
    elif form == "csv":
        print(by_pair.to_csv(shown), end="")
    elif form:
        print({"markdown": papers_text.to_markdown, "latex": papers_text.to_latex}[form](shown), end="")
    else:
        by_pair.render(shown, Console())


def _filtered(store: Store, filters: Filters, score: str) -> Any:
    """The board of the chosen cells only."""
    from results import leaderboard, tables

    found, plan = tables.several(store.out, "cells", "pairs", "attacks")
    wanted = [chosen(row, filters) for row in found[0].select(CHOSEN_BY).to_pylist()]
    cells, pairs, attacks = (table.to_pandas() for table in found)
    cells = cells[wanted]
    facts = plan or {}
    facts["cells"] = [c for c in facts.get("cells", []) if chosen(c, filters)]
    pairs, attacks = (table[table.key.isin(cells.key)] for table in (pairs, attacks))
    return leaderboard.assemble(cells, pairs, attacks, facts, score, str(store.out))


def opened(directory: str) -> Store:
    """The store of an existing run directory, else UsageError."""
    path = api.located(directory)
    if not place.is_run(path):
        raise UsageError(
            f"{directory} is not a run directory: it has neither records nor plan.json; start one with `mapbench run`"
        )
    return Store(path)


def chosen(cell: dict[str, Any], filters: Filters) -> bool:
    """Whether a cell passes the filters. -m matches a method or a variant, -a an attack with or without its params, -b
    a backbone in any precision or in the one that it names; a train cell passes for its source, a cell with a union for
    each pair of its source with a part of it."""
    from harness.grid import seeds_of

    kind = cell["kind"]
    named = cell["method"] if kind in ("protect", "attack") else None
    attack = {cell["attack"], cell["attack"].split("[")[0]} if kind == "attack" else set()
    seeds = {s for text in filters.seeds for s in seeds_of(text)}
    return bool(
        (not named or not filters.methods or {named, cell["variant"]} & set(filters.methods))
        and (not attack or not filters.attacks or attack & set(filters.attacks))
        and (not filters.pairs or any(_of_pair(cell, pair) for pair in filters.pairs))
        and (not filters.backbones or any(numerics.is_called(cell["backbone"], asked) for asked in filters.backbones))
        and (not seeds or cell["seed"] in seeds)
    )


def _of_pair(cell: dict[str, Any], text: str) -> bool:
    return any(_is(cell, source, set(asked)) for source, asked in _pairs(text, cell))


def _is(cell: dict[str, Any], source: str, asked: set[str]) -> bool:
    if cell["kind"] == "attack":  # one that looks at no model has no source
        return cell["target"] in asked and (not cell["parent"] or cell["source"] == source)
    return cell["source"] == source and (not cell["targets"] or asked <= set(cell["targets"]))


def _pairs(text: str, cell: dict[str, Any]) -> list[pairs.Pair]:
    """The pairs that a text stands for among a cell's domains: none where it names one of another suite."""
    try:
        return pairs.read(text, list(cell["domains"]), cell["suite"])
    except SuiteError:
        return []


def _tail(out: Path, log: str | None, lines: int = 3) -> list[str]:
    try:
        said = place.get(out / log).decode(errors="replace") if log else ""
        last = said.rstrip().split("\n")[-lines - 1 : -1]
        return [line.rstrip("\r").rpartition("\r")[2] for line in last]  # a progress bar: what it showed at last
    except (OSError, StoreError):
        return []
