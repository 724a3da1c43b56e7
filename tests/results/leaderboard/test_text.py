"""JSON, CSV, Markdown and LaTeX say what the frame says, and no name can act."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import pytest

from results.leaderboard import by_pair, display, text

ODD = {r"a_b$\input{x}&%#~^": (0.99, 0.1, 0.2, 0.8, False), "<b>|x|`*": (0.98, 0.2, 0.3, 0.8, False)}


def test_json_and_csv_carry_the_frame_unrounded(grid):
    board = grid(pairs=["uci:uci-m", "print:uci"], seeds=2).board()
    rows = json.loads(text.to_json(board))["rows"]
    table = list(csv.DictReader(io.StringIO(text.to_csv(board))))
    assert list(rows[0]) == list(table[0]) == list(board.frame.columns)
    for (_, row), as_json, as_csv in zip(board.frame.iterrows(), rows, table, strict=True):
        for name in ("source_drop", "target_removed_decoded", "target_after_matched", "target_removed_argmax_low"):
            assert as_json[name] == pytest.approx(row[name], abs=1e-14)
            assert float(as_csv[name]) == pytest.approx(row[name], abs=1e-14)


def test_undefined_is_null_in_json_and_empty_in_csv(grid):
    board = grid(pairs=["uci:uci-m"], seeds=1).board()
    rows = json.loads(text.to_json(board))["rows"]
    assert all(row["source_drop_low"] is None for row in rows)
    assert all(row["source_drop_low"] == "" for row in csv.DictReader(io.StringIO(text.to_csv(board))))
    assert [row["rank_argmax"] for row in rows if row["control"]] == [None]


def test_failed_and_missing_cells_are_in_every_long_form(grid):
    board = grid(drop=(("cuti", "uci", "print", 1),), fail={("ntl", "print", "uci", 0): "diverged"}).board()
    whole = json.loads(text.to_json(board))
    assert [gap["error"] for gap in whole["failed"]] == ["diverged"]
    assert [gap["targets"] for gap in whole["missing"]] == ["print"]
    for form in (text.to_markdown(board), text.to_latex(board)):
        assert "ntl convnet print:uci seed 0" in form
        assert "cuti convnet uci:print seed 1" in form


def test_markdown_and_latex_print_the_terminals_numbers(grid):
    board = grid().board()
    (group,) = board.groups()
    markdown, latex = text.to_markdown(board), text.to_latex(board)
    for _, row in group.frame.iterrows():
        values = display(row)
        line = f"| {values['rank']} | {text.markdown(values['variant'])} | {values['source_drop']} | "
        assert line + values["target_removed_argmax"] in markdown
        cells = [text.latex(v) for name, v in values.items() if name not in ("rank", "variant", "flags")]
        (line,) = [line for line in latex.splitlines() if f" & {text.latex(values['variant'])} & " in line]
        assert all(value in line for value in cells)
    assert "MAP: a re-implementation" in markdown
    assert "MAP: a re-implementation" in latex


def test_markdown_tables_keep_their_shape_whatever_the_names(grid):
    markdown = text.to_markdown(grid(effects=ODD).board())
    rows = [re.sub(r"\\.", "", line) for line in markdown.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert "<b>" not in markdown


def test_latex_specials_are_harmless(grid):
    latex = text.to_latex(grid(effects=ODD).board())
    assert r"\input{" not in latex
    assert r"a\_b\$\textbackslash{}input\{x\}\&\%\#\textasciitilde{}\textasciicircum{}" in latex
    body = [line for line in latex.splitlines() if line.endswith(r" \\")]
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in body}) == 1


def test_attacks_are_in_every_form(grid):
    board = grid(pairs=["uci:uci-m", "print:uci"], seeds=2, attacked=0.4).board()
    rows = json.loads(text.to_json(board))["attacks"]
    assert [row["variant"] for row in rows] == list(board.attacks["variant"])
    table = {row["variant"]: row for row in csv.DictReader(io.StringIO(text.to_csv(board)))}
    assert len(table) == len(board.frame)
    for row in rows:
        assert float(table[row["variant"]]["target_attacked probe n=200"]) == pytest.approx(row["target_attacked"])
        assert row["target_gain"] == pytest.approx(row["target_attacked"] - 0.5)
    for form, escape in ((text.to_markdown(board), text.markdown), (text.to_latex(board), text.latex)):
        assert form.count(escape("f_s attacked")) >= 1
        assert form.count("probe") >= len(rows)


EVIL = {
    "x\x1b[2J\x9b3m": (0.99, 0.1, 0.2, 0.8, False),
    "two\nlines\r\u202e": (0.98, 0.2, 0.3, 0.8, False),
    "=cmd|' /C calc'!A0": (0.97, 0.3, 0.4, 0.8, False),
    "\t@SUM(1)": (0.96, 0.3, 0.4, 0.8, False),
    "plain-1": (1.02, 0.3, 0.4, 0.8, False),
}
ERROR = "ValueError: \x1b]0;title\x07 a\u200bb\n\\input{x} \udcff"


@pytest.fixture
def evil(grid):
    """A board whose names and errors would act on what shows them."""
    board = grid(effects=EVIL, attacked=0.4, fail={("plain-1", "uci", "print", 0): ERROR}).board()
    return dataclasses.replace(board, attacks=board.attacks.assign(attack="+probe\x1b[2J[n=20]"))


@pytest.mark.parametrize(
    "form", [text.to_json, text.to_csv, text.to_markdown, text.to_latex, by_pair.to_json, by_pair.to_csv]
)
def test_no_form_holds_a_character_that_acts_or_hides(evil, form):
    assert all(line.isprintable() for line in form(evil).split("\n"))


def test_json_keeps_every_name_as_it_is(evil):
    whole = json.loads(text.to_json(evil))
    assert {row["variant"] for row in whole["rows"]} == set(EVIL)
    assert {row["attack"] for row in whole["attacks"]} == {"+probe\x1b[2J[n=20]"}
    assert {row["variant"] for row in json.loads(by_pair.to_json(evil))} == set(EVIL)


@pytest.mark.parametrize("form", [text.to_csv, by_pair.to_csv])
def test_csv_has_nothing_that_a_spreadsheet_computes_and_its_numbers_are_numbers(evil, form):
    rows = list(csv.DictReader(io.StringIO(form(evil))))
    shown = {r"x\x1b[2J\x9b3m", r"two lines \u202e", "'=cmd|' /C calc'!A0", "' @SUM(1)", "plain-1"}
    assert {row["variant"] for row in rows} == shown
    assert all(float(row["source_drop"]) < 0 for row in rows if row["variant"] == "plain-1")


def test_latex_takes_a_name_as_text_wherever_it_stands_and_in_any_letters():
    assert text.latex("[2pt]") == "{}[2pt]"
    assert text.latex("*") == "{}*"
    assert text.latex("a[b]*") == "a[b]*"
    assert text.latex("naïve 中ł") == "naïve [U+4E2D][U+0142]"
    assert text.latex("^^41\\write18{x}") == r"\textasciicircum{}\textasciicircum{}41\textbackslash{}write18\{x\}"


def test_markdown_shows_dollars_and_a_command_with_backticks(grid):
    made = grid(effects={"a$x$b": (0.99, 0.1, 0.2, 0.8, False)})
    made.plan["command"] = "mapbench run 'a`b``c'"
    said = text.to_markdown(made.board())
    assert r"| a\$x\$b |" in said
    assert said.rstrip().endswith("``` mapbench run 'a`b``c' ```")
