"""Paired differences of two variants and of two runs: by hand, beside the board, and where one side lacks something."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from results import StoreError, attacks, stats, versus
from results.versus import Report, Versus
from tests.results.conftest import attack, protect, score
from tests.results.duel import SCENARIO, grid, model, wavy, written

ARGMAX = ("target_removed", "argmax")


def report(out: Path, records: list[dict[str, Any]], a: str = "cut", b: str = "ntl", **suite: Any) -> Report:
    return versus.of_variants(versus.read(written(out, records, kept=False, **suite), "runs/x"), a, b)


def only(found: Report) -> Versus:
    (one,) = found.found
    return one


def frame(out: Path) -> Any:
    """The board's rows by variant."""
    run = versus.read(out, "it")
    return stats.board(run.pairs, run.cells, run.plan).set_index("variant")


def adds_up(one: Versus) -> bool:
    """Whether every `a` less its `b` is the difference beside it."""
    return all(line.a - line.b == pytest.approx(line.difference.estimate, nan_ok=True) for line in one.lines)


def test_differences_and_intervals_by_hand(tmp_path: Path) -> None:
    """One pair of one source, f_s the same: the source keeps 90, 81, 72 against 90; the target 20, 26, 35 against 30,
    33, 36, of 70."""

    def counts(variant: str, source: str, target: str, seed: int) -> dict[str, int]:
        first = variant == "cut"
        return {source: 90 - 9 * seed if first else 90, target: ([20, 26, 35] if first else [30, 33, 36])[seed]}

    records = [r for r in grid(counts, sources="a") if r["cell"]["targets"] in ([], ["b"])]
    one = only(report(tmp_path, records, eligible=["a:b"]))
    changes = {
        ("source_drop", ""): np.array([0, 0.1, 0.2]),
        ARGMAX: np.array([10, 7, 1]) / 60,
        ("target_after", "argmax"): -np.array([10, 7, 1]) / 100,
    }
    for name, each in changes.items():
        line = one.line(*name)
        change = line.difference
        error = each.std(ddof=1) / math.sqrt(3)
        assert change.estimate == pytest.approx(each.mean())
        assert change.high - change.estimate == pytest.approx(t.ppf(0.975, 2) * error)
        assert change.estimate - change.low == pytest.approx(t.ppf(0.975, 2) * error)
        assert change.p == pytest.approx(2 * t.sf(abs(each.mean()) / error, 2))
        assert (change.df, change.units, change.pairs, line.seeds) == (2, 3, 1, 3)
    drop, removed = one.line("source_drop").difference, one.primary.difference
    assert (drop.wins, drop.ties, drop.losses) == (2, 1, 0)
    assert (removed.wins, removed.ties, removed.losses) == (3, 0, 0)
    assert (one.a, one.b, one.scenario, one.lacks_a, one.lacks_b) == ("cut", "ntl", one.scenario, [], [])
    assert adds_up(one)


def probed(variant: str, source: str, target: str, seed: int) -> dict[str, Any]:
    """`wavy`, and what the probes get of it."""
    right = wavy(variant, source, target, seed)
    more = {"matched": right[target] / 100 + 0.05 + seed / 90, "decoded": right[target] / 100 + 0.2}
    return right | {target: score(target, right[target], **more)}


def test_what_stands_beside_a_difference_is_what_the_board_says(tmp_path: Path) -> None:
    one = only(report(tmp_path, grid(probed)))
    board = frame(tmp_path)
    names = [("source_drop", "", "source_drop"), *((*line, "_".join(line)) for line in (
        ARGMAX, ("target_removed", "matched"), ("target_removed", "decoded"), ("target_after", "argmax")))]  # fmt: skip
    for quantity, attacker, column in names:
        line = one.line(quantity, attacker)
        assert (line.a, line.b) == pytest.approx((board.loc["cut", column], board.loc["ntl", column])), column
    assert len({round(line.a, 6) for line in one.lines}) == len(names)  # five different numbers
    assert adds_up(one)


