r"""The papers' tables as LaTeX and Markdown: the numbers all forms print, whole tables, and no name that acts.

What LaTeX makes of it is tried with pdflatex where that is installed; a small reader of LaTeX always looks for braces,
cells of a row, and control sequences that nobody meant.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from itertools import accumulate

import pytest
from rich.console import Console

from results import leaderboard
from results.leaderboard import by_pair, papers, papers_text, text

EVIL = (
    r"a_b$\input{/etc/passwd}&%#~^", r"^^5cwrite18{touch x}", "*[2cm]{}}{", "x,[1em]y,*z\\\\[3pt]",
    "ä-α-\u202e-\x1b[2J", "<b>|x|`**\n\n# y", r"}\end{document}",
)  # fmt: skip
MEANT = {
    "begin", "end", "centering", "footnotesize", "setlength", "tabcolsep", "caption", "toprule", "midrule",
    "bottomrule", "shortstack", "textbf", "to", "pm", "cdot", "times", "textbackslash", "textasciitilde",
    "textasciicircum", "textless", "textgreater", "textbar", "&", "%", "$", "#", "_", "{", "}", "\\",
}  # fmt: skip


def evil(grid, **changed):
    effects = {name: (0.99 - i / 20, 0.1 + i / 20, 0.2, 0.8, False) for i, name in enumerate(EVIL)}
    return grid(effects=effects, **changed).board()


def code(latex):
    """The lines that are no comments."""
    return [line for line in latex.splitlines() if not line.startswith("%")]


def control_sequences(latex):
    return re.findall(r"\\([A-Za-z]+|.)", latex, re.DOTALL)


def cells(row):
    r"""The cells of a table's row: what `&` outside braces divides, up to the `\\` that ends it."""
    found, depth, place = [""], 0, 0
    while not row.startswith(r"\\", place) or depth:
        piece = row[place : place + 2] if row[place] == "\\" else row[place]
        depth += {"{": 1, "}": -1}.get(piece, 0)
        if piece == "&" and not depth:
            found.append("")
        else:
            found[-1] += piece
        place += len(piece)
    assert row[place:] == r"\\"
    return [cell.strip() for cell in found]


