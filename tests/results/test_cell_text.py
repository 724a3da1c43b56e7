"""One cell in a terminal: every fact at any width, nothing in a name acts, and what is copied is whole."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from results import cell, cell_text
from results.store import Store

CURVES = {"loss": [3.0, 2.0, None, 0.5], "val_accuracy/b": [None, 0.25, None, 0.75]}


def facts_of(tmp_path: Path, make: SimpleNamespace, **changed: Any) -> dict[str, Any]:
    """Of a protected model that begins with f_s."""
    store = Store(tmp_path / "run")
    train = make.train()
    usual = {"curves": CURVES, "error": None, "predictions": "predictions/" + "p" * 120}
    record = make.protect(train, ["b"], {"b": 20}, **usual | changed)
    for one in (train, record):
        store.commit(one)
    store.write_plan(make.plan(train, record))
    return {**cell.facts(store, record["key"]), "directory": "runs/toy"}


def printed(facts: dict[str, Any], width: int = 80, tail: tuple[str, ...] = ()) -> str:
    out = io.StringIO()
    cell_text.render(facts, Console(file=out, width=width, color_system=None), tail)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_wider_than_the_terminal_but_what_is_copied(
    tmp_path: Path, make: SimpleNamespace, width: int
) -> None:
    facts = facts_of(tmp_path, make)
    said = printed(facts, width)
    copied = {facts["rerun"], *(line for line in said.split("\n") if "runs/toy/" in line), facts["key"]}
    assert [line for line in said.split("\n") if len(line.rstrip()) > width and line not in copied] == []
    assert f"runs/toy/predictions/{'p' * 120}  (gone)\n" in said
    assert f"\n{facts['rerun']}\n" in said
    for number in ("0.700", "0.200", "0.714", "0.833"):  # before, after, drop, removed
        assert number in said


def test_the_parents_accuracy_stands_above_the_cells(tmp_path: Path, make: SimpleNamespace) -> None:
    lines = printed(facts_of(tmp_path, make)).split("\n")
    (at,) = [i for i, line in enumerate(lines) if line.startswith("b ")]
    assert lines[at].split() == ["b", "100", "before", *["0.700"] * 4]
    assert lines[at + 1].split() == ["target", "after", *["0.200"] * 4, "0.714", "0.833"]
    assert lines[at - 1].split() == ["source", "after", *["0.900"] * 4, "0.000"]  # nothing is removed of the source


def test_a_source_model_has_one_line_for_each_domain(tmp_path: Path, make: SimpleNamespace) -> None:
    store = Store(tmp_path / "run")
    train = make.train()
    train["accuracy"].append(make.score("b", 33, part="val"))
    store.commit(train)
    said = printed(cell.facts(store, train["key"]))
    assert ["b", "100", *["0.700"] * 4] in [line.split() for line in said.split("\n")]
    assert ["b", "(val)", "100", *["0.330"] * 4] in [line.split() for line in said.split("\n")]
    assert "drop" not in said and "before" not in said
    assert "parent" not in said


def test_curves_are_a_line_each_with_their_ends(tmp_path: Path, make: SimpleNamespace) -> None:
    said = printed(facts_of(tmp_path, make))
    assert "curves, 4 epochs" in said
    (loss,) = [line for line in said.split("\n") if line.startswith("loss ")]
    (val,) = [line for line in said.split("\n") if line.startswith("val_accuracy/b ")]
    assert "█▅ ▁" in loss and loss.split()[-4:] == ["3", "0.5", "0.5", "3"]
    assert "▁ █" in val and val.split()[-4:] == ["0.25", "0.75", "0.25", "0.75"]
    assert "curves" not in printed(facts_of(tmp_path / "other", make, curves={}))


def test_non_default_params_flags_and_attempts_are_said(tmp_path: Path, make: SimpleNamespace) -> None:
    named = {"variant": "cut[lam=0.5]", "params": {"lam": 0.5, "cap": None, "deep": True, "tiny": 1.23456789e-7}}
    said = printed(facts_of(tmp_path, make, cell=named, flags=["not-taken-off"], started=1.0, seconds=1234.5))
    assert "lam=0.5* cap=none deep=true tiny=1.23456789e-07" in said
    assert "(* not the default)" in said
    assert "not-taken-off" in said
    assert "1: ok, 1,234.5 s, 1970-01-01 00:00:01 UTC, stands" in said
    assert "recipe" not in said
    assert "cpu · host h · torch 2.9" in said and "commit    abc" in said


def test_a_failed_cell_shows_its_error_and_the_end_of_its_log(tmp_path: Path, make: SimpleNamespace) -> None:
    facts = facts_of(tmp_path, make, status="failed", error="ValueError: [red]shapes[/red]", accuracy=[])
    said = printed(facts, tail=("Traceback", "ValueError: [bold]"))
    assert said.split("\n")[0].endswith("failed")
    assert "ValueError: [red]shapes[/red]" in said
    assert "the log ends\n  Traceback\n  ValueError: [bold]\n" in said
    assert "drop" not in said


def test_names_are_printed_as_they_are(tmp_path: Path, make: SimpleNamespace) -> None:
    evil = "[red]x[/red][link=http://e.vil]"
    curves = {evil: [1.0, 2.0]}
    said = printed(facts_of(tmp_path, make, cell={"variant": evil}, flags=[evil], curves=curves), 200)
    assert said.count(evil) >= 3


def test_no_command_is_said_where_none_is_known(tmp_path: Path, make: SimpleNamespace) -> None:
    facts = {**facts_of(tmp_path, make), "rerun": None}
    assert "train it again  not known: the grid file" in printed(facts, 200)


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.5, "0.500"), (-0.0001, "0.000"), (-0.25, "-0.250")])
def test_undefined_is_a_dash(value: float | None, text: str) -> None:
    assert cell_text.number(value) == text
