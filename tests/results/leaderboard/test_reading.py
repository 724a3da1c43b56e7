"""The sentences on a table: they name the best within the budget, how sure that is, and who beats it anyway."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from results.leaderboard import number, terminal, text, with_interval
from results.leaderboard.reading import COMPARED, p_text, reading, told


def said(grid, attacker="argmax", **made):
    board = grid(**made).board()
    (group,) = board.groups()
    return reading(group, board.compared(group), attacker), group.frame.set_index("variant")


def test_it_names_the_best_its_interval_its_n_and_the_next(grid):
    text, rows = said(grid)
    best, next_ = "sa-map[cap=sample]", "cuti"
    assert text.startswith(
        f"Against an attacker who takes the model's answers as they are, {best} ranks first among methods that keep "
        f"their source drop under 0.02: it removes {with_interval(rows.loc[best], 'target_removed_argmax')} of the "
        f"target accuracy above chance at a source drop of {with_interval(rows.loc[best], 'source_drop')} "
        f"(n = 12 train cells, 3 seeds, {int(rows.loc[best, 'eligible_pairs'])} eligible pairs)."
    )
    gap = rows.loc[best, "target_removed_argmax"] - rows.loc[next_, "target_removed_argmax"]
    assert f"{next_} comes next and, on the same train cells, removes {number(gap)}±" in text
    assert "Holm's p < 0.001)." in text
    assert "3 seeds are fewer than 5: ranks are not settled." in text


def test_who_removes_more_at_a_price_is_named_with_the_price(grid):
    text, rows = said(grid, attacker="argmax")
    assert f"ntl removes more ({with_interval(rows.loc['ntl'], 'target_removed_argmax')}), but its source drop" in text
    assert with_interval(rows.loc["ntl"], "source_drop") in text


def test_the_strongest_attacker_has_a_word(grid):
    name = "sa-map[cap=sample]"
    text, rows = said(grid)
    left = with_interval(rows.loc[name], "target_removed_decoded")
    assert f"But the strongest attacker tried on {name}, who decodes the logits by a logistic map" in text
    assert f"has all of it back, and more than f_s's answers gave away: {left} removed." in text
    text, _ = said(grid, attacked=0.99)
    assert f"But the strongest attacker tried on {name}, who uses probe on 200 images, has all of it back" in text
    text, rows = said(grid, effects={"cuti": (0.985, 0.13, 0.18, 0.40, False)})
    left = with_interval(rows.loc["cuti"], "target_removed_decoded")
    assert f"fitted on n = 200 labelled target images, leaves {left} of it removed." in text


def test_a_control_that_does_as_well_has_a_word(grid):
    best = {"one": (0.995, 0.200, 0.2, 0.8, False)}
    text, rows = said(grid, effects=best | {"flat": (0.999, 0.201, 0.2, 0.8, True)})
    assert rows["target_removed_argmax"]["flat"] < rows["target_removed_argmax"]["one"]
    assert (
        f"The control flat cannot be told apart from it: {with_interval(rows.loc['flat'], 'target_removed_argmax')}"
        in text
    )
    text, _ = said(grid, effects=best | {"flat": (0.999, 0.5, 0.2, 0.8, True)})
    assert "control" not in text
    text, _ = said(grid, effects=best | {"flat": (0.90, 0.10, 0.2, 0.8, True)})  # it costs the source
    assert "control" not in text


def test_what_cannot_be_told_apart_says_so(grid):
    effects = {
        "one": (0.995, 0.200, 0.2, 0.8, False),
        "two": (0.995, 0.201, 0.2, 0.8, False),
        "flat": (0.999, 0.10, 0.1, 0.8, True),
    }
    text, _ = said(grid, effects=effects)
    assert "one and two share the first rank" in text
    assert "two comes next and, on the same train cells, cannot be told apart from it (a difference of" in text
    assert "The control flat removes as much or more:" in text


def test_another_attacker_has_another_order_and_the_difference_its_own_sign(grid):
    effects = {"one": (0.995, 0.10, 0.50, 0.8, False), "two": (0.995, 0.20, 0.30, 0.8, False)}
    text, rows = said(grid, effects=effects)
    gap = rows["target_removed_argmax"]["one"] - rows["target_removed_argmax"]["two"]
    assert f"two comes next and, on the same train cells, removes {number(gap)}±" in text
    text, rows = said(grid, attacker="matched", effects=effects)
    gap = rows["target_removed_matched"]["two"] - rows["target_removed_matched"]["one"]
    assert f"one comes next and, on the same train cells, removes {number(gap)}±" in text
    assert text.count(" less (df") == 1
    assert "who relabels the answers" in text


def test_one_train_cell_and_no_rank_say_so(grid):
    text, _ = said(grid, seeds=1)
    assert "One train cell per source: there is no interval, and nothing can be told apart." in text
    assert "Holm" not in text
    dropped = tuple((v, "uci", "print", 0) for v in ("sa-map[cap=sample]", "cuti", "ntl"))
    text, _ = said(grid, drop=dropped)
    assert text == "No method is ranked: pairs are missing, or no pair is eligible."


def test_where_none_keeps_the_source_the_first_words_say_it(grid):
    text, _ = said(grid, effects={"ntl": (0.90, 0.08, 0.30, 0.75, False)})
    assert text.startswith("No method keeps its source drop under 0.02.")


@pytest.mark.parametrize(("p", "text"), [(0.0002, "< 0.001"), (0.0044, "0.004"), (0.031, "0.03"), (1.0, "1.00")])
def test_p_is_printed_as_exactly_as_it_means_something(p, text):
    assert p_text(np.float64(p)) == text


def test_the_text_forms_print_it_below_its_table(grid):
    board = grid(attacked=0.4).board()
    (group,) = board.groups()
    words = told(board, group)
    assert words == reading(group, board.compared(group))
    console = Console(file=io.StringIO(), width=100, color_system=None)
    terminal.render(board, console)
    assert words in " ".join(console.file.getvalue().split())
    assert text.markdown(words) in text.to_markdown(board)
    assert f"% {text.latex(words)}" in text.to_latex(board)
    controls = grid(effects={"continue": (1.003, 0.61, 0.62, 0.70, True)}).board()
    assert [told(controls, group) for group in controls.groups()] == [""]


def test_a_board_that_nobody_reads_as_text_has_its_sentences_on_the_page(grid):
    many = {f"m[lam=0.{i}]": (0.99, 0.1 + i / 1000, 0.2, 0.7, False) for i in range(COMPARED + 1)}
    board = grid(effects=many, pairs=["uci:print"], seeds=2).board()
    (group,) = board.groups()
    assert told(board, group) == ""
    assert reading(group, board.compared(group)).startswith("Against an attacker")
