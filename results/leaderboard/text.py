"""The leaderboard as JSON, CSV, Markdown and LaTeX, from the same frame as the terminal's and the page's.

    mapbench leaderboard runs/digits-mini --markdown     (or --json, --csv, --latex)

JSON and CSV carry every column unrounded; Markdown and LaTeX carry the terminal's columns, three decimals. An undefined
number is null, empty or a dash: never 0. Whatever a name holds, it is shown and does nothing (results/plain.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from results.leaderboard import INTERVALS, MAP_SENTENCE, Board, Sheet, legend, sheets
from results.leaderboard.reading import told
from results.plain import plain, plain_json
from results.stats import ROW

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("variant", "attack", "flags")  # columns of words; the others are numbers, to the right
FORMULA = tuple("=+-@＝＋－＠")  # what a text begins with that a spreadsheet computes

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
}
_LATIN = re.compile("[À-ÏÑ-ÖØ-Ýß-ïñ-öø-ýÿ]")  # what LaTeX has in each of its own encodings
_MARKDOWN = {c: f"\\{c}" for c in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


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
    return plain_json(json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False))


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
        names = {name: plain(f"{name} {attack} n={n}") for name in numbers}
        wide = wide.merge(rows[[*ROW, *numbers]].rename(columns=names), on=ROW, how="left")
    return as_csv(wide)


def as_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, numbers unrounded, empty where undefined.

    A text that a spreadsheet would compute (`=cmd()`) gets an apostrophe before it, which makes it text there. No name
    of ours begins so: the file says the same as the frame unless records from elsewhere hold such a name."""
    from pandas.api.types import is_numeric_dtype

    words = {str(name): frame[name].map(_inert) for name in frame.columns if not is_numeric_dtype(frame[name])}
    return frame.assign(**words).to_csv(index=False, lineterminator="\n")


def _inert(value: Any) -> Any:
    """A cell of the CSV that nothing computes; what is no text stays what it is."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def to_markdown(board: Board) -> str:
    """A table per group, the legend, and the cells that failed or are missing."""
    lines = [f"# {markdown(board.title)}", "", f"{MAP_SENTENCE}. ± is {INTERVALS}"]
    for sheet, said in _said(board):
        lines += ["", f"## {markdown(sheet.title)}", "", _row(markdown(c.head) for c in sheet.columns)]
        lines.append(_row("---" if c.name in WORDS else "---:" for c in sheet.columns))
        lines += [_row(markdown(row[c.name]) for c in sheet.columns) for row in sheet.rows + sheet.below]
        lines += [line for note in (said, *sheet.notes) if note for line in ("", markdown(note))]
    for word, gaps in (("Failed", board.failed), ("Missing", board.missing)):
        if gaps:
            lines += ["", f"{word} cells:", ""]
            lines += ["- " + markdown(f"{g.label}: {g.status}{g.error and ', ' + g.error}") for g in gaps]
    meanings = legend(attacked=len(board.attacks) > 0)
    lines += ["", *(f"- **{markdown(head)}** {markdown(meaning)}" for head, meaning in meanings)]
    machine, command = markdown(board.machine), _code(board.command)
    lines += ["", f"{board.generated}; commit {markdown(board.commit)}; {machine}; {command}"]
    return "\n".join(lines) + "\n"


def _said(board: Board) -> Iterator[tuple[Sheet, str]]:
    """Every table, and the sentences on it."""
    for group in board.groups():
        first, *attacked = sheets(group)
        yield first, told(board, group)
        yield from ((sheet, "") for sheet in attacked)


def to_latex(board: Board) -> str:
    r"""A booktabs table per group (`\usepackage{booktabs}`); every LaTeX special in a name is escaped."""
    blocks = [f"% {board.title}; {board.generated}; commit {board.commit}"]
    for sheet, said in _said(board):
        columns = [c for c in sheet.columns if c.name != "flags"]
        align = "".join("l" if c.name in WORDS else "r" for c in columns)
        body = [" & ".join(latex(row[c.name]) for c in columns) + r" \\" for row in sheet.rows + sheet.below]
        blocks += [f"% {' '.join(latex(note).split())}" for note in (said, *sheet.notes) if note]
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
    blocks += ["% " + plain(f"{g.status}: {g.label} {g.error}") for g in [*board.failed, *board.missing]]
    return "\n\n".join(blocks) + "\n"


def latex(text: str) -> str:
    r"""Text with every character that LaTeX would act on made harmless, and for pdflatex too: a letter that not every
    LaTeX has is shown by its number, `[U+4E2D]`."""
    safe = "".join(map(_set, plain(text)))
    return f"{{}}{safe}" if safe.startswith(("[", "*")) else safe  # after \\ these would be its arguments


def _set(character: str) -> str:
    if character in _LATEX or character.isascii() or _LATIN.fullmatch(character):
        return _LATEX.get(character, character)
    return f"[U+{ord(character):04X}]"


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    return "".join(_MARKDOWN.get(c, c) for c in plain(text))


def _code(text: str) -> str:
    """Text as Markdown's code, whatever backticks are in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
