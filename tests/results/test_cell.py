"""The facts of one cell: found by the beginning of its key, joined with what it hangs on and what hangs on it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results import StoreError, cell
from results.store import Store


@pytest.fixture
def run(tmp_path: Path, make: SimpleNamespace) -> SimpleNamespace:
    """f_s, a generator, a model protected with it, one that failed twice, an attack, and one that has not run."""
    store = Store(tmp_path / "run")
    train = make.train(checkpoint_sha256="f5")
    gen = make.synth(train, picture="pictures/x.png")
    params = {"lam": 1.0, "cap": "sample", "lr": None}
    protect = make.protect(
        train, ["b"], {"b": 20}, parent_checkpoint="f5",
        cell={"variant": "cut[lam=1,cap=sample]", "params": params, "inputs": [gen["key"]]},
    )  # fmt: skip
    attack = make.attack(protect, "b", {"a": 60, "b": 50}, n=20, name="probe[n=20]")
    attack["cell"]["inputs"] = []
    waiting = make.protect(train, ["c"])
    key = make.protect(train, ["b", "c"])["key"]
    failed = [
        make.protect(train, ["b", "c"], key=key, attempt=n, status=status, error=error, accuracy=[])
        for n, status, error in ((1, "oom", "out of memory"), (2, "failed", "ValueError: shapes"))
    ]
    for record in (train, gen, protect, attack, *failed):
        store.commit(record)
    store.write_plan(make.plan(train, gen, protect, attack, failed[0], waiting))
    log = store.out / protect["log"]
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"epoch {n}\n" for n in range(300)))
    return SimpleNamespace(
        store=store, train=train, gen=gen, protect=protect, attack=attack, failed=failed, waiting=waiting
    )


def rows(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["domain"]: row for row in facts["accuracy"]}


def test_accuracy_stands_beside_the_parents_on_the_same_domain(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.protect["key"])
    found = rows(facts)
    assert {d: (r["role"], r["before"]["top1"], r["top1"]) for d, r in found.items()} == {
        "a": ("source", 0.9, 0.9), "b": ("target", 0.7, 0.2), "c": ("bystander", 0.7, 0.7),
    }  # fmt: skip
    assert found["b"]["drop"] == pytest.approx(0.5 / 0.7)
    assert found["b"]["removed"] == pytest.approx((0.7 - 0.2) / (0.7 - 0.1))
    assert (found["a"]["drop"], found["a"]["removed"], found["c"]["removed"]) == (0.0, None, 0.0)
    assert found["b"]["confusion"] == [[20, 80], [0, 0]]
    assert facts["parent"] == {"key": run.train["key"], "label": "f_s net a s0", "status": "ok"}
    assert facts["inputs"] == [{"key": run.gen["key"], "label": "gen net a s0", "status": "ok"}]
    assert facts["label"] == "cut[lam=1,cap=sample] net a:b s0"


def test_the_parent_is_the_one_whose_checkpoint_it_began_with(run: SimpleNamespace, make: SimpleNamespace) -> None:
    """Two drivers trained f_s; the first to finish stands for its key, and this cell began with the other."""
    other = make.train(correct={"b": 40}, checkpoint_sha256="0e", attempt=2, finished=0.1)
    run.store.commit(other)
    assert rows(cell.facts(run.store, run.train["key"]))["b"]["top1"] == 0.4
    assert rows(cell.facts(run.store, run.protect["key"]))["b"]["before"]["top1"] == 0.7


def test_an_attack_is_read_beside_the_model_it_attacks(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.attack["key"])
    found = rows(facts)
    assert (found["b"]["role"], found["b"]["before"]["top1"], found["b"]["top1"]) == ("target", 0.2, 0.5)
    assert found["b"]["drop"] == pytest.approx(-1.5) and found["b"]["removed"] is None
    assert found["a"]["role"] == "source"
    assert facts["label"] == "probe[n=20] on cut[lam=1,cap=sample] net a:b s0"
    assert facts["attack_params"] == [{"name": "n", "value": 20, "default": False}]


def test_a_source_model_has_no_before_and_its_children_are_counted_by_status(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.train["key"])
    assert facts["parent"] is None
    assert all(row["before"] is None and row["drop"] is None for row in facts["accuracy"])
    assert [row["role"] for row in facts["accuracy"]] == ["source", None, None]
    assert facts["children"] == {"ok": 2, "failed": 1}  # two attempts are one cell; the attack is a grandchild
    assert cell.facts(run.store, run.gen["key"])["children"] == {"ok": 1}
    assert cell.facts(run.store, run.attack["key"])["children"] == {}


def test_params_that_are_not_the_default_are_marked(run: SimpleNamespace) -> None:
    marked = {p["name"]: p["default"] for p in cell.facts(run.store, run.protect["key"])["params"]}
    assert marked == {"lam": False, "cap": False, "lr": True}


def test_a_synthesisers_params_are_marked_by_its_suite(run: SimpleNamespace, make: SimpleNamespace) -> None:
    gen = make.synth(run.train, version=2)
    gen["cell"]["params"] = {"members": 2, "lr": 0.1}
    run.store.commit(gen)
    run.store.write_plan(make.plan(gen, synthesis={"gen": {"members": 2}}))
    marked = {p["name"]: p["default"] for p in cell.facts(run.store, gen["key"])["params"]}
    assert marked == {"members": False, "lr": True}


def test_all_attempts_are_told_and_the_one_that_stands(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.failed[0]["key"])
    assert [(a["attempt"], a["status"], a["error"], a["stands"]) for a in facts["attempts"]] == [
        (1, "oom", "out of memory", False), (2, "failed", "ValueError: shapes", True),
    ]  # fmt: skip
    assert (facts["status"], facts["error"], facts["accuracy"]) == ("failed", "ValueError: shapes", [])


def test_a_cell_that_has_not_run_is_known_by_its_plan(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.waiting["key"])
    assert (facts["status"], facts["label"], facts["attempts"]) == ("missing", "cut net a:c s0", [])
    assert facts["parent"]["status"] == "ok"
    assert facts["rerun"].startswith("mapbench run toy -m cut -b net -p a:c -s 0 -a none --out ")


def test_files_are_there_or_gone_and_an_inputs_picture_is_found(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.protect["key"])
    assert facts["files"] == [{"what": "log", "path": run.protect["log"], "there": True}]
    (made,) = facts["pictures"]
    assert (made["label"], made["path"], made["there"]) == ("gen net a s0", "pictures/x.png", False)
    assert made["quality"] == {"judge": 0.9}
    assert cell.log(run.store, facts, 200) == [f"epoch {n}" for n in range(100, 300)]
    (run.store.out / run.protect["log"]).unlink()
    gone = cell.facts(run.store, run.protect["key"])
    assert gone["files"][0]["there"] is False
    assert cell.log(run.store, gone, 200) == cell.log(run.store, facts, 200) == []


def test_a_key_is_found_by_its_beginning_in_any_case(run: SimpleNamespace) -> None:
    key = run.protect["key"]
    assert cell.facts(run.store, key[:12])["key"] == cell.facts(run.store, key.upper())["key"] == key


def test_an_ambiguous_key_lists_the_cells_it_may_be(tmp_path: Path, make: SimpleNamespace) -> None:
    store = Store(tmp_path / "run")
    for digit in range(8):
        store.commit(make.train(seed=digit, key=f"abcd{digit}" + "0" * 59))
    with pytest.raises(StoreError) as error:
        cell.facts(store, "abcd")
    said = str(error.value)
    assert "abcd begins the keys of 8 cells, give more digits: abcd00000000 f_s net a s0; abcd10000000 f_s" in said
    assert said.endswith("; and 2 more") and "\n" not in said
    assert cell.facts(store, "ABCD3")["seed"] == 3


def test_an_unknown_key_names_the_nearest(tmp_path: Path, make: SimpleNamespace) -> None:
    store = Store(tmp_path / "run")
    for head in ("1234", "12ff", "abcd", "9999"):
        store.commit(make.train(source="b", key=head + "0" * 60))
    with pytest.raises(StoreError, match="begins with 1235; the nearest are 123400000000 f_s net b s0; 12ff0") as error:
        cell.facts(store, "1235")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["abc", "", "cuti", "../../etc", "12345" * 13])
def test_what_is_no_key_is_one_line(run: SimpleNamespace, text: str) -> None:
    with pytest.raises(StoreError, match="is no key: give the first 4 of its hex digits or more"):
        cell.facts(run.store, text)


def test_a_cell_whose_records_are_damaged_is_one_line(run: SimpleNamespace, make: SimpleNamespace) -> None:
    run.store.write_plan(make.plan())
    key = run.attack["key"]
    for path in (run.store.out / "records" / key[:2]).glob(f"{key}*"):
        path.write_text("{")
    with pytest.raises(StoreError, match=f"the records of {key} in .* are damaged: `mapbench clean` removes them"):
        cell.facts(run.store, key)


def test_the_json_is_the_facts(run: SimpleNamespace) -> None:
    facts = cell.facts(run.store, run.protect["key"])
    assert json.loads(cell.to_json(facts)) == facts
    assert "NaN" not in cell.to_json({**facts, "seconds": float("nan")})


@pytest.mark.parametrize("outside", ["../secret.txt", "logs/../../secret.txt", "{}/secret.txt"])
def test_a_record_of_others_cannot_show_a_file_outside(tmp_path: Path, make: SimpleNamespace, outside: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    store = Store(tmp_path / "run")
    train = make.train(log=outside.format(tmp_path))
    store.commit(train)
    (store.out / "logs").mkdir()
    facts = cell.facts(store, train["key"])
    assert facts["files"][0]["there"] is False
    assert cell.log(store, facts, 9) == []


def test_a_url_says_the_same(run: SimpleNamespace) -> None:
    store = Store("memory://test-cell/run")
    for record in run.store.records():
        store.commit(record)
    store.write_plan(run.store.plan() or {})
    for key in (run.train["key"], run.protect["key"]):
        here, there = cell.facts(run.store, key), cell.facts(store, key)
        files = {"directory": None, "files": None}  # the log lies here alone
        assert here | files == there | files


def test_a_damaged_child_is_not_counted(run: SimpleNamespace) -> None:
    key = run.attack["key"]
    (path,) = (run.store.out / "records" / key[:2]).glob(f"{key}*")
    path.write_text(path.read_text()[:-20])
    assert cell.facts(run.store, run.protect["key"])["children"] == {}


def test_the_command_leads_to_another_directory_than_this(tmp_path: Path, make: SimpleNamespace) -> None:
    train = make.train()
    for name in ("run", train["key"][:8]):
        store = Store(tmp_path / name)
        store.commit(train)
        assert not cell.facts(store, train["key"])["rerun"].endswith(f"/{name}")
