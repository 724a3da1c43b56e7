"""The board pair by pair: a union's figure is the mean of its domains that count, each of which has its own row."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from results import leaderboard, tables
from results.leaderboard import by_pair, number


def board(records, plan):
    built = tables.build(records, plan)
    frames = (built[name].to_pandas() for name in ("cells", "pairs", "attacks"))
    return leaderboard.assemble(*frames, plan, "test", "run")


@pytest.fixture
def union(make):
    """A source a, alone against b and at once against b and c, two seeds; of f_s's targets c is at `weak`."""

    def build(weak: int = 60, **suite):
        records = []
        for seed in range(2):
            parent = make.train(seed=seed, correct={"b": 70, "c": weak})
            alone = make.protect(parent, ["b"], {"a": 90, "b": 30 + 10 * seed})
            both = make.protect(parent, ["b", "c"], {"a": 81, "b": 40, "c": 5 + 2 * seed})
            records += [parent, alone, both]
        return board(records, make.plan(*records, **suite))

    return build


def rows(board):
    return {(row["pair"], row["target"]): row for row in by_pair.frame(board).to_dict("records")}


def test_a_union_has_a_row_for_each_domain_and_their_mean_apart_from_the_pair_alone(union):
    got = rows(union())
    assert list(got) == [("a:b", "b"), ("a:*", ""), ("a:*", "b"), ("a:*", "c")]
    assert got["a:b", "b"]["target_after_balanced"] == pytest.approx(0.35)
    assert got["a:b", "b"]["target_removed"] == pytest.approx(0.35 / 0.6)
    assert (got["a:b", "b"]["source_drop"], got["a:b", "b"]["seeds"]) == (0, 2)
    whole = got["a:*", ""]
    assert got["a:*", "b"]["target_removed"] == pytest.approx(0.5)
    assert got["a:*", "c"]["target_removed"] == 1  # below chance earns nothing more
    assert whole["target_removed"] == pytest.approx(0.75)
    assert whole["target_after_balanced"] == pytest.approx((0.4 + 0.06) / 2)
    assert whole["source_drop"] == pytest.approx(0.1)


def test_a_domain_that_does_not_count_is_shown_and_left_out_of_the_mean(union):
    for got in (rows(union(weak=20)), rows(union(eligible=["a:b"]))):
        assert not got["a:*", "c"]["counted"]
        assert got["a:*", ""]["target_removed"] == got["a:*", "b"]["target_removed"] == pytest.approx(0.5)
    none = rows(union(eligible=["b:a"]))["a:*", ""]
    assert not none["counted"] and none["target_removed"] != none["target_removed"]
    assert none["target_after_balanced"] == pytest.approx(0.23)


def test_the_leaderboards_figure_is_the_mean_of_these_rows(grid):
    one = grid(eligible=None).board()
    frame = by_pair.frame(one)
    for _, row in one.frame.iterrows():
        mine = frame[frame["variant"] == row["variant"]]
        assert mine["target_removed"].mean() == pytest.approx(row["target_removed_argmax"])


def test_the_terminal_shows_pairs_variants_and_what_does_not_count(union):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    by_pair.render(union(weak=20), console)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["a:b"] in lines and ["a:*"] in lines
    whole, weak = ["0.700", "0.400", "0.429"], ["0.200", "0.060", "0.700"]  # top-1, and what is lost of it
    assert ["cut", "2", "0.900", "0.810", "0.100", "0.700", "0.400", "0.500", "0.400", "0.400", *whole] in lines
    assert ["c", "(-)", "2", "0.900", "0.810", "0.100", "0.200", "0.060", "1.000", "0.060", "0.060", *weak] in lines


def test_json_is_the_frame_with_null_where_a_number_is_undefined(union):
    (whole,) = (row for row in json.loads(by_pair.to_json(union(eligible=["b:a"]))) if row["target"] == "")
    assert whole["target_removed"] is None and whole["pair"] == "a:*"


def test_a_board_without_a_pair_has_no_rows(grid):
    waiting = grid()
    waiting.records = []
    assert by_pair.frame(waiting.board()).empty


def test_what_papers_print_stands_beside_it_with_an_interval_over_seeds(union):
    got = rows(union())
    alone, both, whole = got["a:b", "b"], got["a:*", "c"], got["a:*", ""]
    assert (alone["target_before"], alone["target_after"]) == pytest.approx((0.7, 0.35))
    assert (alone["target_drop"], alone["st_d"]) == (pytest.approx(0.5), 0)
    half = 12.7062 * 0.1 / 2**0.5 / 2**0.5  # t, 97.5 %, 1 degree of freedom; 0.3 and 0.4
    assert (alone["target_after_low"], alone["target_after_high"]) == pytest.approx(
        (0.35 - half, 0.35 + half), rel=1e-4
    )
    assert both["st_d"] == pytest.approx(0.1 / (1 - 0.06 / 0.6))
    assert both["source_after_low"] == both["source_after_high"] == pytest.approx(0.81)
    assert whole["st_d"] == pytest.approx(0.1 / whole["target_drop"])
    assert whole["target_after_low"] != whole["target_after_low"]  # not known: NaN, not a number


def test_no_interval_for_one_seed_and_no_ratio_of_a_target_that_got_better(make):
    parent = make.train()
    one = [parent, make.protect(parent, ["b"], {"b": 80})]
    (row,) = by_pair.frame(board(one, make.plan(*one))).to_dict("records")
    assert row["target_drop"] == pytest.approx(-1 / 7)
    assert all(row[name] != row[name] for name in ("st_d", "target_after_low", "source_after_high"))


@pytest.mark.parametrize("width", [60, 70, 80])
def test_a_narrow_terminal_names_the_columns_it_left_out_and_cuts_no_number(union, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    by_pair.render(union(), console)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert "left out at this width: target_drop" in text
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_cuts_no_number_and_names_what_it_left_out(grid, width):
    odd = {"sa-map[cap=sample,lam=0.5,steps=2000]": (0.995, 0.1, 0.14, 0.85, False)}
    odd["x\x1b[2J\u202e"] = (0.9, 0.2, 0.3, 0.8, False)
    board = grid(effects=odd, seeds=1).board()
    console = Console(file=io.StringIO(), width=width, color_system=None)
    by_pair.render(board, console)
    said = console.file.getvalue()
    assert all(line.isprintable() and len(line) <= width for line in said.split("\n"))
    assert "…" not in said and r"x\x1b[2J\u202e" in said
    left_out = re.search(r"left out at this width: ((?:\w+,\s+)*\w+)", said)
    gone = re.split(r",\s+", left_out[1]) if left_out else []
    assert (width == 120) == (not gone)
    for _, row in by_pair.frame(board).iterrows():
        numbers = [number(row[name]) for name in by_pair.HEADS if name not in gone]
        assert any(line.split()[-len(numbers) :] == numbers for line in said.splitlines()), row["pair"]
