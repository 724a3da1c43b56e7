"""The reading verbs: what plan, status, list and leaderboard show, as data and as text.

    mapbench status runs/digits-mini

`plan` and `status` load neither torch nor pandas: they answer at once, also beside a running grid.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import UsageError, api, environment
from harness.cards import NOUNS, cards
from harness.cells import Cell, label
from harness.grid import Filters
from harness.panel import duration
from harness.params import IMAGES, bounds
from harness.plan import Plan
from results import StoreError, place
from results.store import Store
from suites import SuiteError, backbones, domains, pairs, schema


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
    return "\n".join(lines)


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
    return "\n".join(line for line in lines if line)


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
    from results.leaderboard import text

    if by_pair and (html or form not in (None, "json", "csv")):
        raise UsageError(f"--by-pair is for the terminal, --json and --csv: leave out --{'html' if html else form}")
    store = opened(directory)
    shown = leaderboard.load(store.out, score=score) if filters == Filters() else _filtered(store, filters, score)
    if by_pair:
        _by_pair(shown, form)
    elif html:
        from results.leaderboard import html as page

        print(api.show(page.write(shown, api.located(html))))
    elif form:
        print(
            {"json": text.to_json, "csv": text.to_csv, "markdown": text.to_markdown, "latex": text.to_latex}[form](
                shown
            )
        )
    else:
        api.board_to_terminal(shown)
    return 0


def _by_pair(shown: Any, form: str | None) -> None:
    from rich.console import Console

    from results.leaderboard import by_pair

    if form == "json":
        print(by_pair.to_json(shown))
    elif form == "csv":
        print(by_pair.frame(shown).to_csv(index=False, lineterminator="\n"), end="")
    else:
        by_pair.render(shown, Console())


def _filtered(store: Store, filters: Filters, score: str) -> Any:
    """The board of the chosen cells only."""
    from results import leaderboard, tables

    found = {name: tables.read(store.out, name) for name in ("cells", "pairs", "attacks")}
    wanted = [chosen(row, filters) for row in found["cells"].to_pylist()]
    cells, pairs, attacks = (table.to_pandas() for table in found.values())
    cells = cells[wanted]
    facts = store.plan() or {}
    facts["cells"] = [c for c in facts.get("cells", []) if chosen(c, filters)]
    pairs, attacks = (table[table.key.isin(cells.key)] for table in (pairs, attacks))
    return leaderboard.assemble(cells, pairs, attacks, facts, score, str(store.out))


def listing(what: str, extra_methods: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Rows for `mapbench list`."""
    if what == "methods":
        order = list(NOUNS)
        found = cards(extra_methods).values()
        return [asdict(c) for c in sorted(found, key=lambda c: (order.index(c.kind), c.control, c.name))]
    if what == "backbones":
        return [
            {
                **{"name": n, "stride": c.stride, "multiple": c.multiple, "gflop64": c.gflop(64)},
                **{"weights": c.weights, "source": c.source},
            }
            for n, c in backbones.CARDS.items()
        ]
    suites = [schema.load_suite(n) for n in schema.builtin() if schema.is_suite(schema.find(n))]
    if what == "suites":
        return [
            {"name": s.suite, "version": s.version, "domains": list(s.domains), "backbones": list(s.recipes)}
            for s in suites
        ]
    used: dict[str, list[str]] = {}
    for suite in suites:
        for domain in suite.domains:
            used.setdefault(domain, []).append(suite.suite)
    every = {**{name: domains.known()[name] for name in used}, **domains.known()}  # in the order of the suites
    return [
        {
            **{"name": name, "about": held.about, "data_set": held.raw.title if held.raw else "embedded"},
            **{"classes": len(held.classes), "suites": used.get(name, [])},
        }
        for name, held in every.items()
    ]


def listing_text(what: str, rows: list[dict[str, Any]]) -> str:
    """`list` for people."""
    if what == "suites":
        wide = max(len(r["name"]) for r in rows) + 2
        return "\n".join(
            f"{r['name']:<{wide}}{', '.join(r['domains'])}; backbones {', '.join(r['backbones'])}" for r in rows
        )
    if what == "domains":
        marked = "each also as NAME@wmV, with a watermark of value V on its images: `watermarks:` in a grid's part"
        own = 'a folder of your own, one folder per class in it: `domains: ["folder:PATH", ...]` in your suite file'
        wide = max(len(r["name"]) for r in rows) + 2
        told = (f"{r['name']:<{wide}}{r['about']} ({', '.join(r['suites']) or 'in no suite'})" for r in rows)
        return "\n".join([*told, marked, own])
    if what == "backbones":
        cost = "least px, and GFLOP of one forward pass at 64 px:"
        return "\n".join([cost, *(f"{r['name']:<10}{r['stride']:>3}{r['gflop64']:>7.3f}  {r['source']}" for r in rows)])
    lines = []
    for r in rows:
        aside = " (control)" if r["control"] else {"synth": " (synthesiser)", "attack": " (attack)"}.get(r["kind"], "")
        form = "; not a plain network: its checkpoint has a shape of its own" if r["control"] and not r["plain"] else ""
        only = " only" if r["fidelity"] == "as-described" and not r["fidelities"] else ""
        lines += [
            f"{r['name']}{aside}",
            f"    {r['summary']}",
            f"    n={IMAGES['default']} {r['target']} images of a target{', and no model' if r['blind'] else ''}"
            if r["kind"] == "attack"
            else f"    {r['scenario']}; {r['fidelity']}{only}; starts from {r['start']}{form}",
        ]
        for name, own in r["fidelities"].items():
            sets = ", ".join(f"{k}={v}" for k, v in own.items())
            lines.append(f"    fidelity={r['fidelity']} ({r['fidelity']}|{name})  {name} sets {sets}")
        for p in r["params"]:
            kind = "|".join(p["choices"]) if p["choices"] else ", ".join(filter(None, (p["type"], bounds(p))))
            default = "none" if p["default"] is None else p["default"]
            lines.append(f"    {p['name']}={default} ({kind})  {p['meaning']}. Default: {p['source']}")
        lines.append("")
    return "\n".join(lines).rstrip()


def opened(directory: str) -> Store:
    """The store of an existing run directory, else UsageError."""
    path = api.located(directory)
    if not place.is_run(path):
        raise UsageError(
            f"{directory} is not a run directory: it has neither records nor plan.json; start one with `mapbench run`"
        )
    return Store(path)


def chosen(cell: dict[str, Any], filters: Filters) -> bool:
    """Whether a cell passes the filters. -m matches a method or a variant, -a an attack with or without its params; a
    train cell passes for its source, a cell with a union for each pair of its source with a part of it."""
    from harness.grid import seeds_of

    kind = cell["kind"]
    named = cell["method"] if kind in ("protect", "attack") else None
    attack = {cell["attack"], cell["attack"].split("[")[0]} if kind == "attack" else set()
    seeds = {s for text in filters.seeds for s in seeds_of(text)}
    return bool(
        (not named or not filters.methods or {named, cell["variant"]} & set(filters.methods))
        and (not attack or not filters.attacks or attack & set(filters.attacks))
        and (not filters.pairs or any(_of_pair(cell, pair) for pair in filters.pairs))
        and (not filters.backbones or cell["backbone"] in filters.backbones)
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
        return said.rstrip().split("\n")[-lines - 1 : -1]
    except (OSError, StoreError):
        return []
