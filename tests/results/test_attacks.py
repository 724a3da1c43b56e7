"""The attacks table and its means, against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from scipy.stats import t

from results import attacks, tables


def table(records: list[dict[str, Any]], plan: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return tables.build(records, plan)["attacks"].to_pylist()  # type: ignore[no-any-return]


def board(records: list[dict[str, Any]], plan: dict[str, Any]) -> pd.DataFrame:
    built = {name: table.to_pandas() for name, table in tables.build(records, plan).items()}
    return attacks.board(built["attacks"], built["cells"], built["pairs"], plan)


def test_an_attack_is_joined_with_what_it_is_read_beside(make: SimpleNamespace) -> None:
    f_s = make.train()
    model = make.protect(f_s, ["b"])
    found = make.attack(model, "b", {"a": 60, "b": 55})
    on_f_s = make.attack(f_s, "b", {"a": 80, "b": 75})
    scratch, fewer = (make.attack(None, "b", {"b": right}, "from-scratch", n) for right, n in ((50, 200), (20, 20)))
    other = make.attack(model, "b", {"a": 60, "b": 30}, "probe[n=20]", 20)
    records = [f_s, model, found, on_f_s, scratch, fewer, other]
    rows = {row["key"]: row for row in table(records, make.plan(f_s, eligible=["a:b"]))}
    expected = {
        "parent": model["key"], "source": "a", "target": "b", "eligible": True, "attack": "probe", "n": 200,
        "variant": "cut", "target_before_balanced": 0.7, "target_after_balanced": 0.1, "target_attacked_before": 0.75,
        "target_attacked": 0.55, "target_scratch": 0.5, "target_removed": pytest.approx(0.15 / 0.6),
        "source_before_balanced": 0.9, "source_after_balanced": 0.9, "source_attacked": 0.6, "current": True,
    }  # fmt: skip
    assert {name: rows[found["key"]][name] for name in expected} == expected
    few = rows[other["key"]]  # f_s was not attacked with 20 images
    assert (few["target_scratch"], few["target_attacked_before"]) == (0.2, None)
    alone = rows[scratch["key"]]
    assert (alone["target_attacked"], alone["parent"], alone["target_before_balanced"]) == (0.5, None, None)
    assert rows[on_f_s["key"]]["target_after_balanced"] == 0.7
    assert tables.build(records, None)["pairs"].num_rows == 2  # attacks make no pairs


def test_an_f_s_of_the_users_own_is_read_beside_a_net_of_its_backbone(make: SimpleNamespace) -> None:
    given = make.train()
    given["cell"]["backbone"] = "net@0123abcd"  # so it is called on boards; from-scratch has nothing of that file
    model = make.protect(given, ["b"])
    found, scratch = make.attack(model, "b", {"a": 60, "b": 55}), make.attack(None, "b", {"b": 50}, "from-scratch")
    rows = {row["key"]: row for row in table([given, model, found, scratch])}
    assert (rows[found["key"]]["backbone"], rows[found["key"]]["target_scratch"]) == ("net@0123abcd", 0.5)
    assert rows[scratch["key"]]["twin"] is None  # no pair


def test_what_was_trained_in_one_precision_is_not_read_beside_another(make: SimpleNamespace) -> None:
    records, read = [], {}
    for precision, right in (("fp32", 50), ("bf16", 40)):
        spec = {"precision": precision}
        model = make.protect(make.train(spec=spec), ["b"])
        found = make.attack(model, "b", {"a": 60, "b": 55})
        records += [model, found, make.attack(None, "b", {"b": right}, "from-scratch", spec=spec)]
        read[found["key"]] = right / 100
    rows = {row["key"]: row["target_scratch"] for row in table(records)}
    assert {key: rows[key] for key in read} == read


def test_a_pair_is_marked_as_the_board_marks_it(make: SimpleNamespace) -> None:
    f_s = make.train()
    found = [make.attack(f_s, target, {"a": 60, target: 55}) for target in ("b", "c", "a@wm80")]
    rows = {row["target"]: row for row in table([f_s, *found], make.plan(f_s, eligible=["a:b"]))}
    marks = {target: (row["eligible"], row["twin"]) for target, row in rows.items()}
    assert marks == {"b": (True, False), "c": (False, False), "a@wm80": (None, True)}


def test_a_stale_attack_is_marked_and_the_current_one_is_read_beside(make: SimpleNamespace) -> None:
    f_s = make.train()
    model = make.protect(f_s, ["b"])
    old = make.attack(f_s, "b", {"a": 80, "b": 40})
    new = make.attack(f_s, "b", {"a": 80, "b": 75}, spec={"attack_version": 2})
    found = make.attack(model, "b", {"a": 60, "b": 55})
    for order in ([f_s, model, old, new, found], [f_s, model, new, old, found]):
        rows = {row["key"]: row for row in table(order)}
        assert (rows[old["key"]]["current"], rows[new["key"]]["current"]) == (False, True)
        assert rows[found["key"]]["target_attacked_before"] == 0.75


def test_attacks_on_two_variants_of_one_model_are_two_cells(make: SimpleNamespace) -> None:
    """Their specs differ in the model that is attacked, and not only in the key of the parent, which is a version's."""
    f_s = make.train()
    models = [make.protect(f_s, ["b"], spec={"params": {"lam": lam}}) for lam in (0.1, 1.0)]
    found = [make.attack(model, "b", {"a": 60, "b": 50}) for model in models]
    assert [row["current"] for row in table([f_s, *models, *found])] == [True, True]


