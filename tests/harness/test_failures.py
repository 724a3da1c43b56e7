"""One grid of thirty cells in which seven methods of a user's fail, each in its own way: the others do not notice.

pytest tests/harness/test_failures.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from results import tables
from tests.harness import runs
from tests.harness.conftest import QUICK
from tests.harness.runs import Running, slow

TIMEOUT = 30  # a healthy cell takes 2 s here, the first one of a process 8
METHOD = '''
"""A method that fails in its second step."""
import ctypes
import faulthandler
import os
import time

import psutil
import torch

from methods.base import Method, Needs


class Bad(Method):
    name = "{name}"
    needs = Needs(target="none")
    steps = 0

    def step(self, batch):
        loss = self.model(batch.x_s).square().mean()
        self.steps += 1
        if self.steps > 1:
            print("{name} begins")
            {body}
        return loss, {{}}
'''
# name -> what it does, its status, and what its `error` and its log say
WAYS: dict[str, tuple[str, str, str, str]] = {
    "raises": ("raise RuntimeError('no such luck')", "failed", "RuntimeError: no such luck", "Traceback"),
    "segfaults": ("ctypes.string_at(0)", "quarantined", "crash", "Segmentation fault"),
    # Ray does not tell which exit code it was, nor that there was one
    "exits": ("os._exit(7)", "quarantined", "the process died", "quarantined: the process died"),
    "sleeps": ("time.sleep(3600)", "timeout", f"{TIMEOUT} s", "timeout"),
    "diverges": ("loss = loss * float('nan')", "failed", "diverged", "Diverged: loss is nan"),
    # address space that is never written to: the limit stops it, the machine does not feel it; were there no limit, it
    # would end as something else than `oom` once it has twice what the machine has
    "hoards": (
        "self.hoard = [torch.empty(2**30, dtype=torch.uint8) for _ in range(psutil.virtual_memory().total // 2**29)]",
        "oom",
        "memory",
        "memory",
    ),
    "mistypes": ("return 'loss'", "failed", "mistypes.step() must return (loss, terms), got str", "Traceback"),
}
HEALTHY = (
    *(f"constant[label={label}]" for label in range(10)),
    *(f"sa-map[lam={lam}]" for lam in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    *("untrained", "continue", "uniform", "cuti", "ntl"),
)  # fmt: skip
CELLS = 1 + len(WAYS) + len(HEALTHY)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Any]:
    """The grid, run once, and what was said."""
    folder = tmp_path_factory.mktemp("failures")
    mine = folder / "mine"
    mine.mkdir()
    for name, (body, *_) in WAYS.items():
        (mine / f"{name}.py").write_text(METHOD.format(name=name, body=body))
    chosen = [argument for name in (*WAYS, *HEALTHY) for argument in ("-m", name)]
    how = ("--methods", "mine", "--timeout", str(TIMEOUT), "--no-mlflow", "--out", "run")
    run = Running("run", QUICK, *chosen, *how, cwd=folder, data=data)
    try:
        code = run.wait()
        left = run.family()
    finally:
        run.end()
    again = Running("run", QUICK, *chosen, *how, cwd=folder, data=data)
    status = Running("status", "run", cwd=folder, data=data)
    facts = Running("status", "run", "--json", cwd=folder, data=data)
    return {
        "out": folder / "run", "code": code, "said": run.said, "left": left, "seconds": run.seconds,
        "again": (again.wait(), again.said), "status": (status.wait(), status.said),
        "facts": (facts.wait(), facts.said), "cells": tables.read(folder / "run", "cells").to_pylist(),
    }  # fmt: skip


@slow
def test_thirty_cells_have_a_row_each_and_the_healthy_ones_are_ok(grid: dict[str, Any]) -> None:
    assert CELLS == 30
    print(f"{CELLS} cells, seven of them bad, in {grid['seconds']:.0f} s")
    assert grid["code"] == 3, grid["said"]
    assert grid["left"] == set()
    assert len(grid["cells"]) == len({row["key"] for row in grid["cells"]}) == CELLS
    healthy = {row["variant"]: row["status"] for row in grid["cells"] if row["variant"] not in WAYS}
    assert set(healthy) == {"", "constant", *HEALTHY} - {"constant[label=0]"}  # 0 is its default
    assert set(healthy.values()) == {"ok"}
    scored = {row["key"] for row in tables.read(grid["out"], "accuracy").to_pylist()}
    assert scored == {row["key"] for row in grid["cells"] if row["status"] == "ok"}


@slow
@pytest.mark.parametrize("name", WAYS)
def test_each_failure_has_its_status_and_a_log_that_says_why(grid: dict[str, Any], name: str) -> None:
    _, status, error, log = WAYS[name]
    (row,) = (row for row in grid["cells"] if row["variant"] == name)
    assert row["status"] == status
    assert error in row["error"]
    text = (grid["out"] / row["log"]).read_text()
    assert log in text
    assert f"{name} begins" in text or status == "quarantined"  # what it printed; a crash may lose it
    attempts = [r for r in tables.read(grid["out"], "attempts").to_pylist() if r["variant"] == name]
    expected = {"quarantined": ["lost", "quarantined"], "oom": ["oom", "oom"]}.get(status, [status])
    assert [r["status"] for r in sorted(attempts, key=lambda r: r["attempt"])] == expected


@slow
def test_status_lists_them_and_the_same_command_does_not_run_them_again(grid: dict[str, Any]) -> None:
    code, said = grid["again"]
    assert code == 3
    assert said.startswith("nothing to do: 23 cells done, 7 failed"), said
    code, said = grid["status"]
    assert code == 0
    counted = "23 ok, 3 failed, 2 quarantined, 1 timeout, 1 oom"
    assert set(said.split("\n")[0].removeprefix("run: ").split(", ")) == set(counted.split(", "))
    for name, (_, status, error, _) in WAYS.items():
        assert re.search(rf"^{status}: {name} .*{re.escape(error)}", said, re.MULTILINE), name
        (row,) = (row for row in grid["cells"] if row["variant"] == name)
        assert row["log"] in said
        assert re.search(rf"^{status}: {name} .*{re.escape(row['log'])}", grid["said"], re.MULTILINE), name
    assert len(json.loads(grid["facts"][1])["failures"]) == 7


@slow
def test_results_of_others_are_what_they_are_without_them(grid: dict[str, Any], undisturbed: Path) -> None:
    alone, beside = runs.counts(undisturbed), runs.counts(grid["out"])
    shared = alone.keys() & beside.keys()
    assert len(shared) >= 4  # f_s and `untrained`, two domains each
    assert all(alone[cell] == beside[cell] for cell in shared)