def test_eligible_pairs_weigh_the_same_in_what_is_left_of_the_target(tmp_path: Path) -> None:
    """b:a alone of source b counts, and it weighs a third, not a half."""
    one = only(report(tmp_path, grid(lambda v, s, t, i: {t: 40 if (v, s) == ("cut", "b") else 10}),
                      eligible=["a:b", "a:c", "b:a"]))  # fmt: skip
    line = one.line("target_after", "argmax")
    assert line.difference.estimate == pytest.approx(0.1)
    assert (line.difference.pairs, line.difference.units) == (3, 6)
    assert one.line("source_drop").difference.pairs == 4  # every pair, eligible or not


def test_what_one_side_lacks_counts_for_neither_and_is_named(tmp_path: Path) -> None:
    records = grid(wavy)
    lost = [r for r in records if r["cell"]["variant"] == "ntl" and r["cell"]["targets"] == ["c"] and r["cell"]["seed"]]
    lost = [r for r in lost if r["cell"]["source"] == "a"]
    failed = lost[0] | {"status": "failed", "accuracy": [], "error": "diverged"}
    some = [failed if r is lost[0] else r for r in records if r is not lost[1]]
    one = only(report(tmp_path / "some", some))
    assert (one.lacks_a, one.lacks_b) == ([], ["a:c seed 1", "a:c seed 2"])
    place = {(r["cell"]["source"], r["cell"]["targets"][0], r["cell"]["seed"]) for r in lost}
    both = [r for r in records if (r["cell"]["source"], *r["cell"]["targets"], r["cell"]["seed"]) not in place]
    same = only(report(tmp_path / "both", both))
    assert one.lines == same.lines
    assert adds_up(one)
    change = one.primary.difference
    assert change.wins + change.ties + change.losses == 10


def test_a_probe_that_one_side_lacks_is_left_out_of_that_line_alone(tmp_path: Path) -> None:
    def counts(variant: str, source: str, target: str, seed: int) -> dict[str, Any]:
        right = probed(variant, source, target, seed)
        if (variant, source, target, seed) == ("ntl", "a", "b", 0):
            right[target]["decoded"] = None
        return right

    one = only(report(tmp_path, grid(counts)))
    seen = {line.attacker: line.difference for line in one.lines if line.quantity == "target_removed"}
    assert [d.wins + d.ties + d.losses for d in seen.values()] == [12, 12, 11]
    assert adds_up(one)


def test_attacks_that_both_were_put_to_are_compared_attack_by_attack(tmp_path: Path) -> None:
    records = grid(wavy)
    models = [r for r in records if r["cell"]["kind"] == "protect"]
    records += [attack(m, m["cell"]["targets"][0], {m["cell"]["source"]: 80, m["cell"]["targets"][0]: 30 + 5 * i % 23})
                for i, m in enumerate(models)]  # fmt: skip
    alone = next(m for m in models if m["cell"]["variant"] == "cut")
    records.append(attack(alone, "b", {"a": 80, "b": 60}, "probe[n=20]", 20))
    one = only(report(tmp_path, records))
    run = versus.read(tmp_path, "it")
    board = attacks.board(run.attacks, run.cells, run.pairs, run.plan)
    board = board[board["attack"] == "probe"].set_index("variant")
    assert [line.attacker for line in one.lines][5:] == ["probe (n=200)"] * 2
    for quantity in ("target_removed", "target_attacked"):
        line = one.line(quantity, "probe (n=200)")
        assert (line.a, line.b) == pytest.approx((board.loc["cut", quantity], board.loc["ntl", quantity]))
        assert line.difference.df == 4
    assert adds_up(one)


def test_one_seed_has_differences_and_no_interval(tmp_path: Path) -> None:
    one = only(report(tmp_path, grid(wavy, seeds=1)))
    for line in one.lines:
        change = line.difference
        assert change.df == 0
        assert math.isnan(change.low) and math.isnan(change.high) and math.isnan(change.p)
        assert line.a - line.b == pytest.approx(change.estimate)


