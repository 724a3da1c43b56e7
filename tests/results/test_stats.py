"""The board's numbers, by hand where they are small and by simulation where they are intervals."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from results import stats, tables

FROZEN = ["a:b", "a:c", "b:a", "b:c"]


def board(records: list[dict[str, Any]], plan: dict[str, Any] | None) -> pd.DataFrame:
    built = tables.build(records, plan)
    return stats.board(built["pairs"].to_pandas(), built["cells"].to_pandas(), plan)


def grid(
    make: SimpleNamespace,
    after: Any,
    methods: tuple[str, ...] = ("cut",),
    seeds: int = 3,
    cell: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Every pair of sources a, b and domains a, b, c; `after(...)` gives the counts that differ."""
    records = []
    for source, seed in itertools.product("ab", range(seeds)):
        parent = make.train(source, seed)
        records.append(parent)
        for method, target in itertools.product(methods, make.domains):
            if target != source:
                records.append(make.protect(parent, [target], after(method, source, target, seed), method, cell))
    return records


def row(frame: pd.DataFrame, variant: str = "cut") -> pd.Series[Any]:
    (place,) = frame.index[frame["variant"] == variant]
    return frame.loc[place]


def test_the_frame_has_its_columns_even_when_it_is_empty(make: SimpleNamespace) -> None:
    records = grid(make, lambda *_: {})
    assert tuple(board(records, make.plan(*records)).columns) == stats.COLUMNS
    empty = board([], None)
    assert len(empty) == 0
    assert tuple(empty.columns) == stats.COLUMNS


def test_the_docstring_names_every_column() -> None:
    documented = set(re.findall(r"\w+", stats.board.__doc__ or ""))
    assert {re.sub(r"_(argmax|matched|decoded)", "_a", name) for name in stats.COLUMNS} <= documented


def test_means_and_intervals_by_hand(make: SimpleNamespace) -> None:
    """Source a keeps 90, 81, 72 of 90 over seeds, b all of it. Targets go from 70 to 20 for a, to 10 for b."""

    def after(_: str, source: str, target: str, seed: int) -> dict[str, int]:
        return {source: 90 - 9 * seed, target: 20} if source == "a" else {target: 10}

    records = grid(make, after)
    got = row(board(records, make.plan(*records, eligible=FROZEN)))
    assert (got["seeds"], got["units"], got["pairs_done"], got["pairs_expected"], got["failed"]) == (3, 6, 4, 4, 0)
    assert (got["eligible_pairs"], got["eligible_source"], got["df"]) == (4, "frozen", 4)
    assert got["source_drop"] == pytest.approx((0.1 + 0) / 2)
    # Two sources, three seeds each: pooled variance (0.01 * 2 + 0) / 4, error^2 = pooled * (1/3 + 1/3) / 2^2.
    half = t.ppf(0.975, 4) * np.sqrt(0.005 * (2 / 3) / 4)
    assert got["source_drop_high"] - got["source_drop"] == pytest.approx(half)
    assert got["source_drop"] - got["source_drop_low"] == pytest.approx(half)
    assert got["source_drop_worst"] == pytest.approx(0.1)
    assert got["target_drop"] == pytest.approx((50 / 70 + 60 / 70) / 2)
    assert got["st_d"] == pytest.approx(0.05 / ((50 / 70 + 60 / 70) / 2))
    assert got["target_removed_argmax"] == pytest.approx((50 / 60 + 1) / 2)
    assert (got["target_before_argmax"], got["target_after_argmax"]) == (pytest.approx(0.7), pytest.approx(0.15))
    assert got["rank_basis"] == "interval"
    assert got["seconds"] == 0.5


def test_sources_weigh_the_same_whatever_their_number_of_pairs(make: SimpleNamespace) -> None:
    records = grid(make, lambda m, s, t, i: {s: 81} if s == "a" else {})
    records = [r for r in records if (r["cell"]["source"], r["cell"]["targets"]) != ("b", ["c"])]
    assert row(board(records, None))["source_drop"] == pytest.approx(0.05)


