"""The leaderboard in a terminal: one table per suite, backbone and scenario. `mapbench leaderboard DIR` shows it.

Numbers never wrap. Where the terminal is too narrow the columns a reader can best do without are left out, and the line
under the table names them; the HTML page and the text forms always have all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from results.leaderboard import MAP_SENTENCE, Board, Gap, Sheet, legend, sheets

FIRST_TO_GO = (
    "flags",
    "st_d",
    "target_after_matched",
    "target_after_decoded",
    "pairs",
    "failed",
    "target_removed_matched",
    "target_after_argmax",
    "target_removed_decoded",
    "n",
    "rank",
    "source_attacked",
    "target_attacked_before",
    "target_after",
    "target_gain",
)
SHORTEST_VARIANT = 18  # narrower than this, a variant is folded into rags; a column goes instead
GAPS_SHOWN = 8
ATTACKED = "Attackers: argmax; matched (relabels) and decoded (logits), each fitted on n=200 target images."


def render(board: Board, console: Console) -> None:
    """Print every table of the board, what is failed or missing, and a legend, within the console's width."""
    console.print(Text(board.title, style="bold"))
    console.print(Text(f"{ATTACKED} {MAP_SENTENCE}."))
    for sheet in (sheet for group in board.groups() for sheet in sheets(group)):
        console.print()
        _table(sheet, console)
    _gaps([*board.failed, *board.missing], console)
    console.print()
    for head, meaning in legend(attacked=len(board.attacks) > 0):
        console.print(Text.assemble((head, "bold"), f"  {meaning}"), style="dim")


def _table(sheet: Sheet, console: Console) -> None:
    rows, below, columns = sheet.rows, sheet.below, sheet.columns
    names = [c.name for c in columns if c.name != "flags" or any(row["flags"] for row in rows)]
    natural = {c.name: max(map(len, chain(c.head.split("\n"), (r[c.name] for r in rows + below)))) for c in columns}
    left_out = []
    for name in FIRST_TO_GO:
        # flags make room for whole names: they can stand below the table
        if _width(natural, names, None if name == "flags" else SHORTEST_VARIANT) <= console.width:
            break
        if name in names:
            names.remove(name)
            left_out.append(name)
    variant = max(SHORTEST_VARIANT, natural["variant"] - max(0, _width(natural, names) - console.width))
    variant = min(variant, natural["variant"])

    gap = 1 if _width(natural, names) + len(names) - 1 <= console.width else 0
    table = Table(
        title=escape(sheet.title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,  # it draws one blank between columns
        padding=(0, gap, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        if column.name in names:
            text = column.name in ("variant", "attack", "flags")
            table.add_column(
                column.head,
                justify="left" if text else "right",
                no_wrap=True,
                overflow="ellipsis",
                width=variant if column.name == "variant" else natural[column.name],
            )
    for row in rows:
        style = {"control": "dim", "1": "bold"}.get(row.get("rank", ""), "")
        table.add_row(
            *(Text(folded(row[name], variant) if name == "variant" else row[name]) for name in names), style=style
        )
    if below:
        table.add_section()
        for row in below:
            table.add_row(
                *(Text(folded(row[name], variant) if name == "variant" else row[name]) for name in names),
                style="italic dim",
            )
    console.print(table)
    for note in sheet.notes:
        console.print(Text(note), style="yellow")
    if "flags" in left_out:
        for row in rows:
            if row["flags"]:
                console.print(f"{row['variant']}: {row['flags']}", markup=False, style="yellow")
    left_out = [name for name in left_out if name != "flags"]
    if left_out:
        console.print(f"left out at this width: {', '.join(left_out)}", style="dim")


def folded(text: str, width: int) -> str:
    """A long variant over several lines, broken after its commas: cut short, its settings could not be told apart."""
    lines = [""]
    for piece in re.findall(r"[^,]+,?|,", text) if len(text) > width else [text]:
        if len(lines[-1] + piece) <= width or not lines[-1]:
            lines[-1] += piece
        else:
            lines.append(f"  {piece}")
    return "\n".join(lines)


def _width(natural: dict[str, int], names: list[str], variant: int | None = None) -> int:
    widths = [min(natural[name], variant) if name == "variant" and variant else natural[name] for name in names]
    return sum(widths) + len(names) - 1


def _gaps(gaps: list[Gap], console: Console) -> None:
    if not gaps:
        return
    counts = ", ".join(f"{n} {status}" for status, n in Counter(gap.status for gap in gaps).most_common())
    console.print(f"\ncells without a number: {counts}", style="bold red", highlight=False)
    for gap in gaps[:GAPS_SHOWN]:
        line = f"  {gap.label}: {gap.status}{gap.error and ', ' + ' '.join(gap.error.split())}"
        console.print(Text(line), no_wrap=True, overflow="ellipsis")
    if len(gaps) > GAPS_SHOWN:
        console.print(f"  and {len(gaps) - GAPS_SHOWN} more, all in the page and the JSON", markup=False, style="dim")
