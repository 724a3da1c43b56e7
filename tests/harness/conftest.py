"""The command as a user types it, in a folder of its own, with the data built once for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

QUICK = str(Path(__file__).with_name("quick.yaml"))
Mapbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image cache, shared by the tests of one process."""
    return tmp_path_factory.mktemp("data")


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