def test_clipping_at_chance_comes_after_the_mean_over_seeds(make: SimpleNamespace) -> None:
    """B = 0, 0.1, 0.26: mean 0.12 is above chance; clipped one by one the mean would be 0.1533."""
    records = grid(make, lambda m, s, t, seed: {t: [0, 10, 26][seed]})
    got = row(board(records, make.plan(*records, eligible=FROZEN)))
    assert got["target_removed_argmax"] == pytest.approx(1 - 0.02 / 0.6)
    below = row(board(grid(make, lambda m, s, t, seed: {t: [0, 0, 20][seed]}), None))
    assert [below[f"target_removed_argmax{end}"] for end in ("", "_low", "_high")] == [1, 1, 1]


def test_the_interval_of_target_removed_is_that_of_the_linearised_ratio(make: SimpleNamespace) -> None:
    """One eligible pair, A fixed at 0.7: R = 1 - (B - 0.1) / 0.6 is linear in B, so the interval is exact."""
    b = [20, 26, 35]
    records = grid(make, lambda m, s, t, seed: {t: b[seed]})
    got = row(board(records, make.plan(*records, eligible=["a:b"])))
    units = 1 - (np.array(b) / 100 - 0.1) / 0.6
    half = t.ppf(0.975, 2) * units.std(ddof=1) / np.sqrt(3)
    assert got["target_removed_argmax"] == pytest.approx(units.mean())
    assert got["target_removed_argmax_high"] - units.mean() == pytest.approx(half)
    assert (got["target_removed_argmax_df"], got["df"], got["eligible_pairs"]) == (2, 4, 1)


def test_a_source_that_cannot_vary_adds_no_degrees_of_freedom(make: SimpleNamespace) -> None:
    """a:b goes to 20, 26, 35; b:a is below chance on every seed and adds a constant 1."""
    records = grid(make, lambda m, s, target, seed: {target: [20, 26, 35][seed] if s == "a" else seed})
    got = row(board(records, make.plan(*records, eligible=["a:b", "b:a"])))
    units = 1 - (np.array([20, 26, 35]) / 100 - 0.1) / 0.6
    half = t.ppf(0.975, 2) * units.std(ddof=1) / np.sqrt(3) / 2
    assert got["target_removed_argmax"] == pytest.approx((units.mean() + 1) / 2)
    assert got["target_removed_argmax_high"] - got["target_removed_argmax"] == pytest.approx(half)
    assert (got["target_removed_argmax_df"], got["df"]) == (2, 4)


def test_the_ratio_of_sums_weighs_pairs_by_what_there_was_to_remove(make: SimpleNamespace) -> None:
    parent = make.train(correct={"b": 90, "c": 50})
    records = [parent, make.protect(parent, ["b"], {"b": 10}), make.protect(parent, ["c"], {"c": 50})]
    got = row(board(records, None))
    assert got["target_removed_argmax"] == pytest.approx(0.5)
    assert got["target_removed_argmax_sums"] == pytest.approx(0.8 / 1.2)


def test_attackers_are_measured_by_their_own_accuracy_against_what_argmax_got_before(make: SimpleNamespace) -> None:
    parent = make.train()
    records = [parent, make.protect(parent, ["b"], {"b": make.score("b", 10, matched=0.4, decoded=0.76)})]
    for scored in parent["accuracy"]:
        scored["decoded"] = 0.8
    got = row(board(records, None))
    assert [got[f"target_removed_{a}"] for a in stats.ATTACKERS] == pytest.approx([1.0, 0.5, -0.1])
    assert [got[f"target_after_{a}"] for a in stats.ATTACKERS] == pytest.approx([0.1, 0.4, 0.76])
    assert [got[f"target_before_{a}"] for a in stats.ATTACKERS] == pytest.approx([0.7, 0.7, 0.8])


