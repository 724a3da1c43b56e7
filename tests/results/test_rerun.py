"""The command out of a cell: quoted, exact, and None where there is none. That it plans the cell: test_show.py."""

from __future__ import annotations

import json
import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from results import rerun, tables


def of(record: dict[str, Any]) -> dict[str, Any]:
    """A cell as plan.json and the tables have it."""
    spec = record["spec"]
    return {"key": record["key"], "split_seed": 0, "attack_params": spec.get("attack_params"), **record["cell"]}


@pytest.mark.parametrize(
    ("text", "target", "methods"),
    [
        ("mapbench run demo", "demo", []),
        ("mapbench run -s 0 demo -m a --quiet", "demo", ["a"]),
        ("mapbench run --quiet demo -ma --method=b --out runs/x", "demo", ["a", "b"]),
        ("mapbench run --no-mlflow -m 'x[y=1]' -- demo", "demo", ["x[y=1]"]),
    ],
)
def test_a_command_line_is_read_as_it_was_typed(text: str, target: str, methods: list[str]) -> None:
    said = rerun.asked(text)
    assert said is not None
    assert said.target == target
    assert said.given("-m") + said.given("--method") == methods


@pytest.mark.parametrize("text", [None, "", "mapbench", "mapbench retry runs/x", "mapbench run", "mapbench run 'x"])
def test_what_is_no_run_says_nothing(text: str | None) -> None:
    assert rerun.asked(text) is None


def test_a_command_is_quoted_and_goes_into_a_directory_of_its_own(make: SimpleNamespace) -> None:
    train = make.train()
    cell = of(make.protect(train, ["b", "c"], cell={"variant": "cut[x=$HOME;]"}))
    command = rerun.command(cell, make.plan(train))
    assert command is not None
    assert "'cut[x=$HOME;]'" in command and "'a:*'" in command
    words = shlex.split(command)
    assert words[:3] == ["mapbench", "run", "toy"]
    assert words[words.index("--out") + 1] == f"runs/{cell['key'][:8]}"
    assert shlex.split(rerun.command(cell, make.plan(train), "my runs/x") or "")[-1] == "my runs/x"


def test_several_seeds_may_be_named(make: SimpleNamespace) -> None:
    command = rerun.command({**of(make.train()), "seed": "0,2"}, None) or ""
    assert " -s 0,2 " in command


def test_numbers_are_those_of_the_key_not_those_of_the_board(make: SimpleNamespace) -> None:
    params = {"x": 0.123456789, "y": 0.5, "n": 3, "z": None}
    named = "cut[x=0.123457,y=0.5,n=3,z=none]"
    cell = of(make.protect(make.train(), ["b"], cell={"variant": named, "params": params}))
    for given in (params, json.dumps(params)):  # the tables hold JSON
        assert "cut[x=0.123456789,y=0.5,n=3,z=none]" in (rerun.command({**cell, "params": given}, None) or "")
    attack = {**of(make.attack(make.train(), "b", {"b": 10}, name="probe[c=0.123457,n=9]", n=9))}
    attack["attack_params"] = {"c": 0.123456789, "n": 9}
    assert "probe[c=0.123456789,n=9]" in (rerun.command(attack, None) or "")


def test_where_things_lie_is_said_again_and_how_it_ran_is_not(make: SimpleNamespace) -> None:
    said = "mapbench run toy --data /d -s 0-9 --methods a.py --methods b.py --timeout 9 --quiet --out o --weights w"
    command = rerun.command(of(make.train()), {**make.plan(), "command": said}, "o2") or ""
    assert command.endswith("-s 0 -a none --methods a.py --methods b.py --data /d --weights w --out o2")


def test_a_given_source_model_is_asked_for_by_its_file(make: SimpleNamespace) -> None:
    cell = {**of(make.train()), "backbone": "net@9a846be6@bf16"}
    known = {**make.plan(), "command": "mapbench run toy --source-model my.pt"}
    assert "-b net " in (rerun.command(cell, known) or "")
    assert "--precision bf16 --source-model my.pt" in (rerun.command(cell, known) or "")
    assert "--source-model FILE" in (rerun.command(cell, make.plan()) or "")
    assert "--source-model" not in (rerun.command(of(make.train()), known) or "")


def test_no_command_where_none_is_known(make: SimpleNamespace) -> None:
    train = make.train()
    synth = make.synth(train)
    assert rerun.command({**of(train), "score": "val"}, make.plan(train)) is None  # its grid file is not known
    assert rerun.command({**of(train), "split_seed": 3}, make.plan(train)) is None
    assert rerun.command({**of(train), "domains": ["a", "b", "c", "a@wm80"]}, make.plan(train)) is None
    assert rerun.command({**of(train), "status": "skipped"}, make.plan(train)) is None
    assert rerun.command(of(synth), make.plan(train, synth)) is None  # nobody uses it
    user = make.protect(train, ["b"], cell={"inputs": [synth["key"]], "variant": "uses"})
    assert " -m uses " in (rerun.command(of(synth), make.plan(train, synth, user)) or "")


def test_a_synthesiser_that_serves_another_is_asked_for_by_whom_that_one_serves(make: SimpleNamespace) -> None:
    train = make.train()
    first = make.synth(train)
    second = make.synth(train, version=2)
    second["cell"]["inputs"] = [first["key"]]
    user = make.protect(train, ["b"], cell={"inputs": [second["key"]], "variant": "uses"})
    assert " -m uses " in (rerun.command(of(first), make.plan(train, first, second, user)) or "")


def test_a_row_of_a_dataframe_will_do_where_the_plan_has_forgotten_the_cell(make: SimpleNamespace) -> None:
    """Undefined words are NaN there, which is neither a name nor false."""
    train = make.train()
    protect = make.protect(train, ["b"])
    built = tables.build([train, protect, make.attack(protect, "b", {"b": 20})], None)
    rows = {row["kind"]: row for row in built["cells"].to_pandas().to_dict("records")}
    known = make.plan(train)
    for record in (train, protect):
        kind = record["cell"]["kind"]
        assert rerun.command(rows[kind], known) == rerun.command({**of(record), "params": rows[kind]["params"]}, known)
        assert " -a none " in (rerun.command(rows[kind], known) or "")
