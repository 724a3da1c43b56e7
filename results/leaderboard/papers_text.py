r"""The papers' tables (papers.py) as LaTeX and as Markdown.

    mapbench leaderboard runs/digits-mini --by-pair --latex > tables.tex     (or --markdown)

LaTeX asks for `\usepackage{booktabs}` and nothing else. Names come from whoever named a method or a domain, so no
character of theirs acts: what plain LaTeX has no letter for is printed by its number, and no line begins with a name,
since `\\` and `\midrule` take a `[` or a `*` that follows for their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from results.leaderboard import Board, papers
from results.leaderboard.terminal import folded
from results.leaderboard.text import latex, markdown

HEAD_WIDTH = 16  # characters; longer names are broken after their commas
SIGNS = {"→": r"$\to$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "–": "--", "−": "$-$"}


def to_latex(board: Board) -> str:
    """One table environment for each of papers.tables, and as comments what each needs and what is not there."""
    lost = [f"{gap.status}: {gap.label} {gap.error}" for gap in [*board.failed, *board.missing]]
    blocks = [
        "\n".join(
            [
                _comment(f"{board.title}; {board.generated}; commit {board.commit}"),
                r"% in the preamble: \usepackage{booktabs}",
            ]
        )
    ]
    blocks += [_environment(board, table) for table in papers.tables(board)]
    return "\n\n".join([*blocks, *(_comment(line) for line in lost)]) + "\n"


def _environment(board: Board, table: papers.Printed) -> str:
    body: list[str] = []
    for block in table.blocks:
        body.append(r"\midrule")
        for number, line in enumerate(block.lines):
            first = "{}" + tex(block.name) if number == 0 else ""
            texts = [rf"\textbf{{{tex(t)}}}" if place == line.best else tex(t) for place, t in enumerate(line.texts)]
            body.append(rf"{first} & {tex(line.label)} & {' & '.join(texts)} \\")
    return "\n".join(
        [
            r"\begin{table*}",  # over both columns of a paper that has two
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{tex(' '.join([f'{board.title}. {table.title}.', *table.notes]))}}}",
            rf"\begin{{tabular}}{{ll{'r' * len(table.heads)}}}",
            r"\toprule",
            rf"source & accuracy of & {' & '.join(_head(head) for head in table.heads)} \\",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
        ]
    )


def _head(text: str) -> str:
    """A name over several lines where it is long."""
    lines = [line.strip() for part in text.split("\n") for line in folded(part, HEAD_WIDTH).split("\n")]
    stacked = r"\\".join("{}" + tex(line) for line in lines)
    return rf"\shortstack[r]{{{stacked}}}" if len(lines) > 1 else tex(text)


def tex(text: str) -> str:
    """Text that LaTeX prints as it is; a letter beyond ASCII as `(U+03B1)`."""
    return "".join(SIGNS.get(c) or (latex(c).removeprefix("{}") if " " <= c <= "~" else _other(c)) for c in text)


def _other(c: str) -> str:
    return " " if c.isspace() else f"(U+{ord(c):04X})"


def _comment(text: str) -> str:
    return f"% {' '.join(''.join(c if c.isprintable() else ' ' for c in text).split())}"


def to_markdown(board: Board) -> str:
    """A heading and a table for each of papers.tables, its notes below it, then the cells without a number."""
    lines = [f"# {markdown(board.title)}"]
    for table in papers.tables(board):
        lines += ["", f"## {markdown(table.title)}", "", _row(["source", "accuracy of", *map(markdown, table.heads)])]
        lines.append(_row(["---", "---", *("---:" for _ in table.heads)]))
        for block in table.blocks:
            for number, line in enumerate(block.lines):
                texts = [
                    f"**{markdown(t)}**" if place == line.best else markdown(t) for place, t in enumerate(line.texts)
                ]
                lines.append(_row([markdown(block.name) if number == 0 else "", markdown(line.label), *texts]))
        lines += [line for note in table.notes for line in ("", markdown(note))]
    lost = [f"{gap.label}: {gap.status}{gap.error and ', ' + gap.error}" for gap in [*board.failed, *board.missing]]
    if lost:
        lines += ["", "Cells without a number:", "", *(f"- {markdown(line)}" for line in lost)]
    lines += ["", f"{board.generated}; commit {markdown(board.commit)}; {markdown(board.machine)}; `{board.command}`"]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