def test_without_an_eligible_pair_nothing_is_said_of_the_target(tmp_path: Path) -> None:
    one = only(report(tmp_path, grid(wavy), eligible=["c:a"]))
    assert math.isnan(one.primary.a) and math.isnan(one.primary.difference.estimate)
    assert one.line("source_drop").difference.estimate == pytest.approx(-(4 + 1 / 3) / 90)  # 4, 5, 4 of 90


def test_a_target_blocked_alone_and_in_a_union_is_one_observation(tmp_path: Path) -> None:
    records = grid(lambda *_: {}, sources="a", seeds=2)
    f_s = [record for record in records if record["cell"]["kind"] == "train"]
    union = [protect(one, ["b+c"], {"b": 30, "c": 30}, "cut", {"scenario": SCENARIO}) for one in f_s]
    one = only(report(tmp_path, [*records, *union]))
    assert one.line("target_after", "argmax").a == pytest.approx(0.2)
    assert one.line("target_after", "argmax").difference.pairs == 2
    assert adds_up(one)


def two_runs(tmp_path: Path, mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Report:
    runs = [
        versus.read(written(tmp_path / name, records, kept=False), name)
        for name, records in (("x", mine), ("y", theirs))
    ]
    return versus.of_runs(*runs)


def moved(variant: str, source: str, target: str, seed: int) -> dict[str, Any]:
    """`wavy`, where cut leaves 6 more than before, give or take a little, and ntl about as much."""
    right = wavy(variant, source, target, seed)
    return right | {target: right[target] + (6 + seed % 2 if variant == "cut" else [1, -1, 0][seed])}


def test_two_runs_are_compared_variant_by_variant_and_p_is_corrected_over_them(tmp_path: Path) -> None:
    found = two_runs(tmp_path, grid(wavy, ("cut", "ntl", "mine")), grid(moved, ("cut", "ntl", "theirs")))
    assert (found.a, found.b, found.runs) == ("x", "y", True)
    assert [(one.variant, one.a, one.b) for one in found.found] == [("cut", "x", "y"), ("ntl", "x", "y")]
    assert (found.only_a, found.only_b) == (["mine (toy, net)"], ["theirs (toy, net)"])
    cut, ntl = (one.primary for one in found.found)
    assert cut.difference.estimate > 0.05  # x removes more
    assert cut.difference.p < 0.01
    assert ntl.difference.p > 0.5
    assert cut.p_holm == pytest.approx(2 * cut.difference.p)
    assert ntl.p_holm == pytest.approx(ntl.difference.p)
    assert all(math.isnan(line.p_holm) for one in found.found for line in one.lines if line != one.primary)
    assert all(adds_up(one) for one in found.found)


def test_two_runs_without_a_variant_in_common_say_what_each_has(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised:
        two_runs(tmp_path, grid(wavy, ("cut",)), grid(wavy, ("ntl",)))
    assert str(raised.value) == (
        "x and y have no variant, pair and seed in common: x has cut (toy, net); y has ntl (toy, net)"
    )


def test_a_pair_that_counts_in_one_run_alone_counts_in_neither_and_is_named(tmp_path: Path) -> None:
    runs = [versus.read(written(tmp_path / name, grid(wavy), kept=False, eligible=pairs), name)
            for name, pairs in (("x", ["a:b", "b:a"]), ("y", ["a:b", "b:c"]))]  # fmt: skip
    for one in versus.of_runs(*runs).found:
        assert one.primary.difference.pairs == 1
        assert "eligible in one run alone, so in no figure of targets: b:a, b:c" in one.warnings


def test_settings_are_compared_apart_and_those_of_one_side_are_told(tmp_path: Path) -> None:
    val = grid(wavy, ("cut",), spec={"score": "val"})
    for record in val:
        record["cell"]["score"] = "val"
        for row in record["accuracy"]:
            row["part"] = "val"
    found = report(tmp_path, [*grid(wavy), *val])
    assert [one.score for one in found.found] == ["test"]
    assert (found.only_a, found.only_b) == (["cut (toy, net, val)"], [])


def made_by(records: list[dict[str, Any]], variant: str, **environment: Any) -> list[dict[str, Any]]:
    return [r | {"environment": r["environment"] | environment} if r["cell"]["variant"] == variant else r
            for r in records]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        ({}, None),
        ({"torch": "2.10"}, "mixed torch: 2.9 (cut), 2.10 and 2.9 (ntl); a difference may come from that"),
        ({"device": "H100"}, "mixed device: cpu (cut), H100 and cpu (ntl); a difference may come from that"),
    ],
)
def test_other_versions_and_devices_warn(tmp_path: Path, environment: dict[str, str], warning: str | None) -> None:
    one = only(report(tmp_path, made_by(grid(wavy), "ntl", **environment)))
    assert one.warnings == ([warning] if warning else [])