def run(make: SimpleNamespace, right: dict[tuple[str, int], int], lose: tuple[str, int] = ("", 0)) -> Any:
    """Two sources, two seeds; the probe gets `right` of 100 on c from each protected model, from scratch 40 + seed."""
    records, plan = [], []
    for seed in (0, 1):
        scratch = make.attack(None, "c", {"c": 40 + seed}, "from-scratch", seed=seed)
        for source in ("a", "b"):
            f_s = make.train(source, seed)
            model = make.protect(f_s, ["c"])
            found = make.attack(model, "c", {source: 60, "c": right[source, seed]})
            on_f_s = make.attack(f_s, "c", {source: 80, "c": 75})
            plan += [f_s, model, found, on_f_s]
            records += [f_s, model, on_f_s, *([found] if (source, seed) != lose else [])]
        records.append(scratch)
        plan.append(scratch)
    return board(records, make.plan(*plan, eligible=["a:c", "b:c"]))


RIGHT = {("a", 0): 50, ("a", 1): 60, ("b", 0): 30, ("b", 1): 20}


def test_means_are_over_seeds_then_pairs_and_intervals_over_train_cells(make: SimpleNamespace) -> None:
    (row,) = run(make, RIGHT).to_dict("records")
    assert (row["variant"], row["attack"], row["n"]) == ("cut", "probe", 200)
    assert (row["seeds"], row["units"], row["pairs_done"], row["pairs_expected"], row["failed"]) == (2, 4, 2, 2, 0)
    expected = {
        "target_before": 0.7, "target_after": 0.1, "target_attacked": 0.40, "target_attacked_before": 0.75,
        "target_scratch": 0.405, "target_gain": -0.005, "source_attacked": 0.6,
        "target_removed": (0.15 / 0.6 + 0.45 / 0.6) / 2,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    # gains: a .10, .19; b -.10, -.21: within a source they vary by .045 and .055 about its mean, 1 degree each
    pooled = (2 * 0.045**2 + 2 * 0.055**2) / 2
    half = t.ppf(0.975, 2) * (pooled * (1 / 2 + 1 / 2)) ** 0.5 / 2
    assert (row["target_gain_high"] - row["target_gain_low"]) / 2 == pytest.approx(half)


def test_what_is_missing_is_counted_and_never_averaged_over(make: SimpleNamespace) -> None:
    (row,) = run(make, RIGHT, lose=("b", 1)).to_dict("records")
    assert (row["units"], row["pairs_done"], row["pairs_expected"]) == (3, 1, 2)
    f_s = make.train()
    model = make.protect(f_s, ["b"])
    found = make.attack(model, "b", {"a": 60, "b": 55})
    (row,) = board([f_s, model, found], make.plan(f_s, model, found)).to_dict("records")
    assert row["target_attacked"] == 0.55
    assert pd.isna([row["target_scratch"], row["target_gain"], row["target_attacked_before"]]).all()
    again = make.protect(f_s, ["c"])
    records = [f_s, model, found, make.attack(f_s, "b", {"a": 80, "b": 75}), again, make.attack(again, "c", {"c": 35})]
    (row,) = board(records, make.plan(*records)).to_dict("records")
    assert row["target_attacked"] == pytest.approx(0.45)
    assert pd.isna(row["target_attacked_before"])  # of b alone it would be no mean of these pairs


def test_pairs_that_are_not_eligible_do_not_count(make: SimpleNamespace) -> None:
    f_s = make.train()
    records = [f_s]
    for target, right in (("b", 55), ("c", 15)):
        model = make.protect(f_s, [target])
        records += [model, make.attack(model, target, {"a": 60, target: right})]
    (row,) = board(records, make.plan(*records, eligible=["a:b"])).to_dict("records")
    assert (row["target_attacked"], row["pairs_expected"]) == (0.55, 1)


def test_a_failed_attack_is_counted_and_none_at_all_is_an_empty_frame(make: SimpleNamespace) -> None:
    f_s = make.train()
    model = make.protect(f_s, ["b"])
    bad = make.attack(model, "b", {}, status="failed", error="no", accuracy=[])
    (row,) = board([f_s, model, bad], make.plan(f_s, model, bad)).to_dict("records")
    assert (row["failed"], row["pairs_done"], row["pairs_expected"]) == (1, 0, 1)
    assert pd.isna(row["target_attacked"])
    assert len(board([f_s, model], make.plan(f_s, model))) == 0
