"""The page: one file, nothing fetched, nothing in a name acts, and its numbers are the frame's."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from results import leaderboard
from results.leaderboard import ATTACKERS, display, html, packed
from results.leaderboard.reading import reading
from tests.results.leaderboard.conftest import DOMAINS

EVIL = "<script>alert(1)</script>"
CHROMIUM = shutil.which("chromium")


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(text)
    rows = [dict(zip(data["fields"], row, strict=True)) for row in data["rows"]]
    cells = packed.unpack(data["cells"])
    for row, name in ((row, name) for row in rows for name in ("pairs", "gaps")):
        row[name] = [[*(data["places"][i] for i in cell[:2]), *cell[2:]] for cell in cells[name][row["at"]]]
    return data | {"rows": rows, "cells": cells}


def rendered(path):
    """The document after its scripts ran, as Chromium has it."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={path.parent / 'profile'}",
        "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_page_is_one_offline_file(grid, tmp_path):
    path = html.write(grid().board(), tmp_path / "board.html")
    page = path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]
    addresses = set(re.findall(r"https?://[^\s\"'`]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name space, never fetched
    assert set(re.findall(r"""\b(?:src|href)\s*=\s*["']?([^"'>\s]*)""", page)) == {"data:,"}
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", page)


def test_names_and_errors_cannot_act(grid):
    effects = {EVIL: (0.99, 0.1, 0.2, 0.8, False)}
    board = grid(effects=effects, fail={(EVIL, "uci", "print", 0): EVIL + "]]>&"}, flags={EVIL: [EVIL]}).board()
    page = html.page(board)
    assert EVIL not in page
    assert len(re.findall(r"<script", page)) == 2
    assert len(re.findall(r"</script", page)) == 2
    assert escaping.escape(EVIL) in page  # the failed cell's line
    assert [row["variant"] for row in data_of(page)["rows"]] == [EVIL]
    assert data_of(page)["rows"][0]["flags"] == EVIL


def test_the_json_in_the_page_is_the_frame(grid):
    board = grid(drop=(("cuti", "uci", "print", 1),)).board()
    rows = data_of(html.page(board))["rows"]
    names = ["source_drop", "source_drop_low", "source_drop_high", "st_d"]
    names += [f"target_{what}_{a}" for a in ATTACKERS for what in ("removed", "after", "before")]
    for (_, row), drawn in zip(board.frame.iterrows(), rows, strict=True):
        assert drawn["variant"] == row["variant"]
        assert [drawn[name] for name in names] == pytest.approx([row[name] for name in names], abs=1e-7)
        counts = ("seeds", "units", "pairs_done", "pairs_expected", "failed")
        assert [drawn[name] for name in counts] == [row[name] for name in counts]


def test_undefined_numbers_are_null(grid):
    rows = data_of(html.page(grid(pairs=["uci:uci-m", "uci:print"], seeds=1).board()))["rows"]
    assert all(row["source_drop_low"] is None and row["plane"][3:] == [None] * 4 for row in rows)
    assert all(len(cell) == 5 for row in rows for cell in row["pairs"])  # no list of halves for one seed
    assert [row["rank_argmax"] for row in rows if row["control"]] == [None]


def test_heat_map_cells_are_means_over_seeds_with_their_intervals(grid):
    board = grid().board()
    (row,) = [row for row in data_of(html.page(board))["rows"] if row["variant"] == "cuti"]
    (cell,) = [cell for cell in row["pairs"] if cell[:2] == ["uci", "print"]]
    mine = board.pairs.query("variant == 'cuti' and source == 'uci' and target == 'print' and role == 'target'")
    after, before = mine["target_after_balanced"], mine["target_before_balanced"].mean()
    _, _, n, eligible, means, halves = cell
    assert (n, eligible) == (3, 1)
    assert means[0] == round(1000 * after.mean())
    assert means[1] == round(1000 * (before - after.mean()) / (before - 0.1))
    assert means[4] == round(1000 * mine["target_decoded"].mean())
    assert halves[0] == round(1000 * 4.302653 * after.std(ddof=1) / np.sqrt(3))  # t, 97.5 %, 2 degrees of freedom
    assert len(row["pairs"]) == 12
    (below,) = [row for row in data_of(html.page(board))["rows"] if row["variant"] == "ntl"]
    assert all(means[1] == 1000 for *_, means, _ in below["pairs"])  # 0.08 of 10 classes


def test_the_plane_uses_eligible_pairs_only(grid):
    board = grid(eligible=["uci:print"]).board()
    (row,) = [row for row in data_of(html.page(board))["rows"] if row["variant"] == "cuti"]
    mine = board.pairs.query("variant == 'cuti' and source == 'uci' and target == 'print' and role == 'target'")
    before, after, seeds, half, *_ = row["plane"]
    assert [before, after] == pytest.approx([mine["source_before"].mean(), mine["source_after"].mean()], abs=1e-5)
    assert half == pytest.approx(4.302653 * mine["source_after"].std(ddof=1) / np.sqrt(3), abs=1e-5)
    assert seeds == 3
    assert {tuple(cell[:2]) for cell in row["pairs"] if cell[3]} == {("uci", "print")}


def test_failed_and_missing_cells_are_drawn_and_listed(grid):
    lost = {("ntl", "print", "uci", seed): "ValueError: shapes" for seed in range(3)}
    board = grid(drop=(("cuti", "uci", "print", 1),), fail=lost).board()
    page = html.page(board)
    gaps = {row["variant"]: row["gaps"] for row in data_of(page)["rows"]}
    assert gaps["ntl"] == [["print", "uci", 3, 0, 0]]
    assert gaps["cuti"] == [["uci", "print", 0, 0, 1]]
    assert "print:uci seed 0, 1, 2" in page
    assert "ValueError: shapes" in page
    assert "uci:print seed 1" in page
    assert "3 failed or skipped, 1 missing" in page


def test_the_page_says_where_its_numbers_come_from(grid):
    board = grid().board()
    page = html.page(board)
    footer = page[page.index("<footer>") :]
    for what in (
        "digits-mini version 1",
        board.generated,
        "abcdef0123",
        "cpu on bench",
        "MAP: a re-implementation",
        board.command,
    ):
        assert what in footer


def test_five_thousand_cells_stay_under_half_a_megabyte(grid):
    effects = {f"method-{i}[lam=0.{i}]": (0.99, 0.1, 0.2, 0.8, i > 9) for i in range(12)}
    backbones = tuple(f"net{i}" for i in range(35))
    lost = {(name, "uci", "print", 0): f"ValueError: {name} " + "x" * 2000 for name in effects}
    # one seed per pair: as many lines as there are cells
    board = grid(effects=effects, seeds=1, backbones=backbones, fail=lost).board()
    assert len(board.cells) > 5000
    assert len(html.page(board).encode()) < 500_000


def test_attacks_have_a_section_of_their_own_and_no_part_in_the_heat_map(grid):
    effects = {EVIL: (0.99, 0.1, 0.2, 0.8, False)}
    made = grid(effects=effects, pairs=["uci:uci-m"], attacked=0.4)
    assert 'id="h-attacks"' not in html.page(grid().board())
    board = made.board()
    page = html.page(board)
    section = page[page.index('id="h-attacks"') : page.index('id="h-plane"')]
    assert EVIL not in page
    assert escaping.escape(EVIL) in section
    (group,) = board.groups()
    (row,) = leaderboard.sheets(group)[1].rows
    for value in row.values():
        assert escaping.escape(value.split("±")[0]) in section
    assert "holds no attacks" not in page
    lost = [r for r in made.records if r["cell"]["kind"] != "attack"]
    made.records = lost
    assert all(row["gaps"] == [] for row in data_of(html.page(made.board()))["rows"])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_chromium_draws_the_numbers_that_the_terminal_prints(grid, tmp_path):
    board = grid(drop=(("cuti", "uci", "print", 1),)).board()
    (group,) = board.groups()
    page = rendered(html.write(board, tmp_path / "board.html"))
    table = page[page.index('id="board"') : page.index('id="h-plane"')]
    lines = [re.sub(r"<[^>]+>", " ", line) for line in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
    drawn = [re.sub(r" +±", "±", line).split() for line in lines[1 : 1 + len(group.frame)]]
    for (_, row), cells in zip(group.frame.iterrows(), drawn, strict=True):
        texts = display(row)
        assert cells[:3] == [texts["rank"], texts["variant"], texts["source_drop"]]
        assert cells[3] == texts["target_removed_argmax"]
        after = [texts[f"target_after_{a}"] for a in ATTACKERS]
        assert cells[6:] == [*after, *(texts[name] for name in ("st_d", "n", "pairs", "failed"))]
    assert "f_s, unprotected" in table
    assert "sa-map[cap=sample] ranks first" in page
    assert page.count("<svg") > 1
    assert "1 missing" in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_chromium_shows_an_evil_name_as_text(grid, tmp_path):
    evil = "<img src=x onerror=document.title='owned'>"
    board = grid(effects={evil: (0.99, 0.1, 0.2, 0.8, False)}, pairs=["uci:uci-m"], seeds=1).board()
    page = rendered(html.write(board, tmp_path / "board.html"))
    assert "<img" not in page
    assert "owned</title>" not in page
    assert "&lt;img src=x" in page[page.index('id="board"') :]


def test_a_run_that_has_not_begun_still_makes_a_page(grid):
    made = grid(pairs=["uci:uci-m"], seeds=1)
    made.records.clear()
    page = html.page(made.board())
    assert "0 failed or skipped, 5 missing" in page
    assert all(row["plane"] is None for row in data_of(page)["rows"])


def test_rows_carry_what_attacks_found(grid):
    board = grid(attacked=0.4).board()
    data = data_of(html.page(board))
    assert data["attacks"] == ["probe (n=200)"]
    for _, row in board.attacks.iterrows():
        (drawn,) = [r for r in data["rows"] if r["variant"] == row["variant"]]
        ((attack, _, removed, low, high, before, after, *_, units, done, asked),) = drawn["attacks"]
        names = (
            "target_removed",
            "target_removed_low",
            "target_removed_high",
            "target_attacked_before",
            "target_attacked",
        )
        assert [removed, low, high, before, after] == pytest.approx([row[name] for name in names], abs=1e-7)
        assert (attack, units, done, asked) == (0, row["units"], row["pairs_done"], row["pairs_expected"])


def test_ranks_against_an_attack_follow_the_rule_of_the_board(grid):
    board = grid(attacked=0.4).board()
    ranks = {row["variant"]: row["attacks"][0][1] for row in data_of(html.page(board))["rows"]}
    assert ranks["continue"] is None  # a control
    keeps = board.attacks[board.attacks["variant"].isin(["sa-map[cap=sample]", "cuti"])]
    first, second = (row for _, row in keeps.sort_values("target_removed", ascending=False).iterrows())
    apart = first["target_removed_low"] > second["target_removed_high"]
    assert (ranks[first["variant"]], ranks[second["variant"]]) == (1, 2 if apart else 1)
    assert ranks["ntl"] == 3  # it costs more of the source than the budget, whatever it removes
    made = grid(attacked=0.4)
    lost = next(r for r in made.records if r["cell"]["kind"] == "attack" and r["cell"]["variant"] == "cuti")
    made.records.remove(lost)
    ranks = {row["variant"]: row["attacks"][0][1] for row in data_of(html.page(made.board()))["rows"]}
    assert ranks["cuti"] is None  # a pair of it was not attacked with all its seeds
    assert ranks["ntl"] == 2


def test_a_table_says_what_the_terminal_says(grid):
    board = grid(backbones=("convnet", "vgg11")).board()
    page = html.page(board)
    data = data_of(page)
    for i, group in enumerate(board.groups()):
        found = board.compared(group)
        assert data["groups"][i]["reading"] == reading(group, found)
        assert data["cells"]["readings"][i] == [reading(group, found, a) for a in ("matched", "decoded")]
        pairs = [tuple(data["places"][place] for place in pair) for pair in data["groups"][i]["pairs"]]
        assert pairs == [(s, t) for s in DOMAINS for t in DOMAINS if s != t]
    first = next(board.groups())
    assert escaping.escape(reading(first, board.compared(first)), quote=False) in page.replace("&#39;", "'")
