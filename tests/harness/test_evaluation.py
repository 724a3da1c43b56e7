"""Accuracy while a cell trains: it is in the curves, and no number of the cell knows of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from harness import toy
from harness.access import DataAccess
from harness.cards import cards, load
from harness.evaluation import PREFIX, Evaluation, add
from harness.training import Fitted, fit
from suites.schema import Recipe
from tests.harness.conftest import QUICK, Mapbench

RECIPE = Recipe(optimizer="adam", lr=1e-3, batch=16, epochs=3, schedule="linear", shift=1)


def trained(name: str, evaluation: Evaluation | None) -> Fitted:
    card = cards()[name]
    method, net = load(card, card.check({}, name)), toy.network(0)
    net.load_state_dict(toy.source_state())
    torch.manual_seed(0)
    access = DataAccess(method, toy.pair(0), RECIPE, toy.CLASSES, toy.SIZE, 0)
    *_, fitted = fit(method, net, access, RECIPE, evaluation=evaluation)
    assert isinstance(fitted, Fitted)
    return fitted


@pytest.mark.parametrize("name", ["ntl", "cuti", "sa-map", "gate"])
def test_a_cell_that_is_looked_at_ends_as_one_that_is_not(name: str) -> None:
    """`gate` draws when it finishes, `sa-map` folds its masks in: of a copy."""
    seen: list[nn.Module] = []

    def measure(model: nn.Module) -> dict[str, float]:
        seen.append(model)
        torch.rand(3)  # draws of its own
        zeros = sum(int((p == 0).sum()) for p in model.parameters())
        return {f"{PREFIX}uci": float(zeros)}

    alone, looked_at = trained(name, None), trained(name, Evaluation(2, measure))
    mine, theirs = alone.model.state_dict(), looked_at.model.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    line = looked_at.curves.pop(f"{PREFIX}uci")
    assert looked_at.curves == alone.curves
    assert line[0] is None and line[1] is not None and line[2] is not None  # after the second epoch, and the last
    assert (name == "sa-map") == (line[2] > 0)  # it is the net as it would be handed over
    assert len({id(model) for model in seen}) == 2 and looked_at.model not in seen


def test_epochs_that_were_not_looked_at_have_none() -> None:
    curves: dict[str, list[float | None]] = {"loss": [3.0, 2.0, 1.0]}
    for epoch in (1, 2, 3):
        add(curves, {f"{PREFIX}a": 0.5} if epoch == 2 else {}, epoch)
    assert curves == {"loss": [3.0, 2.0, 1.0], f"{PREFIX}a": [None, 0.5, None]}


def test_a_user_asks_for_it_and_the_cells_are_the_same(mapbench: Mapbench, tmp_path: Path) -> None:
    told = {}
    for every in ((), ("--evaluate-every", "1")):
        out = tmp_path / f"run{len(every)}"
        typed = ("run", QUICK, "-m", "constant", "-s", "0", "-a", "none", *every, "--out", str(out))
        assert mapbench(*typed, "--executor", "inline", "--no-mlflow").returncode == 0
        found = [json.loads(path.read_text()) for path in out.glob("records/*/*.json")]
        told[every] = {r["key"]: r for r in found}
    plain, looked = told.values()
    assert plain.keys() == looked.keys()
    for key, record in looked.items():
        names = {name for name in record["curves"] if name.startswith(PREFIX)}
        assert names == {f"{PREFIX}{domain}" for domain in record["cell"]["domains"]}
        assert all(0 <= value <= 1 for name in names for value in record["curves"][name])
        assert record["checkpoint_sha256"] == plain[key]["checkpoint_sha256"]
        assert not any(name.startswith(PREFIX) for name in plain[key]["curves"])