def test_pairs_of_unlike_numbers_of_train_cells_each_count_by_their_own() -> None:
    """Against sums written out pair by pair: seeds that some pairs lack, a pair below chance, one with no answer, and
    one on which nothing could be removed."""
    rng = np.random.default_rng(0)
    rows = [
        {"source": source, "target": target, "seed": seed, "classes": 10}
        for source, target in itertools.permutations("abcd", 2)
        for seed in range(4)
        if (source, target, seed) not in {("a", "b", 0), ("a", "c", 3), ("b", "a", 1), ("b", "a", 2), ("b", "a", 3)}
    ]
    mine = pd.DataFrame(rows)
    mine["target_before_balanced"] = mine["target_matched_before"] = rng.uniform(0.6, 0.8, len(mine))
    mine["target_after_balanced"] = mine["target_matched"] = rng.uniform(0.2, 0.5, len(mine))
    pair = mine["source"] + mine["target"]
    mine.loc[pair == "cd", "target_after_balanced"] = rng.uniform(0.02, 0.08, 4)
    mine.loc[pair == "da", "target_before_balanced"] = 0.08
    mine.loc[pair == "ad", "target_matched"] = np.nan
    counted = {(s, t) for s, t in itertools.permutations("abcd", 2) if (s, t) != ("d", "b")}
    attackers = {"argmax": stats.ATTACKERS["argmax"], "matched": stats.ATTACKERS["matched"]}
    got = stats.removed_against(mine, counted, attackers)
    assert got["eligible_pairs"] == 10
    for attacker, (before, after) in attackers.items():
        removed, changes, sides = [], {}, []
        for (source, target), of in mine.groupby(["source", "target"]):
            room, left = of["target_before_balanced"].mean() - 0.1, of[after].mean() - 0.1
            if (source, target) not in counted or room <= 0 or np.isnan(left):
                continue
            da, db = of["target_before_balanced"] - room - 0.1, of[after] - left - 0.1
            slope = (left * da - room * db) / room**2 if left > 0 else 0 * da
            for seed, change in zip(of["seed"], slope, strict=True):
                changes.setdefault(source, {}).setdefault(seed, []).append(change)
            removed.append(1 - max(left, 0) / room)
            sides.append((max(left, 0), room, of[before].mean(), of[after].mean()))
        cells = [np.array([sum(c) for c in of.values()]) for of in changes.values()]
        df = sum(len(c) - 1 for c in cells)
        pooled = sum(((c - c.mean()) ** 2).sum() for c in cells) / df
        half = t.ppf(0.975, df) * np.sqrt(pooled * sum(1 / len(c) for c in cells)) / len(removed)
        left, room, seen_before, seen_after = np.sum(sides, axis=0)
        name = f"target_removed_{attacker}"
        assert [got[name], got[f"{name}_df"]] == pytest.approx([np.mean(removed), df])
        assert [got[f"{name}_low"], got[f"{name}_high"]] == pytest.approx([got[name] - half, got[name] + half])
        assert got[f"{name}_sums"] == pytest.approx(1 - left / room)
        assert got[f"target_before_{attacker}"] == pytest.approx(seen_before / len(removed))
        assert got[f"target_after_{attacker}"] == pytest.approx(seen_after / len(removed))


def test_one_seed_has_no_interval_and_says_so(make: SimpleNamespace) -> None:
    got = row(board(grid(make, lambda *_: {}, seeds=1), None))
    assert np.isnan([got["source_drop_low"], got["source_drop_high"], got["target_removed_argmax_low"]]).all()
    assert (got["df"], got["rank_basis"], got["rank_argmax"]) == (0, "point", 1)


def test_undefined_numbers_are_nan_never_zero(make: SimpleNamespace) -> None:
    parent = make.train(correct={"a": 0, "b": 10, "c": 0})
    got = row(board([parent, make.protect(parent, ["b"]), make.protect(parent, ["c"], status="failed")], None))
    assert (
        got[["source_drop", "st_d", "target_removed_argmax", "target_removed_argmax_sums", "target_after_matched"]]
        .isna()
        .all()
    )
    assert (got["eligible_pairs"], got["failed"], got["target_drop"]) == (0, 1, 0.0)
    assert pd.isna(got["rank_argmax"])
    weak = make.train(correct={"b": 10})  # at chance, and the target gets better: nothing to remove, no ratio of drops
    helped = row(board([weak, make.protect(weak, ["b"], {"b": 15})], make.plan(weak, eligible=["a:b"])))
    assert (helped["eligible_pairs"], helped["source_drop"]) == (0, 0)
    assert helped["target_drop"] == pytest.approx(-0.5)
    assert helped[["st_d", "target_removed_argmax"]].isna().all()


def test_eligible_pairs_come_from_the_plan_or_else_from_the_rule(make: SimpleNamespace) -> None:
    """1/3 of the way from chance to 1, at ten classes: 40 of 100."""
    parent = make.train(correct={"b": 40, "c": 39})
    records = [parent, make.protect(parent, [])]
    computed = row(board(records, None))
    assert (computed["eligible_source"], computed["eligible_pairs"]) == ("computed", 1)
    assert computed["target_before_argmax"] == pytest.approx(0.4)
    frozen = row(board(records, make.plan(*records, eligible=["a:c"])))
    assert (frozen["eligible_source"], frozen["eligible_pairs"]) == ("frozen", 1)
    assert frozen["target_before_argmax"] == pytest.approx(0.39)


