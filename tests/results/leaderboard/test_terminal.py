"""The terminal board: everything at 120 columns, less but never torn at 80."""

from __future__ import annotations

import dataclasses
import io
import re

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from results.leaderboard import COLUMNS, display, terminal

LONG = {
    "sa-map[cap=sample,lam=0.5,steps=2000]": (0.995, 0.1, 0.14, 0.85, False),
    "cuti": (0.97, 0.2, 0.3, 0.8, False),
    "continue": (1.003, 0.61, 0.62, 0.7, True),
    "untrained": (0.1, 0.1, 0.12, 0.52, True),
}


def shown(board, width):
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    terminal.render(board, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(grid, width):
    board = grid(effects=LONG).board()
    (group,) = board.groups()
    text = shown(board, width)
    assert all(len(line) <= width for line in text.splitlines())
    for _, row in group.frame.iterrows():
        line = next(line for line in text.splitlines() if display(row)["source_drop"] in line)
        assert display(row)["target_removed_argmax"] in line
        assert "…" not in line


def test_a_long_variant_is_folded_whole(grid):
    text = shown(grid(effects=LONG).board(), 80)
    assert "…" not in text
    first = next(i for i, line in enumerate(text.splitlines()) if "sa-map[cap=sample," in line)
    folded = [re.split(r"\d\.\d{3}±", line)[0].split()[-1] for line in text.splitlines()[first : first + 3]]
    assert "".join(folded) == "sa-map[cap=sample,lam=0.5,steps=2000]"


def test_all_columns_stand_at_120(grid):
    board = grid(effects=LONG).board()
    (group,) = board.groups()
    text = shown(board, 120)
    assert "left out" not in text
    for _, row in group.frame.iterrows():
        line = next(line for line in text.splitlines() if display(row)["source_drop"] in line)
        assert all(value in line for name, value in display(row).items() if name not in ("variant", "flags"))


def test_a_narrow_board_names_the_columns_it_left_out(grid):
    text = shown(grid().board(), 80)
    left_out = re.search(r"left out at this width: ((?:\w+,\s+)*\w+)", text).group(1)
    assert set(re.split(r",\s+", left_out)) < {column.name for column in COLUMNS}
    assert "st_d" in left_out
    assert "removed removed removed" in text  # all three attackers still stand


def test_it_says_whose_map_this_is_what_the_attackers_know_and_what_failed(grid):
    board = grid(
        drop=(("cuti", "uci", "print", 1),),
        fail={("ntl", "print", "uci", 0): "ValueError: [red]two\nlines"},
        flags={"ntl": ["not-taken-off"]},
    ).board()
    text = shown(board, 120)
    assert "clean behaviour" in text
    assert "MAP: a re-implementation" in text
    assert "n=200" in text
    assert "cells without a number: 1 failed, 1 missing" in text
    assert "ntl convnet print:uci seed 0: failed, ValueError: [red]two lines" in text
    assert "cuti convnet uci:print seed 1: missing" in text
    assert "not-taken-off" in text
    assert "f_s, unprotected" in text
    assert "control continue" in text


@pytest.mark.parametrize("width", [60, 80, 100, 130])
def test_the_attack_table_fits_and_names_what_each_number_is_read_beside(grid, width):
    board = grid(effects=LONG, attacked=0.4).board()
    text = shown(board, width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "probe" in text
    for row in board.attacks.itertuples():
        assert f"{row.target_attacked:.3f}" in text
    assert "0.500" in text  # from scratch
    if width == 130:
        assert "left out" not in text
        assert "attacked: gain" in text


ODD = {
    "x" * 300: (0.995, 0.1, 0.14, 0.85, False),
    "域适应[" + "数据=样本," * 12 + "最后]": (0.99, 0.15, 0.2, 0.8, False),
    "a\x1b[2J:eyes:": (0.97, 0.2, 0.3, 0.8, False),
    "b[red]\u202e\nc\\": (0.96, 0.25, 0.3, 0.8, False),
}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_any_name_is_shown_harmless_within_the_width_and_every_number_whole(grid, width):
    board = grid(
        effects=ODD,
        attacked=0.4,
        fail={("a\x1b[2J:eyes:", "print", "uci", 0): "\x07"},
        flags={"b[red]\u202e\nc\\": ["odd\x1b[2J", ":smile:"]},
    ).board()
    names = ("probe[n=20]", "bn-reestimate+fine-tune[" + "lr=0.001," * 9 + "n=20]")
    attacks = pd.concat([board.attacks.assign(attack=name) for name in names], ignore_index=True)
    board = dataclasses.replace(board, attacks=attacks)
    (group,) = board.groups()
    text = shown(board, width)
    assert all(line.isprintable() and cell_len(line) <= width for line in text.split("\n"))
    for _, row in group.frame.iterrows():
        line = next(line for line in text.splitlines() if display(row)["source_drop"] in line)
        assert display(row)["target_removed_argmax"] in line
    for row in group.attacks.itertuples():
        assert f"{row.target_attacked:.3f}" in text
    pieces = r"a\x1b[2J:eyes:", r"b[red]\u202e c\ ", "lr=0.001,", "bn-reestimate+", r"failed, \x07", r"odd\x1b[2J"
    assert [piece for piece in (*pieces, ":smile:, odd") if piece not in text] == []
    tables = re.sub(r"(?ms)^(Against an attacker|No method) .*?\n\n", "\n", text)  # without the sentences
    assert tables.count("数据=样本,") == 12 * (1 + len(names))  # whole in each of its rows


def test_letters_that_are_two_columns_wide_have_their_room(grid):
    name = "域" * 20
    assert name in shown(grid(effects={name: (0.99, 0.1, 0.2, 0.8, False)}).board(), 200)
