"""Two variants, or two runs, beside each other in a terminal and as JSON. `mapbench compare DIR A B` shows it.

A table per setting: what there is of either side, and the difference. Below it the sentence to quote, how often either
side is ahead, where the models' answers differ, what one side lacks, and what else is not the same on both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from results import quote, records
from results.leaderboard import ATTACKERS, COLUMNS, INTERVALS, MAP_SENTENCE, number
from results.paired import Difference
from results.quantities import AFTER, ATTACKED, DROP, REMOVED, Line
from results.versus import Report, Versus

HEADS = ("", "a", "b", "a - b", "df", "n", "pairs", "p", "p Holm")
QUANTITIES = {DROP: "source drop", REMOVED: "removed", AFTER: "target after", ATTACKED: "target"}
ONLY_MODELS = "This speaks of these trained models only, not of methods."
SHOWN = 8  # observations that one side lacks, by name; the JSON has all
NARROW = 18  # the first column may be folded to this


def quotes(report: Report) -> list[str]:
    """A sentence for each table."""
    if report.runs:
        return [quote.of_runs(table, len(report.found)) for table in tables(report)]
    return [quote.of_variants(one) for one in report.found]


def tables(report: Report) -> list[list[Versus]]:
    """What stands in one table: of two runs, the variants of one setting and scenario."""
    return [list(of) for _, of in groupby(report.found, key=lambda one: one.setting)]


def to_json(report: Report) -> str:
    """Everything, unrounded; null where a number is undefined."""
    comparisons = [
        asdict(one) | {"answers": asdict(one.answers) | {"beyond_chance": one.answers.beyond_chance}}
        for one in report.found
    ]
    whole = {
        "a": report.a, "b": report.b, "kind": "runs" if report.runs else "variants", "quotes": quotes(report),
        "comparisons": comparisons, "only_a": report.only_a, "only_b": report.only_b,
        "map": MAP_SENTENCE, "intervals": INTERVALS, "mcnemar": ONLY_MODELS,
    }  # fmt: skip
    return json.dumps(json.loads(records.dump(whole)), ensure_ascii=False, indent=1)


def render(report: Report, console: Console, title: str) -> None:
    """Print the tables and what is to be said of each, then what one side alone has, and what the words mean."""
    console.print(Text(title, style="bold"))
    console.print(Text(f"{MAP_SENTENCE}."))
    for table, sentence in zip(tables(report), quotes(report), strict=True):
        console.print()
        console.print(Text(_title(table[0]), style="bold"))
        console.print(Text(f"a: {table[0].a}\nb: {table[0].b}"))
        console.print(_table(table, report.runs, console.width))
        console.print(Text(sentence, style="bold"))
        if report.runs:
            console.print()
            console.print(_by_variant(table))
        for line, style in _below(table, report.runs):
            console.print(Text(line, style=style))
    for name, only in ((report.a, report.only_a), (report.b, report.only_b)):
        if only:
            console.print(Text(f"\nonly {name} has: {', '.join(only)}"))
    console.print()
    attacked = any(line.quantity == ATTACKED for one in report.found for line in one.lines)
    _legend(_meanings(report.runs, attacked), console)


def _title(one: Versus) -> str:
    parts = [one.suite, one.backbone, one.scenario]
    parts += [f"split_seed {one.split_seed}"] if one.split_seed else []
    return " · ".join(parts + ([f"scored on {one.score}"] if one.score != "test" else []))


def _table(found: Sequence[Versus], runs: bool, width: int) -> Table:
    heads = HEADS if runs else HEADS[:-1]
    rows = [(one, [_cells(line)[: len(heads)] for line in one.lines]) for one in found]
    widest = [max(len(cells[i]) for _, of in rows for cells in of) for i in range(len(heads))]
    # the box draws one blank between columns; a second where there is room
    gap = int(sum(max(w, len(h)) + 2 for w, h in zip(widest, heads, strict=True)) <= width)
    table = Table(box=SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(heads[0], min_width=NARROW, overflow="fold")
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for one, of in rows:
        if runs:
            table.add_row(Text(one.variant, style="bold"))
        for first, *rest in of:
            table.add_row(*map(escape, (f"  {first}" if runs else first, *rest)))
    return table


def _cells(line: Line) -> list[str]:
    """A line as text, in the order of HEADS."""
    change = line.difference
    head = ", ".join(filter(None, [QUANTITIES[line.quantity], line.attacker]))
    n = [str(change.df) if _defined(change.low) else "–", f"{line.seeds}/{change.units}", str(change.pairs)]
    p = [_p(change.p), _p(line.p_holm) if _defined(line.p_holm) else ""]
    return [head, number(line.a), number(line.b), _difference(change), *n, *p]


def _difference(change: Difference) -> str:
    """`-0.120±0.030`; the difference alone where there is no interval."""
    if not _defined(change.estimate):
        return number(None)
    half = f"±{number((change.high - change.low) / 2)}" if _defined(change.low) else ""
    return quote.signed(change.estimate) + half


def _p(p: float) -> str:
    return "–" if not _defined(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _defined(value: float) -> bool:
    return not math.isnan(value)


def _by_variant(found: Sequence[Versus]) -> Table:
    """Of two runs: what `_ahead` and `_answers` say, a row per variant."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("(pair, seed) by (pair, seed)", min_width=NARROW, overflow="fold")
    for head in ("a removes\nmore", "as\nmuch", "less", "models\ndiffer", "images named\notherwise"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in found:
        change, models = one.primary.difference, one.answers.models
        images, other = (sum(getattr(each, name) for each in models) for name in ("images", "other_answers"))
        told = [f"{one.answers.beyond_chance}/{len(models)}", f"{other:,}/{images:,}"] if models else [number(None)] * 2
        counts = (str(n) for n in (change.wins, change.ties, change.losses))
        table.add_row(*map(escape, (one.variant, *counts, *told)))
    return table


def _below(table: Sequence[Versus], runs: bool) -> Iterator[tuple[str, str]]:
    """Lines under a table, each with its style."""
    for one in table if not runs else ():
        yield f"{_ahead(one)}; {_answers(one)}", ""
    if any(one.answers.models for one in table):
        yield ONLY_MODELS, "dim"
    if unread := sum(one.answers.unread for one in table):
        yield f"on {unread} (pair, seed) the answers of one side were not kept, or are to other images", "yellow"
    lacks = [(one, name, what) for one in table for name, what in ((one.a, one.lacks_a), (one.b, one.lacks_b)) if what]
    for text in _once([(f"{name} lacks {_some(what)}", one) for one, name, what in lacks], len(table)):
        yield f"{text}: left out on both sides", "yellow"
    for text in _once([(warning, one) for one in table for warning in one.warnings], len(table)):
        yield f"warning: {text}", "yellow"


def _once(said: Sequence[tuple[str, Versus]], of: int) -> Iterator[str]:
    """Each text once, with the variants that it is said of, where it is not said of all."""
    by_text: dict[str, list[str]] = {}
    for text, one in said:
        by_text.setdefault(text, []).append(one.variant)
    for text, variants in by_text.items():
        yield text if len(variants) == of else f"{text} ({', '.join(variants)})"


def _ahead(one: Versus) -> str:
    change = one.primary.difference
    of = change.wins + change.ties + change.losses
    more = f"a removes more (argmax) in {change.wins}, as much in {change.ties}, less in {change.losses}"
    return f"{more} of {of} (pair, seed)"


def _answers(one: Versus) -> str:
    """Where the two models of a (pair, seed) differ."""
    models = one.answers.models
    if not models:
        return "no kept answers to compare"
    images, other = (sum(getattr(each, name) for each in models) for name in ("images", "other_answers"))
    return (
        f"on {one.answers.beyond_chance} of {len(models)} (pair, seed) the two models' answers differ beyond chance "
        f"(exact McNemar of right and wrong, Holm); they name other classes for {other:,} of {images:,} target images"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _meanings(runs: bool, attacked: bool) -> Mapping[str, str]:
    helps = {column.name: column.help for column in COLUMNS}
    attacks = {"attacks": "the model as an attack left it; `mapbench list methods` says what each does"}
    by_variant = {
        "p Holm": "removed, argmax: corrected over all variants that are compared here",
        "models differ": "on how many (pair, seed) the two models' right and wrong answers differ beyond chance (exact "
        "McNemar, Holm)",
        "images": "of the targets, and for how many the two models name different classes",
    }
    return {
        "a, b": "means over the (source, target, seed) that both have, by the board's rules",
        "a - b": f"paired, on the same train cells; ± {INTERVALS}",
        "source drop": helps[DROP],
        "removed": helps["target_removed_argmax"],
        "target after": helps["target_after_argmax"],
        **ATTACKERS,
        **(attacks if attacked else {}),
        "n": helps["n"],
        "pairs": "that the line is about: all for the source drop, else the eligible ones",
        "p": "two-sided, of the t-test that the interval belongs to",
        **(by_variant if runs else {}),
    }


def _legend(meanings: Mapping[str, str], console: Console) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for head, meaning in meanings.items():
        grid.add_row(Text(head, style="bold dim"), Text(meaning, style="dim"))
    console.print(grid)
