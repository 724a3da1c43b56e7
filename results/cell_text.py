"""One cell in a terminal: what it is, what it is worth beside its parent, its curves, its files, how to train it again.

    mapbench show runs/digits-mini KEY

The words of `rows` are the page's too (results/cell_page.py). What a person may want to copy, paths and the command,
is never broken into lines of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from results import curves
from results.cell import ACCURACIES, Facts

HEADS = {"top1": "top-1", "balanced": "balanced", "matched": "matched", "decoded": "decoded"}
DROP = "drop is (before - after) / before of top-1."
REMOVED = "removed is the share of the class-balanced accuracy above chance that is gone."
PROBES = "matched and decoded are what attackers get who relabel the answers or read the logits."
STYLES = {"ok": "green", "missing": "dim", "skipped": "yellow"}  # else red
WIDEST = 60  # a longer spark says no more
SIDES = ("first", "last", "min", "max")
NO_COMMAND = "not known: the grid file that asked for this cell is not the one that plan.json is of, or it cannot run"


def render(facts: Facts, console: Console, tail: Sequence[str] = ()) -> None:
    """Print all facts (results.cell.facts), within the console's width; `tail` are the last lines of its log."""
    status = facts["status"]
    console.print(Text.assemble((facts["label"], "bold"), "  ", (status, STYLES.get(status, "bold red"))))
    console.print(Text(facts["key"], style="dim"))
    if facts["error"]:
        console.print(Text(facts["error"], style="red"))
    console.print()
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")  # cut short, a variant's settings could not be told apart
    for head, said in rows(facts):
        grid.add_row(Text(head, style="bold"), Text(said, overflow="fold"))
    console.print(grid)
    if facts["accuracy"]:
        console.print()
        console.print(_accuracy(facts))
        console.print(Text(legend(facts), style="dim"))
    if facts["curves"]:
        console.print()
        console.print(_curves(facts["curves"], console.width))
    if tail:
        _head("the log ends", console)
        for line in tail:
            _whole(f"  {line}", console)
    _files(facts, console)
    _head("train it again" if facts["rerun"] else f"train it again  {NO_COMMAND}", console)
    if facts["rerun"]:
        _whole(facts["rerun"], console)


def rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """What is said in words, as (head, text): what the cell is, what it hangs on, and how it was made. A text may have
    several lines."""
    control, tuned = "control" if facts["control"] else None, "tuned" if facts["tuned"] else None
    version = f"version {facts['method_version']}" if facts["method_version"] else None
    start = f"starts from {facts['start']}" if facts["start"] else None
    model = _joined(facts["scenario"], control, facts["fidelity"], tuned, version, start)
    if facts["kind"] == "attack":
        yield "what", f"attack {facts['attack']} with {facts['n']} images of {facts['target']}"
        if model:
            yield "model", _joined(facts["variant"], model)
    else:
        yield "what", _joined(facts["kind"], model)
    split = f"split_seed {facts['split_seed']}" if facts["split_seed"] else None
    yield "where", _joined(
        f"{facts['suite']} version {facts['suite_version']}", facts["backbone"], facts["precision"], split,
        f"scored on {facts['score']}", f"seed {facts['seed']}",
    )  # fmt: skip
    for head, params in (("params", facts["params"]), ("attack", facts["attack_params"])):
        if params:
            said = " ".join(f"{p['name']}={_value(p['value'])}{'' if p['default'] else '*'}" for p in params)
            yield head, said + ("" if all(p["default"] for p in params) else "\n(* not the default)")
    if facts["recipe"]:
        yield "recipe", " ".join(f"{name}={_value(value)}" for name, value in facts["recipe"].items())
    if facts["parent"]:
        yield "parent", _cell(facts["parent"])
    if facts["inputs"]:
        yield "inputs", "\n".join(map(_cell, facts["inputs"]))
    yield "children", ", ".join(f"{n} {status}" for status, n in facts["children"].items()) or "none"
    yield "flags", ", ".join(facts["flags"]) or "none"
    if facts["attempts"]:
        yield "attempts", "\n".join(map(_attempt, facts["attempts"]))
        memory = facts["peak_memory_mb"]
        yield "ran", _joined(
            facts["device"], facts["host"] and f"host {facts['host']}", facts["torch"] and f"torch {facts['torch']}",
            memory and f"peak memory {memory:,.0f} MB", "deterministic" if facts["deterministic"] else None,
        )  # fmt: skip
        dirty = " with changes that are not committed" if facts["git_dirty"] else ""
        yield "commit", f"{facts['git_commit'] or 'not known'}{dirty}"
    for made in facts["pictures"]:
        if made["quality"]:
            said = " ".join(f"{name}={number(value)}" for name, value in made["quality"].items())
            yield "images", f"{made['label']}\n{said}"


