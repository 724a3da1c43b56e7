"""Differences between variants on the same train cells: by hand, and by simulation where they are tests."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, wilcoxon

from results import paired, stats, tables
from tests.results.simulation import Design

PAIRS = {(s, d) for s in "ab" for d in "abc" if s != d}


def frames(make: SimpleNamespace, left: Any, methods: tuple[str, ...] = ("one", "two"), seeds: int = 3) -> Any:
    """The pairs and cells of methods on sources a and b; `left(method, source, target, seed)` are changed counts."""
    records = []
    for source, seed in itertools.product("ab", range(seeds)):
        parent = make.train(source, seed)
        records.append(parent)
        for method, target in itertools.product(methods, make.domains):
            if target != source and (counts := left(method, source, target, seed)) is not None:
                records.append(make.protect(parent, [target], counts, method, {"control": method in ("flat", "even")}))
    built = tables.build(records, None)
    return built["pairs"].to_pandas(), built["cells"].to_pandas()


def sides(pairs: pd.DataFrame, *methods: str) -> list[pd.DataFrame]:
    return [pairs[(pairs["variant"] == method) & (pairs["role"] == "target")] for method in methods]


def test_a_difference_by_hand(make: SimpleNamespace) -> None:
    """f_s knows 70 of 100, chance is 10: each count left is 1/60 of what there was to remove."""
    counts = {"one": (20, 22, 24), "two": (30, 34, 32)}
    pairs, _ = frames(make, lambda m, s, target, i: {target: counts[m][i] + (s == "b")})
    got = paired.removed_difference(*sides(pairs, "one", "two"), PAIRS)
    assert got.estimate == pytest.approx(10 / 60)
    assert (got.units, got.pairs, got.df) == (6, 4, 4)
    assert (got.wins, got.ties, got.losses) == (12, 0, 0)
    spread = np.std([10, 12, 8], ddof=1) / 60  # of a train cell's mean over its two pairs, which move together
    error = spread * math.sqrt(2 / 3) / 2
    half = t.ppf(0.975, 4) * error
    assert (got.low, got.high) == pytest.approx((10 / 60 - half, 10 / 60 + half))
    assert got.p == pytest.approx(2 * t.sf(10 / 60 / error, 4))
    back = paired.removed_difference(*sides(pairs, "two", "one"), PAIRS)
    assert (back.estimate, back.p, back.wins, back.losses) == pytest.approx((-got.estimate, got.p, 0, 12))


def test_what_a_train_cell_does_to_both_falls_out(make: SimpleNamespace) -> None:
    shift = {("a", 0): 9, ("a", 1): -3, ("b", 2): 6}  # far apart, and alike for both
    pairs, cells = frames(
        make, lambda m, s, target, i: {target: 30 + shift.get((s, i), 0) + (m == "two") * (2 + (i == 0))}
    )
    one, two = sides(pairs, "one", "two")
    got = paired.removed_difference(one, two, PAIRS)
    assert got.p < 0.001
    rows = stats.board(pairs, cells, None).set_index("variant")
    assert rows.loc["one", "target_removed_argmax_low"] < rows.loc["two", "target_removed_argmax_high"]  # yet overlap


def test_it_is_the_difference_of_the_boards_numbers(make: SimpleNamespace) -> None:
    rng = np.random.default_rng(3)
    pairs, cells = frames(
        make, lambda m, s, target, i: {target: int(rng.integers(5, 40)), s: int(rng.integers(80, 91))}
    )
    rows = stats.board(pairs, cells, None).set_index("variant")
    one, two = sides(pairs, "one", "two")
    for attacker in stats.ATTACKERS:
        got = paired.removed_difference(one, two, PAIRS, attacker)
        column = f"target_removed_{attacker}"
        assert got.estimate == pytest.approx(rows.loc["one", column] - rows.loc["two", column])
    got = paired.mean_difference(one, two, "source_drop")
    assert got.estimate == pytest.approx(rows.loc["one", "source_drop"] - rows.loc["two", "source_drop"])
    assert (got.units, got.pairs, got.df) == (6, 4, 4)


def test_below_chance_is_chance_and_adds_no_spread(make: SimpleNamespace) -> None:
    pairs, _ = frames(make, lambda m, s, target, i: {target: (3 + i if m == "one" else 9 - i)})
    got = paired.removed_difference(*sides(pairs, "one", "two"), PAIRS)
    assert (got.estimate, got.low, got.high, got.p) == (0.0, 0.0, 0.0, 1.0)
    assert (got.wins, got.ties, got.losses) == (0, 12, 0)


def test_only_what_both_have_is_compared(make: SimpleNamespace) -> None:
    """`two` lacks the hard pair a:b at seed 1 and all of b:c: neither may help it."""

    def left(method: str, source: str, target: str, seed: int) -> dict[str, int] | None:
        if method == "two" and ((source, target, seed) == ("a", "b", 1) or (source, target) == ("b", "c")):
            return None
        hard = (source, target) in {("a", "b"), ("b", "c")}
        return {target: (60 if hard else 20) + (method == "two") * (6 + seed)}

    pairs, _ = frames(make, left)
    got = paired.removed_difference(*sides(pairs, "one", "two"), PAIRS)
    assert (got.pairs, got.units) == (3, 6)
    assert got.estimate == pytest.approx(np.mean([(6 + 8) / 2, 7, 7]) / 60)
    assert got.wins == 8
    assert paired.mean_difference(*sides(pairs, "one", "two"), "source_drop").pairs == 3


def test_a_pair_where_there_is_nothing_to_remove_is_in_no_difference(make: SimpleNamespace) -> None:
    """f_s is below chance on a:b, whatever protection does there."""
    records = []
    for source, seed in itertools.product("ab", range(3)):
        parent = make.train(source, seed, {"b": 8} if source == "a" else None)
        records.append(parent)
        for (method, gain), target in itertools.product({"one": 0, "two": 6}.items(), make.domains):
            if target != source:
                records.append(make.protect(parent, [target], {target: 30 + gain + seed}, method))
    pairs = tables.build(records, None)["pairs"].to_pandas()
    got = paired.removed_difference(*sides(pairs, "one", "two"), PAIRS)
    assert (got.pairs, got.units, got.wins, got.losses) == (3, 6, 9, 0)
    assert got.estimate == pytest.approx(6 / 60)


def test_one_seed_has_a_difference_and_no_test(make: SimpleNamespace) -> None:
    pairs, cells = frames(make, lambda m, s, target, i: {target: 20 + 5 * (m == "two")}, seeds=1)
    got = paired.removed_difference(*sides(pairs, "one", "two"), PAIRS)
    assert got.estimate == pytest.approx(5 / 60)
    assert math.isnan(got.low)
    assert math.isnan(got.p)
    assert (got.units, got.df) == (2, 0)
    table = paired.compared(stats.board(pairs, cells, None), pairs, cells, PAIRS)
    assert table["p_holm"].isna().all()


def test_nothing_in_common_is_undefined_not_zero(make: SimpleNamespace) -> None:
    pairs, _ = frames(make, lambda m, s, target, i: {target: 20} if (m == "one") == (s == "a") else None)
    for got in (
        paired.removed_difference(*sides(pairs, "one", "two"), PAIRS),
        paired.mean_difference(*sides(pairs, "one", "two"), "source_drop"),
    ):
        assert math.isnan(got.estimate)
        assert math.isnan(got.p)
        assert (got.units, got.pairs, got.wins, got.ties, got.losses) == (0, 0, 0, 0, 0)


def test_the_table_has_methods_among_themselves_and_each_beside_the_controls(make: SimpleNamespace) -> None:
    counts = {"one": 20, "two": 30, "three": 30, "flat": 15, "even": 12}
    pairs, cells = frames(make, lambda m, s, target, i: {target: counts[m] + i * (m != "one")}, tuple(counts))
    rows = stats.board(pairs, cells, None).sort_values("target_removed_argmax", ascending=False)
    assert rows["variant"].tolist()[:2] == ["even", "flat"]  # controls first, as on a board where they remove more
    got = paired.compared(rows, pairs, cells, PAIRS)
    assert tuple(got.columns) == paired.COLUMNS
    mine = got[got["attacker"] == "argmax"]
    methods, controls = (mine[mine["family"] == name] for name in ("methods", "controls"))
    assert len(methods) == 3
    assert set(controls["a"]) == {"one", "two", "three"}
    assert set(controls["b"]) == {"flat", "even"}
    assert (controls["difference"] < 0).all()
    for family in (methods, controls):
        assert family["p_holm"].tolist() == pytest.approx(paired.holm(family["p"].tolist()))
    alone = paired.removed_difference(*sides(pairs, "one", "two"), PAIRS)
    (row,) = methods[(methods["a"] == "one") & (methods["b"] == "two")].to_dict("records")
    assert (row["difference"], row["p"], row["units"]) == pytest.approx((alone.estimate, alone.p, alone.units))
    assert set(got["differs"]) == {""}


def test_a_comparison_that_mixes_torch_versions_says_so(make: SimpleNamespace) -> None:
    pairs, cells = frames(make, lambda m, s, target, i: {target: 20 + i})
    cells.loc[cells["variant"] == "two", "torch"] = "2.15.0"
    got = paired.compared(stats.board(pairs, cells, None), pairs, cells, PAIRS)
    assert set(got["differs"]) == {"torch 2.15.0, 2.9"}


def test_holm_by_hand() -> None:
    got = paired.holm([0.04, 0.01, math.nan, 0.03])
    assert got[:2] == pytest.approx([0.06, 0.03])
    assert math.isnan(got[2])
    assert got[3] == pytest.approx(0.06)
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]
    assert paired.holm([]) == []


def test_cliques_are_the_longest_runs_that_are_not_told_apart() -> None:
    apart = {frozenset(pair) for pair in ("ad", "ae", "be")}
    assert paired.cliques("abcde", apart) == [["a", "b", "c"], ["b", "c", "d"], ["c", "d", "e"]]
    assert paired.cliques("abc", {frozenset(p) for p in ("ab", "bc", "ac")}) == []
    assert paired.cliques("ab", set()) == [["a", "b"]]
    assert paired.cliques("", set()) == []


def test_the_paired_interval_covers_and_the_test_holds_its_level() -> None:
    """On 4 sources x 3 seeds; tests/bench/coverage.py has other designs, with more runs."""
    rng, design = np.random.default_rng(5), Design()
    apart = replace(design, shift=0.03)
    gap = apart.removed[0] - apart.removed[1]
    covered, rejected = [], []
    for _ in range(800):
        got = paired.removed_difference(*apart.run(rng), apart.pairs)
        covered.append(got.low <= gap <= got.high)
        rejected.append(paired.removed_difference(*design.run(rng), design.pairs).p < 0.05)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(rejected) <= 0.07


def test_holm_holds_the_level_of_a_whole_table() -> None:
    """Five equal methods, ten pairs of them: how often any is said to differ from any other."""
    rng, design = np.random.default_rng(13), Design(methods=5)
    found = []
    for _ in range(120):
        every = itertools.combinations(design.run(rng), 2)
        p = [paired.removed_difference(a, b, design.pairs).p for a, b in every]
        found.append((min(p) < 0.05, min(paired.holm(p)) < 0.05))
    uncorrected, corrected = np.mean(found, axis=0)
    assert corrected <= 0.09
    assert uncorrected > 0.15


def test_taking_the_pairs_of_one_train_cell_for_independent_would_not_hold_it() -> None:
    """What this file guards against: at a nominal 5 % Wilcoxon's test over (pair, seed) rejects far more often."""
    rng, design = np.random.default_rng(12), Design()
    ours, naive = [], []
    for _ in range(200):
        one, two = design.run(rng)
        ours.append(paired.mean_difference(one, two, "target_after_balanced").p < 0.05)
        naive.append(wilcoxon(one["target_after_balanced"], two["target_after_balanced"]).pvalue < 0.05)
    assert np.mean(ours) <= 0.08
    assert np.mean(naive) > 0.15