def test_the_tables_are_whole_whatever_the_names(grid):
    latex = papers_text.to_latex(evil(grid, fail={(EVIL[0], "uci", "print", 0): "\n\\input{x}\x85\\input{y}"}))
    lines = code(latex)
    assert set(control_sequences("\n".join(lines))) <= MEANT
    assert all(ord(c) < 128 for line in lines for c in line)
    whole = re.sub(r"\\[\\{}]", "", "\n".join(lines))
    depths = list(accumulate({"{": 1, "}": -1}.get(c, 0) for c in whole))
    assert min(depths) == depths[-1] == 0
    assert re.sub(r"\\\$", "", whole).count("$") % 2 == 0
    assert [line for line in lines if re.match(r"\\(begin|end)", line)] == [
        r"\begin{table*}", r"\begin{tabular}{llrrrrrr}", r"\end{tabular}", r"\end{table*}",
        r"\begin{table*}", r"\begin{tabular}{llr}", r"\end{tabular}", r"\end{table*}",
    ]  # fmt: skip
    rows = [cells(line) for line in lines if line.endswith(r"\\")]
    assert [len(row) for row in rows] == [8] * (len(rows) // 2) + [3] * (len(rows) // 2)
    assert not re.search(r"(\\\\|\\(mid|top|bottom)rule)\s*[\[*]", "\n".join(lines))  # what these would take for theirs


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended"
)
def test_latex_makes_a_page_of_it(grid, tmp_path):
    board = evil(grid, pairs=["uci:uci-m", "uci:print"])
    preamble = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    body = papers_text.to_latex(board) + text.to_latex(grid(pairs=["uci:uci-m"]).board())
    (tmp_path / "t.tex").write_text(preamble + "\n" + body + "\n" + r"\end{document}" + "\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="latin-1", timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000
    assert {path.name for path in tmp_path.iterdir()} == {"t.tex", "t.pdf", "t.log", "t.aux"}


def test_markdown_tables_keep_their_shape_and_names_stay_text(grid):
    markdown = papers_text.to_markdown(evil(grid))
    plain = [re.sub(r"\\.", "", line) for line in markdown.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in plain} == {9, 4}
    assert "<b>" not in markdown and "\n# y" not in markdown


def test_best_is_bold_and_nothing_else_is(grid):
    far = {"a": (0.99, 0.10, 0.2, 0.8, False), "b": (0.80, 0.40, 0.4, 0.8, False)}
    board = grid(effects=far, pairs=["uci:uci-m", "uci:print"]).board()
    (printed,) = papers.tables(board)
    winners = [line.texts[line.best] for block in printed.blocks for line in block.lines if line.best is not None]
    assert len(winners) == 4
    bold = re.findall(r"\\textbf\{([^}]*)\}", papers_text.to_latex(board))
    assert bold == [papers_text.tex(text) for text in winners]
    assert re.findall(r"\*\*(.*?)\*\*", papers_text.to_markdown(board)) == winners


def test_long_names_stand_in_several_lines(grid):
    name = "sa-map[lam=1,alpha=5,cap=sample]"
    latex = papers_text.to_latex(grid(effects={name: (0.99, 0.1, 0.2, 0.8, False)}, pairs=["uci:print"]).board())
    (head,) = re.findall(r"source & accuracy of & (.*) \\\\", latex)
    assert head == r"\shortstack[r]{{}sa-map[lam=1,\\{}alpha=5,\\{}cap=sample]}"


def test_gaps_are_comments_in_latex_and_a_list_in_markdown(grid):
    fail = {("cuti", "uci", "print", 0): "ValueError: two\nlines"}
    board = grid(pairs=["uci:uci-m", "uci:print"], drop=(("ntl", "uci", "print", 1),), fail=fail).board()
    latex, markdown = papers_text.to_latex(board), papers_text.to_markdown(board)
    assert "% failed: cuti convnet uci:print seed 0 ValueError: two lines" in latex.splitlines()
    assert "% missing: ntl convnet uci:print seed 1" in latex.splitlines()
    assert "- cuti convnet uci:print seed 0: failed, ValueError: two lines" in markdown.splitlines()
    assert "n: seeds 3, train cells 3, pairs 2/2" in markdown and "MAP: a re-implementation" in latex


def test_terminal_markdown_latex_csv_and_json_print_the_same_numbers_of_a_row(grid):
    board = grid(pairs=["uci:uci-m", "uci:print"]).board()
    console = Console(file=io.StringIO(), width=160, color_system=None)
    by_pair.render(board, console)
    shown = console.file.getvalue().splitlines()
    frame = by_pair.frame(board)
    as_csv = list(csv.DictReader(io.StringIO(frame.to_csv(index=False))))
    as_json = json.loads(by_pair.to_json(board))
    heads = list(by_pair.HEADS)
    forms = {
        "latex": [cells(line) for line in papers_text.to_latex(board).splitlines() if line.endswith(r"\\")],
        "markdown": [
            [cell.strip() for cell in line.strip("|").split(" | ")]
            for line in papers_text.to_markdown(board).replace("\\", "").splitlines()
            if line.startswith("| ")
        ],
    }
    forms["latex"] = [[cell.replace(r"$\to$", "→").replace(r"$\pm$", "±") for cell in row] for row in forms["latex"]]
    columns = [head.partition("\n")[0] for head in papers.tables(board)[0].heads]
    for row, from_csv, from_json in zip(frame.to_dict("records"), as_csv, as_json, strict=True):
        pair, variant = row["pair"], row["variant"]
        after = shown[shown.index(next(line for line in shown if line.strip() == pair)) :]
        words = next(line.split() for line in after if line.split()[:1] == [variant])
        terminal = dict(zip(heads, words[2:], strict=True))
        for name in heads:
            assert terminal[name] == leaderboard.number(float(from_csv[name])) == leaderboard.number(from_json[name])
        for rows in forms.values():
            (of,) = (cell for cell in rows if cell[1] == f"→ {row['target']}")
            before, left = re.match(r"(\S+) → ([^±]+)±", of[2 + columns.index(variant)]).groups()
            assert [before, left] == [f"{float(terminal[n]) * 100:.1f}" for n in ("target_before", "target_after")]
        (line,) = [rows for rows in forms["latex"] if rows[1] == "source"]
        own = frame[frame["variant"] == variant]["source_after"].mean()
        assert line[2 + columns.index(variant)].split("→ ")[1].startswith(papers.percent(own))
