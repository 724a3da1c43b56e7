"""Strength fronts: variants that differ in one number, in its order, and nothing else."""

from __future__ import annotations

import pandas as pd

from results.leaderboard import fronts


def frame(*rows):
    return pd.DataFrame(rows, columns=["method", "control"])


def test_variants_that_differ_in_one_number_are_in_its_order():
    params = [{"lam": 1.0, "cap": "none"}, {"lam": 0.1, "cap": "none"}, {"lam": 0.5, "cap": "sample"}]
    assert fronts.of(frame(*[("sa-map", False)] * 3), params) == [("lam", [(1, 0.1), (0, 1.0)])]


def test_a_variant_may_stand_on_two_fronts():
    params = [{"lam": 1, "alpha": 1}, {"lam": 2, "alpha": 1}, {"lam": 1, "alpha": 5}]
    found = dict(fronts.of(frame(*[("sa-map", False)] * 3), params))
    assert found == {"lam": [(0, 1.0), (1, 2.0)], "alpha": [(0, 1.0), (2, 5.0)]}


def test_other_methods_controls_words_and_switches_make_none():
    assert fronts.of(frame(("a", False), ("b", False)), [{"lam": 1}, {"lam": 2}]) == []
    assert fronts.of(frame(("a", True), ("a", True)), [{"lam": 1}, {"lam": 2}]) == []
    assert fronts.of(frame(("a", False), ("a", False)), [{"cap": "x"}, {"cap": "y"}]) == []
    assert fronts.of(frame(("a", False), ("a", False)), [{"bn": True}, {"bn": False}]) == []
    assert fronts.of(frame(("a", False), ("a", False)), [{}, {"lam": 1}]) == []


def test_settings_come_from_the_plan_and_from_the_cells(grid):
    made = grid(pairs=["uci:uci-m"], seeds=1)
    for cell in (*made.plan["cells"], *(record["cell"] for record in made.records)):
        cell["params"] = {"lam": 0.5}
    board = made.board()
    assert list(fronts.settings(board).values()) == [{"lam": 0.5}] * 4
    made.plan["cells"] = []
    assert fronts.settings(made.board()) == fronts.settings(board)