def legend(facts: Facts) -> str:
    """What the columns of the accuracies mean, those that are there."""
    drop = any(row["drop"] is not None for row in facts["accuracy"])
    removed = any(row["removed"] is not None for row in facts["accuracy"])
    return " ".join([*([DROP] if drop else []), *([REMOVED] if removed else []), PROBES])


def number(value: float | None) -> str:
    """Three decimals, as boards have them (results.leaderboard.number, which loads pandas); undefined is an en dash."""
    return "–" if value is None else f"{value:.3f}".replace("-0.000", "0.000")


def _joined(*said: str | None) -> str:
    return " · ".join(dict.fromkeys(filter(None, said)))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _cell(other: Mapping[str, Any]) -> str:
    return f"{other['key'][:12]} {other['label'] or 'no record of it here'}" + (
        f", {other['status']}" if other["status"] else ""
    )


def _attempt(attempt: Mapping[str, Any]) -> str:
    """`2: ok, 8.4 s, 2026-11-26 07:20:14 UTC, stands`."""
    seconds, began = attempt["seconds"], attempt["started"]
    said = [
        f"{attempt['attempt']}: {attempt['status']}",
        None if seconds is None else f"{seconds:,.1f} s",
        began and f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S} UTC",
        attempt["error"] and " ".join(attempt["error"].split()),
        "stands" if attempt["stands"] else None,
    ]
    return ", ".join(filter(None, said))


def _accuracy(facts: Facts) -> Table:
    """A line for each domain, or two: the parent's accuracies, and the cell's."""
    beside = any(row["before"] for row in facts["accuracy"])
    removed = any(row["removed"] is not None for row in facts["accuracy"])
    table = _table("accuracy")
    table.add_column("domain", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    if beside:
        table.add_column("")
    for head in (*HEADS.values(), *(["drop"] if beside else []), *(["removed"] if removed else [])):
        table.add_column(head, justify="right", no_wrap=True)
    for row in facts["accuracy"]:
        part = "" if row["part"] == facts["score"] else f" ({row['part']})"
        now = [number(row[name]) for name in ACCURACIES]
        if not beside:
            table.add_row(Text(f"{row['domain']}{part}"), str(row["total"]), *now)
            continue
        was = [number((row["before"] or {}).get(name)) for name in ACCURACIES]
        table.add_row(Text(f"{row['domain']}{part}"), str(row["total"]), "before", *was, style="dim")
        gone = [number(row["removed"]) if row["role"] != "source" else ""] if removed else []
        table.add_row(Text(f"  {row['role']}"), "", "after", *now, number(row["drop"]), *gone)
    return table


def _curves(lines: Mapping[str, curves.Curve], width: int) -> Table:
    """A line for each curve."""
    table = _table(f"curves, {max(map(len, lines.values()))} epochs")
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=WIDEST // 2)
    table.add_column("", no_wrap=True)
    for side in SIDES:
        table.add_column(side, justify="right", no_wrap=True)
    said = {name: [short(value) for value in curves.ends(line).values()] for name, line in lines.items()}
    numbers = sum(max(4, *(len(texts[i]) for texts in said.values())) + 2 for i in range(len(SIDES)))
    room = width - min(max(map(len, lines)), WIDEST // 2) - numbers - 2
    for name, line in lines.items():
        table.add_row(Text(name), curves.spark(line, max(8, min(WIDEST, room))), *said[name])
    return table


def short(value: float | None) -> str:
    """A value of a curve: four digits of it."""
    return "–" if value is None else f"{value:.4g}"


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
        show_edge=False,
    )  # fmt: skip


def _files(facts: Facts, console: Console) -> None:
    """Where things lie, and whether they are there."""
    own = [(file["what"], file) for file in facts["files"]]
    others = [(f"picture of {made['label']}", made) for made in facts["pictures"] if made["key"] != facts["key"]]
    if own or others:
        _head("files", console)
    for what, file in (*own, *others):
        _whole(f"{what:<12} {facts['directory']}/{file['path']}{'' if file['there'] else '  (gone)'}", console)


def _head(text: str, console: Console) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _whole(text: str, console: Console) -> None:
    """One line, however long: the terminal breaks it, and a copy of it is whole."""
    console.print(Text(text), soft_wrap=True)