def test_a_watermark_pair_is_judged_by_the_rule_beside_a_frozen_list(make: SimpleNamespace) -> None:
    parent = make.train()
    parent["accuracy"] += [make.score("a@wm80", 80), make.score("a@wm9", 20)]
    children = [make.protect(parent, [target]) for target in ("b", "a@wm80", "a@wm9")]
    got = row(board([parent, *children], make.plan(*children, eligible=["a:b"])))
    assert (got["eligible_source"], got["eligible_pairs"], got["pairs_done"]) == ("both", 2, 3)


def test_ranks_put_methods_that_keep_the_source_first(make: SimpleNamespace) -> None:
    left = {"harsh": (80, 10), "good": (90, 15), "same": (90, 15), "weak": (89, 60), "edge": (88, 10)}

    def after(method: str, source: str, target: str, seed: int) -> dict[str, int]:
        keep, rest = left[method]
        return {source: keep, target: rest}

    frame = board(grid(make, after, tuple(left)), None)
    assert dict(zip(frame["variant"], frame["rank_argmax"], strict=True)) == {
        "good": 1, "same": 1, "weak": 3, "edge": 4, "harsh": 4,
    }  # fmt: skip
    assert list(frame["variant"][:3]) == ["good", "same", "weak"]


def test_rows_share_a_rank_where_their_intervals_overlap(make: SimpleNamespace) -> None:
    middle = {"sure": (30, 0), "wide": (34, 12), "behind": (36, 1), "last": (60, 1)}  # mean and spread over seeds

    def after(method: str, source: str, target: str, seed: int) -> dict[str, int]:
        mean, spread = middle[method]
        return {target: mean + spread * (seed - 1)}

    frame = board(grid(make, after, tuple(middle)), None).set_index("variant")
    low, high = frame["target_removed_argmax_low"], frame["target_removed_argmax_high"]
    assert high["behind"] < low["sure"] < high["wide"]
    assert low["wide"] < high["behind"]
    assert high["last"] < low["wide"]
    assert frame["rank_argmax"].to_dict() == {"sure": 1, "wide": 1, "behind": 2, "last": 4}


def test_ranks_never_run_against_the_estimates(make: SimpleNamespace) -> None:
    """`vague` is not clearly worse than `best`, but `clear`, which removes more, is: it cannot come before that."""
    middle = {"best": (20, 0), "clear": (30, 1), "vague": (32, 30)}

    def after(method: str, source: str, target: str, seed: int) -> dict[str, int]:
        mean, spread = middle[method]
        return {target: mean + spread * (seed - 1)}

    frame = board(grid(make, after, tuple(middle)), None).set_index("variant")
    assert frame["target_removed_argmax_high"]["vague"] > frame["target_removed_argmax_low"]["best"]
    assert frame["rank_argmax"].to_dict() == {"best": 1, "clear": 2, "vague": 2}


def test_the_interval_decides_who_kept_the_source_not_the_estimate(make: SimpleNamespace) -> None:
    def after(method: str, source: str, target: str, seed: int) -> dict[str, int]:
        return {source: 90 - (4 if method == "noisy" and seed == 0 else 1 if method == "calm" else 0), target: 10}

    frame = board(grid(make, after, ("noisy", "calm")), None)
    assert row(frame, "noisy")["source_drop"] < 0.02 < row(frame, "noisy")["source_drop_high"]
    assert (row(frame, "calm")["rank_argmax"], row(frame, "noisy")["rank_argmax"]) == (1, 2)


def test_controls_have_no_rank_and_settings_are_ranked_apart(make: SimpleNamespace) -> None:
    records = grid(make, lambda *_: {})
    for name, facts in (
        ("flat", {"control": True}),
        ("best", {"tuned": True, "variant": "best[lam=2]"}),
        ("free", {"scenario": "no source"}),
        ("big", {"backbone": "vgg"}),
    ):
        records += grid(make, lambda m, s, target, i: {target: 50}, (name,), cell={"variant": name} | facts)
    frame = board(records, None)
    ranks = {v: None if pd.isna(r) else int(r) for v, r in zip(frame["variant"], frame["rank_argmax"], strict=True)}
    assert ranks == {"cut": 1, "flat": None, "best[lam=2]": 1, "free": 1, "big": 1}


