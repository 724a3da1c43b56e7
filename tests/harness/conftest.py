"""The command as a user types it, in a folder of its own, with the data built once for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.mirrored import DOMAINS, T0, seed_of_sweep

QUICK = str(Path(__file__).with_name("quick.yaml"))
Mapbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image cache, shared by the tests of one process."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """The run directory of the forest through Ray, which nobody killed: what others are held against."""
    from tests.harness.runs import FOREST, Running

    folder = tmp_path_factory.mktemp("undisturbed")
    run = Running("run", QUICK, *FOREST, "--no-mlflow", "--out", str(folder / "run"), cwd=folder, data=data)
    try:
        assert run.wait() == 0, run.said
        print(f"the undisturbed run took {run.seconds:.1f} s")
    finally:
        run.end()
    return folder / "run"


@pytest.fixture
def mapbench(tmp_path: Path, data: Path) -> Mapbench:
    """mapbench("run", QUICK, ...): the installed command, in an empty folder, with a HOME of its own to stay clean."""
    home = tmp_path / "home"
    home.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    command = Path(sys.executable).with_name("mapbench")

    def run(*arguments: str, cwd: Path = here, **more: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HOME": str(home), "MAPBENCH_DATA": str(data), "COLUMNS": "120", **more}
        env.pop("MLFLOW_TRACKING_URI", None)
        done = subprocess.run(
            [command, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=250, check=False
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
        assert list(home.iterdir()) == []
        return done

    return run


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database: its migrations take seconds, so tests copy it."""
    from harness import tracking

    out = tmp_path_factory.mktemp("migrated")
    tracking._connect(out, tracking.resolve(out, f"sqlite:///{out}/mlflow.db")).search_experiments()
    return out / "mlflow.db"


@pytest.fixture
def out(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run directory of two seeds, tables written, and an empty MLflow database."""
    from results.store import Store

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = tmp_path / "runs" / "demo"
    store = Store(out)
    for one in seed_of_sweep(0) + seed_of_sweep(1):
        store.commit(one)
    eligible = {"eligible": ["uci:uci-m", "uci:print"], "twins": [], "classes": 10, "domains": DOMAINS, "version": 1}
    planned = [{"key": r["key"], **r["cell"]} for r in store.records()]
    suites = {"digits-mini": eligible}
    store.write_plan({"schema": 1, "grid": "demo", "written": T0, "suites": suites, "cells": planned})
    store.write_tables(force=True)
    shutil.copyfile(migrated, out / "mlflow.db")
    return out
