"""The leaderboard in a terminal: one table per suite, backbone and scenario. `mapbench leaderboard DIR` shows it.

Numbers never wrap. Where the terminal is too narrow the columns a reader can best do without are left out, and the line
under the table names them; the HTML page and the text forms always have all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.leaderboard import MAP_SENTENCE, Board, Gap, Sheet, legend, sheets
from results.leaderboard.reading import told
from results.plain import plain

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
    "attack",  # is folded, and stays
    "images",
    "target_scratch",
)
SHORTEST_VARIANT = 18  # narrower than this, a variant is folded into rags; a column goes instead
LONGEST_ATTACK = 32  # a longer one is folded too
GAPS_SHOWN = 8
ATTACKED = "Attackers: argmax; matched (relabels) and decoded (logits), each fitted on n=200 target images."


def render(board: Board, console: Console) -> None:
    """Print every table of the board, what is failed or missing, and a legend, within the console's width."""
    console.print(Text(board.title, style="bold"))
    console.print(Text(f"{ATTACKED} {MAP_SENTENCE}."))
    for group in board.groups():
        for place, sheet in enumerate(sheets(group)):
            console.print()
            _table(sheet, console)
            if place == 0 and (said := told(board, group)):
                console.print(Text(said))
    _gaps([*board.failed, *board.missing], console)
    console.print()
    for head, meaning in legend(attacked=len(board.attacks) > 0):
        console.print(Text.assemble((head, "bold"), f"  {meaning}"), style="dim")


def _table(sheet: Sheet, console: Console) -> None:
    rows, below, columns = sheet.rows, sheet.below, sheet.columns
    names = [c.name for c in columns if c.name != "flags" or any(row["flags"] for row in rows)]
    natural = {
        c.name: max(map(cell_len, chain(c.head.split("\n"), (r[c.name] for r in rows + below)))) for c in columns
    }
    natural["attack"] = min(natural.get("attack", 0), LONGEST_ATTACK)
    left_out: list[str] = []
    for name in FIRST_TO_GO:
        # flags make room for whole names: they can stand below the table
        over = _width(natural, names, None if name == "flags" else SHORTEST_VARIANT) - console.width
        if over <= 0:
            break
        if name == "attack":
            natural[name] = max(natural[name] - over, min(natural[name], SHORTEST_VARIANT))
        elif name in names:
            names.remove(name)
            left_out.append(name)
    variant = max(SHORTEST_VARIANT, natural["variant"] - max(0, _width(natural, names) - console.width))
    variant = min(variant, natural["variant"])

    gap = 1 if _width(natural, names) + len(names) - 1 <= console.width else 0
    table = Table(
        title=Text(sheet.title, style="bold"),
        title_justify="left",
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
    widths = {"variant": variant, "attack": natural["attack"]}
    for row in rows:
        style = {"control": "dim", "1": "bold"}.get(row.get("rank", ""), "")
        table.add_row(*_cells(row, names, widths), style=style)
    if below:
        table.add_section()
        for row in below:
            table.add_row(*_cells(row, names, widths), style="italic dim")
    console.print(table)
    for note in sheet.notes:
        console.print(Text(note), style="yellow")
    if "flags" in left_out:
        for row in rows:
            if row["flags"]:
                console.print(Text(f"{row['variant']}: {row['flags']}", style="yellow"))
    left_out = [name for name in left_out if name != "flags"]
    if left_out:
        console.print(f"left out at this width: {', '.join(left_out)}", style="dim")


def _cells(row: dict[str, str], names: list[str], widths: dict[str, int]) -> list[Text]:
    return [Text(folded(row[name], widths[name]) if name in widths else row[name]) for name in names]


def folded(text: str, width: int) -> str:
    """A long variant or attack over several lines, broken after its commas and pluses: cut short, its settings could
    not be told apart."""
    lines = [""]
    for piece in re.findall(r"[^,+]+[,+]?|[,+]", text) if cell_len(text) > width else [text]:
        if cell_len(lines[-1] + piece) <= width or not lines[-1]:
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
        said = plain(" ".join(gap.error.split()))
        line = f"  {gap.label}: {gap.status}{said and ', ' + said}"
        console.print(Text(line), no_wrap=True, overflow="ellipsis")
    if len(gaps) > GAPS_SHOWN:
        console.print(f"  and {len(gaps) - GAPS_SHOWN} more, all in the page and the JSON", markup=False, style="dim")
