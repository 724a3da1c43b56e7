"""One machine, the same grid, the same seeds: the same counts, whoever runs the cells and in whatever order.

pytest tests/harness/test_determinism.py
"""

from __future__ import annotations

from pathlib import Path

import pytest

from results import tables
from tests.harness import runs
from tests.harness.conftest import QUICK
from tests.harness.runs import CELLS, FOREST, Running, slow


def again(folder: Path, data: Path, *how: str) -> Path:
    """The forest of `undisturbed` once more: synthesised, protected and attacked models on two seeds."""
    run = Running("run", QUICK, *FOREST, *how, "--no-mlflow", "--out", "run", cwd=folder, data=data)
    try:
        assert run.wait() == 0, run.said
    finally:
        run.end()
    return folder / "run"


def same(one: Path, other: Path) -> None:
    """Keys, counts, and the weights themselves."""
    assert runs.statuses(one) == runs.statuses(other)
    kinds = {row["kind"] for row in tables.read(one, "cells").to_pylist()}
    assert kinds == {"train", "synth", "protect", "attack"}
    mine, theirs = runs.counts(one), runs.counts(other)
    assert len({key for key, _, _ in mine}) == CELLS - 2  # all but what is synthesised, which is not scored
    differ = {cell: (mine[cell][0], theirs.get(cell, [None])[0]) for cell in mine if mine[cell] != theirs.get(cell)}
    assert mine.keys() == theirs.keys() and not differ, differ
    sums = [{r["key"]: r["checkpoint_sha256"] for r in runs.records(out).values()} for out in (one, other)]
    assert sums[0] == sums[1]


@slow
@pytest.mark.soak  # test_kills has the same grid twice as well, the second time in pieces
def test_the_same_grid_twice_gives_the_same_counts(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    same(undisturbed, again(tmp_path, data))


@slow
def test_one_process_and_ray_give_the_same_counts(tmp_path: Path, data: Path, undisturbed: Path) -> None:
    same(undisturbed, again(tmp_path, data, "--executor", "inline"))


@slow
def test_another_seed_gives_other_counts(undisturbed: Path) -> None:
    """Else the comparison of this file could not fail."""
    rows = tables.read(undisturbed, "cells").to_pylist()
    counted = {key: count for (key, domain, _), (count, _, _) in runs.counts(undisturbed).items() if domain == "uci"}
    by_seed = [
        [
            counted[r["key"]]
            for r in sorted(rows, key=lambda r: (r["kind"], r["variant"]))
            if r["seed"] == seed and r["key"] in counted
        ]
        for seed in (0, 1)
    ]
    assert by_seed[0] != by_seed[1]
