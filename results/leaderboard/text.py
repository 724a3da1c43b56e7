"""The leaderboard as JSON, CSV, Markdown and LaTeX, from the same frame as the terminal's and the page's.

    mapbench leaderboard runs/digits-mini --markdown     (or --json, --csv, --latex)

JSON and CSV carry every column unrounded; Markdown and LaTeX carry the terminal's columns, three decimals. An undefined
number is null, empty or a dash: never 0.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from results.leaderboard import INTERVALS, MAP_SENTENCE, Board, legend, sheets
from results.stats import ROW

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("variant", "attack", "flags")  # columns of words; the others are numbers, to the right

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    "·": r"$\cdot$",
    "\n": " ",
}
_MARKDOWN = {c: f"\\{c}" for c in "\\`*_[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " "}


def to_json(board: Board) -> str:
    """One object: title, where the numbers come from, the frame's rows, what tables mix and lack, failed and missing
    cells."""
    groups = list(board.groups())
    whole = {
        "title": board.title,
        "generated": board.generated,
        "commit": board.commit,
        "machine": board.machine,
        "command": board.command,
        "map": MAP_SENTENCE,
        "intervals": INTERVALS,
        "rows": records(board.frame),
        "attacks": records(board.attacks),
        "mixed": [{"table": g.title, "differs": g.mixed} for g in groups if g.mixed],
        "incomplete": [{"table": g.title, "rows": g.incomplete} for g in groups if g.incomplete],
        "failed": [asdict(gap) for gap in board.failed],
        "missing": [asdict(gap) for gap in board.missing],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as plain dicts with None for what is undefined."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


def to_csv(board: Board) -> str:
    """The frame, one line per variant; each attack's numbers stand in columns of its own at the end, such as
    `target_attacked probe n=200`."""
    wide = board.frame
    for (attack, n), rows in board.attacks.groupby(["attack", "n"]):
        numbers = [name for name in rows.columns if name.startswith(("target_", "source_"))]
        names = {name: f"{name} {attack} n={n}" for name in numbers}
        wide = wide.merge(rows[[*ROW, *numbers]].rename(columns=names), on=ROW, how="left")
    return wide.to_csv(index=False, lineterminator="\n")


def to_markdown(board: Board) -> str:
    """A table per group, the legend, and the cells that failed or are missing."""
    lines = [f"# {markdown(board.title)}", "", f"{MAP_SENTENCE}. ± is {INTERVALS}"]
    for sheet in (sheet for group in board.groups() for sheet in sheets(group)):
        lines += ["", f"## {markdown(sheet.title)}", "", _row(markdown(c.head) for c in sheet.columns)]
        lines.append(_row("---" if c.name in WORDS else "---:" for c in sheet.columns))
        lines += [_row(markdown(row[c.name]) for c in sheet.columns) for row in sheet.rows + sheet.below]
        lines += [line for note in sheet.notes for line in ("", markdown(note))]
    for word, gaps in (("Failed", board.failed), ("Missing", board.missing)):
        if gaps:
            lines += ["", f"{word} cells:", ""]
            lines += ["- " + markdown(f"{g.label}: {g.status}{g.error and ', ' + g.error}") for g in gaps]
    meanings = legend(attacked=len(board.attacks) > 0)
    lines += ["", *(f"- **{markdown(head)}** {markdown(meaning)}" for head, meaning in meanings)]
    lines += ["", f"{board.generated}; commit {markdown(board.commit)}; {markdown(board.machine)}; `{board.command}`"]
    return "\n".join(lines) + "\n"


def to_latex(board: Board) -> str:
    r"""A booktabs table per group (`\usepackage{booktabs}`); every LaTeX special in a name is escaped."""
    blocks = [f"% {' '.join(board.title.split())}; {board.generated}; commit {board.commit}"]
    for sheet in (sheet for group in board.groups() for sheet in sheets(group)):
        columns = [c for c in sheet.columns if c.name != "flags"]
        align = "".join("l" if c.name in WORDS else "r" for c in columns)
        body = [" & ".join(latex(row[c.name]) for c in columns) + r" \\" for row in sheet.rows + sheet.below]
        blocks += [f"% {' '.join(note.split())}" for note in sheet.notes]
        blocks.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering\small",
                    rf"\caption{{{latex(f'{board.title}. {sheet.title}. {MAP_SENTENCE}. ± is {INTERVALS}')}}}",
                    rf"\begin{{tabular}}{{{align}}}",
                    r"\toprule",
                    " & ".join(latex(c.head) for c in columns) + r" \\",
                    r"\midrule",
                    *body,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    blocks += [f"% {g.status}: {' '.join(f'{g.label} {g.error}'.split())}" for g in [*board.failed, *board.missing]]
    return "\n\n".join(blocks) + "\n"


def latex(text: str) -> str:
    """Text with every character that LaTeX would act on made harmless."""
    return "".join(_LATEX.get(c, c) for c in text)


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    return "".join(_MARKDOWN.get(c, c) for c in text)


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
