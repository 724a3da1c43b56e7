"""Attack cells: which there are and what their keys are, what they are served, and the whole way to the tables."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import UsageError, attacking
from harness.access import DataAccess
from harness.aggregates import aggregate
from harness.api import Options, plan
from harness.cards import cards, load
from harness.cells import Cell
from harness.forest import expand
from harness.grid import Filters, read
from harness.plan import Plan
from harness.views import chosen
from methods import MethodError
from results import tables
from suites import cache, schema, splits, strict
from suites.schema import Recipe
from tests.harness.conftest import QUICK, Mapbench
from tests.harness.mirrored import seed_of_sweep

INLINE = ("--executor", "inline", "--no-mlflow")
PRINTS = {("digits-mini", 0): {d: f"{d}0" for d in ("uci", "uci-m", "print", "street")}}
MINE = '''
"""`mine`: the head is thrown away."""
from methods.attacks import Attack


class Mine(Attack):
    name = "mine"

    def setup(self, model, access):
        super().setup(model, access)
        model.classifier.reset_parameters()

    def optimizers(self):
        return []


class Greedy(Mine):
    name = "greedy"

    def setup(self, model, access):
        super().setup(model, access)
        access.source()
'''


def cells(*attacks: str, **filters: tuple[str, ...]) -> list[Cell]:
    wanted = {"methods": ("ntl", "continue"), "pairs": ("uci:print", "uci-m:print"), "seeds": ("0",)} | filters
    return expand(read("digits-mini", Filters(attacks=attacks, **wanted)), PRINTS)


def attack_cells(made: list[Cell]) -> list[Cell]:
    return [c for c in made if c.meta["kind"] == "attack"]


# which cells --------------------------------------------------------------------------------------------------------


def test_every_model_is_attacked_and_from_scratch_is_shared_by_all() -> None:
    made = cells("probe", "from-scratch")
    labels = [c.label for c in attack_cells(made)]
    assert sorted(labels) == [
        "from-scratch convnet print s0",
        "probe on continue convnet uci-m:print s0",
        "probe on continue convnet uci:print s0",
        "probe on f_s convnet uci-m:print s0",
        "probe on f_s convnet uci:print s0",
        "probe on ntl convnet uci-m:print s0",
        "probe on ntl convnet uci:print s0",
    ]
    keys = [c.key for c in made]
    assert all(keys.index(c.meta["parent"]) < keys.index(c.key) for c in made if c.meta["parent"])
    waits = {t.key: t.parent for t in Plan(tuple(made), {}).tasks()}
    assert all(waits[c.key] == c.meta["parent"] for c in attack_cells(made))


def test_each_target_of_a_union_is_attacked_by_itself() -> None:
    made = attack_cells(cells("probe", pairs=("uci:print+street",), methods=("ntl",)))
    assert {(c.meta["variant"], c.meta["target"]) for c in made} == {
        ("ntl", "print"), ("ntl", "street"), ("", "print"), ("", "street"),
    }  # fmt: skip


def test_keys_of_attacks_are_pinned_and_leave_all_others_alone() -> None:
    """Golden: when this fails, every attack anyone has run becomes another cell."""
    plain, made = cells("none"), cells("bn-reestimate+probe", "from-scratch")
    assert attack_cells(plain) == []
    assert [c.key for c in plain] == [c.key for c in made if c.meta["kind"] != "attack"]
    keys = {c.label: c.key[:12] for c in attack_cells(made)}
    assert keys["bn-reestimate+probe on ntl convnet uci:print s0"] == "eee4d824ce0c"
    assert keys["from-scratch convnet print s0"] == "b281e0a9e6a0"


def test_a_key_knows_the_model_the_target_and_n_and_from_scratch_no_source() -> None:
    made = attack_cells(
        cells("probe", "probe[n=50]", "probe[c=2]", "from-scratch", "from-scratch[n=50]", seeds=("0", "1"))
    )
    assert len({c.key for c in made}) == len(made) == 2 * (3 * 6 + 2)
    scratch = [c for c in made if "from-scratch" in c.meta["attack"]]
    assert {(c.meta["n"], c.meta["seed"]) for c in scratch} == {(200, 0), (50, 0), (200, 1), (50, 1)}
    assert all("source" not in c.spec and c.meta["source"] == c.meta["target"] == "print" for c in scratch)
    assert "probe[n=50]" in {c.meta["attack"] for c in made}


def test_what_leaves_no_plain_network_is_skipped_with_its_reason() -> None:
    made = attack_cells(cells("probe", methods=("gate",), pairs=("uci:print",)))
    assert {c.meta["variant"]: bool(c.skip) for c in made} == {"": False, "gate": True}
    (reason,) = (c.skip for c in made if c.skip)
    assert "gate leaves no plain network" in str(reason)


def test_a_grid_names_its_attacks_and_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = "grid: mine\ngrids:\n  - {suite: digits-mini, methods: [ntl], pairs: ['uci:print'], seeds: [0]%s}\n"

    def asked(more: str, *typed: str) -> set[str]:
        file.write_text(text % more)
        return {c.meta["attack"] for c in attack_cells(expand(read(str(file), Filters(attacks=typed)), PRINTS))}

    assert asked("") == set(schema.load_suite("digits-mini").grid.attacks) >= {"from-scratch[n=20]"}  # the suite's own
    assert asked(", attacks: []") == set()
    assert asked(", attacks: ['probe[n=20]']") == {"probe[n=20]"}
    assert asked(", attacks: []", "bn-reestimate") == {"bn-reestimate"}


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("prob", "command line: unknown attack 'prob': did you mean probe?"),
        ("ntl", "command line: ntl is a method, not an attack; ask for it with -m or under `methods:`"),
        ("probe[n=0]", "command line: param n of probe must be 1 or more, got '0'"),
        ("probe[n=many]", "param n of probe must be a whole number, got 'many'"),
        ("probe[start=init]", "probe has no param 'start': it has c, n"),
    ],
)
def test_a_mistake_is_one_line(attack: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        cells(attack)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_attack_is_no_method() -> None:
    with pytest.raises(UsageError, match="probe is an attack, not a method; ask for it with -a or under `attacks:`"):
        read("digits-mini", Filters(methods=("probe",)))


def test_an_attack_that_declares_the_owners_data_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    for line in ("needs = AttackNeeds(source='labelled')", "needs = Needs()", "needs = AttackNeeds(target='none')"):
        wrong.write_text(
            "from methods.attacks import Attack, AttackNeeds\nfrom methods.base import Needs\n\n\n"
            f"class Wrong(Attack):\n    name = 'wrong'\n    {line}\n"
        )
        with pytest.raises(MethodError, match="an attack has nothing else; got"):
            cards((str(wrong),))


def test_filters_find_attacks_by_name_pair_and_method() -> None:
    made = attack_cells(cells("probe[n=50]", "from-scratch"))

    def labels(**filters: tuple[str, ...]) -> list[str]:
        return [c.label for c in made if chosen(c.meta, Filters(**filters))]

    assert labels(attacks=("from-scratch",)) == ["from-scratch convnet print s0"]
    assert labels(attacks=("probe",)) == labels(attacks=("probe[n=50]",)) != []
    assert set(labels(pairs=("uci:print",))) == {x for x in labels() if "uci-m" not in x}
    assert not any("continue" in x for x in labels(methods=("ntl",)))


# what they are served -----------------------------------------------------------------------------------------------


def spec_of(suite: schema.Suite, data: Path, n: int, seed: int = 0) -> dict[str, Any]:
    prints = cache.fingerprints(suite, data)
    return {"split_seed": 0, "domains": prints, "target": "uci", "seed": seed, "attack_params": {"n": n}}


def test_served_images_are_the_attackers_own_and_fewer_are_among_more(data: Path) -> None:
    suite = strict.read_yaml(Path(QUICK), schema.Suite)

    def served(n: int, seed: int = 0) -> list[tuple[bytes, int]]:
        images, labels = attacking.images(data, suite, spec_of(suite, data, n, seed), torch.device("cpu"))
        return [(x.numpy().tobytes(), int(y)) for x, y in zip(images, labels, strict=True)]

    held = {}
    for part in splits.PARTS:
        read_part = cache.read(suite, data, 0, "uci", part)
        held[part] = {(x.tobytes(), int(y)) for x, y in zip(read_part.images, read_part.labels, strict=True)}
    whole, few = served(200), served(50)
    assert set(whole) == held["attacker"]  # with its label, each of them
    for n in (10, 20, 25, 50):  # no class has more than one image more than another
        counts = Counter(label for _, label in served(n))
        assert len(counts) == 10 and max(counts.values()) - min(counts.values()) <= 1
    assert not set(whole) & (held["train"] | held["val"] | held["test"])
    assert few == whole[:50]
    assert served(50, seed=1) != few
    assert served(50) == few


def test_an_attack_cannot_have_what_the_owner_trained_on() -> None:
    card = cards()["probe"]
    part = (torch.zeros(8, 3, 8, 8, dtype=torch.uint8), torch.arange(8))
    recipe = Recipe(optimizer="adam", lr=1e-3, batch=4, epochs=1, schedule="linear")
    access = DataAccess(load(card, card.check({}, "x")), {"source": part, "target": part}, recipe, 8, 8, 0)
    assert len(access.target()[0]) == 8
    for ask in (access.source, lambda: next(access.epoch()).x_s):
        with pytest.raises(MethodError, match="but an attack is served labelled images of its target's attacker part"):
            ask()
    card = cards()["bn-reestimate"]
    blind = DataAccess(load(card, card.check({}, "x")), {"target": part}, recipe, 8, 8, 0)
    assert blind.target()[1] is None  # no labels


def test_an_attack_that_trains_takes_the_steps_of_an_f_s() -> None:
    recipe = Recipe(optimizer="adam", lr=1e-3, batch=32, epochs=12, schedule="linear")
    for n, batch, steps in ((200, 32, 6), (50, 32, 1), (10, 10, 1)):
        given = attacking.budget(recipe, n, 1150)
        assert given.batch == batch
        assert given.epochs * steps == pytest.approx(12 * 35, abs=steps)
    assert attacking.budget(recipe, 1150, 1150) == recipe


def test_more_images_than_there_are_is_refused_before_anything_runs(data: Path, tmp_path: Path) -> None:
    asked = read(QUICK, Filters(attacks=("probe[n=201]",)))
    with pytest.raises(UsageError, match=r"^probe\[n=201\]: the attacker's part of uci holds 200 images, not 201"):
        plan(asked, Options(out=str(tmp_path / "run"), data=str(data)))
    assert not (tmp_path / "run").exists()


# what MLflow is told ------------------------------------------------------------------------------------------------


def test_the_mirror_has_a_run_for_each_attack_on_each_setting() -> None:
    read_back = seed_of_sweep(0) + seed_of_sweep(1)
    for above in [r for r in read_back if r["cell"]["variant"] in ("", "ntl")]:
        spec = above["spec"] | {"kind": "attack", "attack": "probe", "target": "uci-m", "backbone": "convnet"}
        spec["parent"] = above["key"]
        key = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
        cell = above["cell"] | {
            "kind": "attack",
            "parent": above["key"],
            "attack": "probe",
            "n": 200,
            "target": "uci-m",
        }
        right = {"uci": 80, "uci-m": (50 if cell["variant"] else 58) + 2 * cell["seed"]}
        rows = [row | {"balanced": right.get(row["domain"], 0) / 100} for row in above["accuracy"]]
        read_back.append(above | {"key": key, "uuid": key[:8], "spec": spec, "cell": cell, "accuracy": rows})
    runs = {run.name: run for run in aggregate(read_back, {}, "sweep")}
    assert len({run.identity for run in runs.values()}) == len(runs) == 1 + 4 + 2
    run = runs["probe on ntl convnet uci:uci-m"]
    assert (run.params["attack"], run.params["n"], run.params["variant"]) == ("probe", "200", "ntl")
    expected = {"n": 2, "target_attacked": 0.51, "target_attacked_before": 0.59, "source_attacked": 0.8}
    assert {name: run.metrics[name] for name in expected} == pytest.approx(expected)
    assert "target_scratch" not in run.metrics  # there is none
    assert "target_attacked" not in runs["ntl convnet uci:uci-m"].metrics
    assert runs["probe on f_s convnet uci:uci-m"].metrics["target_attacked"] == pytest.approx(0.59)


# the whole way ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_run_scores_attacks_and_a_users_own_and_one_that_reaches_too_far_fails(
    mapbench: Mapbench, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    attacks = ("bn-reestimate+probe", "from-scratch", "mine", "greedy")
    asked = (
        "run", QUICK, *INLINE, "-m", "constant", "--methods", str(tmp_path / "mine.py"),
        *(word for attack in attacks for word in ("-a", attack)),
    )  # fmt: skip
    done = mapbench(*asked)
    assert done.returncode == 3, done.stdout + done.stderr
    out = tmp_path / "here" / "runs" / "quick"
    cells = tables.read(out, "cells").to_pandas()
    status = {(row.attack, row.variant): row.status for row in cells.itertuples() if row.kind == "attack"}
    ok = {("bn-reestimate+probe", v): "ok" for v in ("", "constant")} | {("mine", v): "ok" for v in ("", "constant")}
    assert status == ok | {("from-scratch", ""): "ok"} | {("greedy", v): "failed" for v in ("", "constant")}
    (error,) = set(cells[cells.attack == "greedy"].error)
    assert (
        "greedy asked for source data, but an attack is served labelled images of its target's attacker part" in error
    )

    found = tables.read(out, "attacks").to_pandas().set_index(["attack", "variant"])
    pairs = tables.read(out, "pairs").to_pandas()
    pair = pairs[(pairs.variant == "constant") & (pairs.target == "uci")].iloc[0]
    both = found.loc[("bn-reestimate+probe", "constant")]
    assert (both.n, both.source, both.target) == (200, "uci-m", "uci")
    assert both.target_before_balanced == pair.target_before_balanced
    assert both.target_after_balanced == pair.target_after_balanced
    assert both.target_attacked > pair.target_after_balanced + 0.3  # constant hides, and removes nothing
    assert both.target_attacked_before == found.loc[("bn-reestimate+probe", "")].target_attacked
    assert both.target_scratch == found.loc[("from-scratch", "")].target_attacked > 0.5
    assert found.loc[("mine", "constant")].target_attacked < 0.4

    # what is scored is what was predicted on test, and the net came from its parent
    record = json.loads(next((out / "records").glob(f"*/{both.key}.*.json")).read_text())
    above = json.loads(next((out / "records").glob(f"*/{both.parent}.*.json")).read_text())
    assert record["parent_checkpoint"] == above["checkpoint_sha256"]
    assert {row["part"] for row in record["accuracy"]} == {"test"}

    said = mapbench("status", str(out)).stdout
    assert "greedy on constant convnet uci-m:uci s0" in said
    assert "protection against bn-reestimate+probe (n=200), mine (n=200)" in done.stdout
    again = mapbench(*asked)
    assert again.stdout.startswith("nothing to do: 7 cells done, 2 failed")
    (tmp_path / "mine.py").write_text(MINE.replace("        access.source()\n", ""))
    retried = mapbench("retry", str(out), *INLINE, "--methods", str(tmp_path / "mine.py"))
    assert retried.returncode == 0, retried.stdout + retried.stderr
    planned = mapbench("plan", QUICK, *asked[5:])
    assert "warning: the file of mine changed since 2 of these cells ran" in planned.stdout