@pytest.mark.parametrize("how", ["missing", "failed", "fewer pairs"])
def test_who_lacks_a_pair_is_not_ranked_beside_the_others(make: SimpleNamespace, how: str) -> None:
    """`cut` lacks seed 1 of a:b (the hard one); `other` is complete."""
    records = grid(make, lambda *_: {}, ("cut", "other"))
    gone = [
        r for r in records
        if r["cell"]["method"] == "cut" and (r["cell"]["source"], r["cell"]["targets"]) == ("a", ["b"])
        and (how == "fewer pairs" or r["cell"]["seed"] == 1)
    ]  # fmt: skip
    plan = make.plan(*[r for r in records if how == "missing" or r not in gone])
    if how == "failed":
        gone[0].update(status="failed", accuracy=[])
        plan = make.plan(*records)
    else:
        records = [r for r in records if r not in gone]
    frame = board(records, plan)
    cut, rest = row(frame), row(frame, "other")
    assert (cut["pairs_done"], cut["pairs_expected"]) == (3, 4)
    assert cut["failed"] == (how == "failed")
    assert pd.isna(cut["rank_argmax"])
    assert (rest["pairs_done"], rest["pairs_expected"], rest["rank_argmax"]) == (4, 4, 1)


def test_a_planned_method_without_any_record_has_a_row(make: SimpleNamespace) -> None:
    records = grid(make, lambda *_: {}, ("cut", "later"))
    ran = [r for r in records if r["cell"]["method"] != "later"]
    got = row(board(ran, make.plan(*records)), "later")
    assert (got["units"], got["pairs_done"], got["pairs_expected"]) == (0, 0, 4)
    assert got[["source_drop", "target_removed_argmax", "seconds"]].isna().all()


def test_stale_rows_and_bystanders_count_for_nothing(make: SimpleNamespace) -> None:
    parent = make.train()
    old = make.protect(parent, ["b"], {"a": 0, "b": 70})
    broken = make.protect(parent, ["b"], spec={"method_version": 0}, status="failed", finished=0.0)
    new = make.protect(parent, ["b"], {"c": 0}, spec={"method_version": 2}, flags=["slow", "not-taken-off"])
    got = row(board([parent, broken, old, new], None))
    assert (got["failed"], got["units"]) == (0, 1)
    assert (got["source_drop"], got["target_removed_argmax"], got["pairs_expected"]) == (0, 1, 1)
    assert got["flags"] == "not-taken-off, slow"


def test_a_target_free_model_is_one_unit_however_many_targets_it_has(make: SimpleNamespace) -> None:
    """Three seeds, one source, two targets each: df is 2. Counting pairs as independent would say 5."""
    records = []
    for seed in range(3):
        parent = make.train(seed=seed)
        records += [parent, make.protect(parent, [], {"a": 90 - seed, "b": 12 + seed, "c": 14 + seed})]
    got = row(board(records, None))
    assert (got["units"], got["df"], got["target_removed_argmax_df"], got["pairs_done"]) == (3, 2, 2, 2)
    # Both targets move together with the seed: the unit's mean change is as large as one pair's.
    half = t.ppf(0.975, 2) * np.std(np.array([0, 1, 2]) / 60, ddof=1) / np.sqrt(3)
    assert got["target_removed_argmax_high"] - got["target_removed_argmax"] == pytest.approx(half)


def test_a_target_blocked_alone_and_in_a_union_is_one_observation(make: SimpleNamespace) -> None:
    records = []
    for seed in range(3):
        parent = make.train(seed=seed)
        alone, union = make.protect(parent, ["b"], {"b": 20 + seed}), make.protect(parent, ["b+c"], {"b": 30 + seed})
        records += [parent, alone, union]
    got = row(board(records, make.plan(*records, eligible=["a:b"])))
    half = t.ppf(0.975, 2) * np.std(np.array([0, 1, 2]) / 60, ddof=1) / np.sqrt(3)
    assert got["target_after_argmax"] == pytest.approx(0.26)
    assert got["target_removed_argmax_high"] - got["target_removed_argmax"] == pytest.approx(half)