def test_other_train_cells_and_other_precision_warn_with_what_differs(tmp_path: Path) -> None:
    theirs = grid(wavy, spec={"protocol": 2, "precision": "tf32"})
    (cut, _) = two_runs(tmp_path, grid(wavy, spec={"precision": "fp32"}), theirs).found
    assert cut.warnings == [
        "mixed precision: fp32 (x), tf32 (y); a difference may come from that",
        "6 of 6 train cells are not the same cell on both sides (precision, protocol differ): they are paired by "
        "source and seed alone",
    ]


def test_a_copy_agrees_with_itself_and_says_so(tmp_path: Path) -> None:
    records = grid(wavy)
    (cut, _) = two_runs(tmp_path, records, records).found
    assert cut.warnings == ["12 of 12 cells are the same attempt on both sides, copied or merged"]
    assert [line.difference.estimate for line in cut.lines] == [0] * len(cut.lines)
    assert not any(line.difference.low > 0 or line.difference.high < 0 for line in cut.lines)


def test_what_is_not_current_is_not_compared(tmp_path: Path) -> None:
    old = [r | {"finished": 0.1} for r in grid(lambda *_: {"b": 60, "c": 60}, spec={"protocol": 0})]
    one = only(report(tmp_path, [*grid(wavy), *old]))
    assert one.lines == only(report(tmp_path / "new", grid(wavy))).lines


def test_a_run_of_which_nothing_is_left_is_one_line(tmp_path: Path) -> None:
    out = written(tmp_path, grid(wavy), kept=False)
    with pytest.raises(StoreError, match=r"^runs/x: no protected model is of what -b, -m, -p and -s ask for$"):
        versus.read(out, "runs/x", lambda cell: cell["kind"] == "train")
    with pytest.raises(StoreError, match="no protected model yet; `mapbench status runs/y`"):
        versus.read(written(tmp_path / "y", []), "runs/y")


def test_only_what_was_chosen_is_compared(tmp_path: Path) -> None:
    run = versus.read(written(tmp_path, grid(wavy), kept=False), "it", lambda cell: cell["seed"] < 2)
    assert only(versus.of_variants(run, "cut", "ntl")).primary.seeds == 2
    apart = versus.read(tmp_path, "it", lambda cell: cell["seed"] == (cell["variant"] == "cut"))
    with pytest.raises(StoreError, match="cut and ntl have no setting, pair and seed in common among what was asked"):
        versus.of_variants(apart, "cut", "ntl")


def test_a_control_is_compared_in_the_scenario_of_the_method(tmp_path: Path) -> None:
    records = grid(wavy, ("cut",))
    f_s = [r for r in records if r["cell"]["kind"] == "train"]
    free = {"scenario": "no source, unlabelled target", "control": True}
    records += [model(p, "gate", t, {}, **free) for p in f_s for t in "abc" if t != p["cell"]["source"]]
    for names in (("cut", "gate"), ("gate", "cut")):
        one = only(versus.of_variants(versus.read(written(tmp_path, records, kept=False), "it"), *names))
        assert (one.a, one.b, one.scenario) == (*names, "labelled source, labelled target")