def test_the_plan_knows_better_than_an_old_record_what_is_tuned(make: SimpleNamespace) -> None:
    parent = make.train()
    child = make.protect(parent, ["b"], cell={"variant": "cut[lam=2]"})
    assert not row(board([parent, child], None), "cut[lam=2]")["tuned"]
    child_now = child | {"cell": child["cell"] | {"tuned": True}}
    assert row(board([parent, child], make.plan(parent, child_now)), "cut[lam=2]")["tuned"]


def test_a_search_that_settled_on_the_defaults_stands_among_the_tuned_and_as_described(make: SimpleNamespace) -> None:
    records = grid(make, lambda *_: {}, cell={"tuned": True})
    records += grid(make, lambda m, s, target, i: {target: 50}, ("other",))
    assert ranks(board(records, None)) == {("cut", False): 1, ("other", False): 2}  # nothing tuned to compare with
    tuned = {"tuned": True, "variant": "third[lam=2]"}
    records += grid(make, lambda m, s, target, i: {target: 50}, ("third",), cell=tuned)
    assert ranks(board(records, None)) == {
        ("cut", False): 1, ("other", False): 2, ("cut", True): 1, ("third[lam=2]", True): 2
    }  # fmt: skip


def ranks(frame: pd.DataFrame) -> dict[tuple[str, bool], int]:
    columns = (frame["variant"], frame["tuned"], frame["rank_argmax"])
    return {(variant, bool(tuned)): int(rank) for variant, tuned, rank in zip(*columns, strict=True)}


def test_intervals_cover_what_they_claim_when_seeds_shift_all_pairs_of_a_source() -> None:
    """600 simulated runs of a method on 4 sources x 3 targets x 3 seeds, with pair and source x seed effects."""
    rng = np.random.default_rng(0)
    shape = (600, 4, 3, 3)  # run, source, target, seed
    pair_a, pair_b = rng.normal(0, 0.03, (2, 1, 4, 3, 1))  # fixed: the same in every run
    cell_a, cell_b = rng.normal(0, 0.02, (2, 600, 4, 1, 3))  # a train cell shifts all its pairs together,
    cell_b = 0.9 * cell_a + 0.3 * cell_b  # and before and after alike: a better f_s leaves more behind
    before = 0.7 + pair_a + cell_a + rng.normal(0, 0.01, shape)
    after = 0.4 + pair_b + cell_b + rng.normal(0, 0.01, shape)
    drop = 0.02 + pair_b / 10 + cell_b / 2 + rng.normal(0, 0.002, shape)
    run, source, target, seed = (axis.ravel() for axis in np.indices(shape))
    pairs = pd.DataFrame({
        "suite": "toy", "split_seed": 0, "score": "test", "backbone": "net", "scenario": "x", "start": "source",
        "variant": run, "source": source.astype(str), "target": target.astype(str), "seed": seed, "role": "target",
        "current": True, "classes": 10, "source_drop": drop.ravel(), "target_drop": 0.5,
        **dict.fromkeys(["target_before_balanced", "target_matched_before", "target_decoded_before"], before.ravel()),
        **dict.fromkeys(["target_after_balanced", "target_matched", "target_decoded"], after.ravel()),
    })  # fmt: skip
    cells = pairs.assign(
        kind="protect", method="m", fidelity="x", control=False, tuned=False, status="ok", seconds=1.0,
    )  # fmt: skip
    cells["targets"] = cells["target"].map(lambda name: [name])
    cells["flags"] = cells["domains"] = cells["target"].map(lambda _: [])
    got = stats.board(pairs, cells, None)
    truths = {
        "source_drop": 0.02 + pair_b.mean() / 10,
        "target_removed_argmax": (1 - (0.3 + pair_b) / (0.6 + pair_a)).mean(),
    }
    for name, truth in truths.items():
        covered = (got[f"{name}_low"] <= truth) & (truth <= got[f"{name}_high"])
        assert 0.93 <= covered.mean() <= 0.97, name
    # What the test guards against: 36 rows taken as independent.
    naive = drop.reshape(600, 36).std(axis=1, ddof=1) / 6 * t.ppf(0.975, 35)
    assert (abs(drop.mean(axis=(1, 2, 3)) - truths["source_drop"]) <= naive).mean() < 0.9
