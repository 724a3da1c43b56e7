"""The MLflow mirror where things go wrong: cut short, slow, killed, a server that is down. It costs no result.

python -m pytest tests/harness/test_tracking_faults.py
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import tracking
from tests.harness.mirrored import client, look, pairs, snapshot


@pytest.mark.parametrize("calls", [1, 3, 10, 17])  # after the experiment, in the first run, a later one, the files
def test_cut_short_anywhere_the_next_sync_completes(
    out: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    from mlflow.tracking import MlflowClient

    left = [calls]

    def limited(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise OSError("the server went away")
            left[0] -= 1
            return real(self, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("create_experiment", "create_run", "log_batch", "set_terminated", "set_tag", "log_artifact"):
            patch.setattr(MlflowClient, name, limited(getattr(MlflowClient, name)))
        said = tracking.sync(out)
    assert said == "results complete, MLflow sync failed: the server went away; the next run tries again"
    assert tracking.pending(out)
    assert tracking.sync(out).startswith("MLflow: 5 runs") and not tracking.pending(out)
    whole = f"sqlite:///{out.parent}/whole.db"
    shutil.copyfile(migrated, out.parent / "whole.db")
    tracking.sync(out, whole)

    def told(uri: str | None) -> dict[str, Any]:
        mlflow, runs = client(uri or tracking.resolve(out)), look(out, uri)
        (parent,) = [run.info.run_id for name, run in runs.items() if name.startswith("demo ")]
        files = [file.path for file in mlflow.list_artifacts(parent, "tables")]
        return {"files": files} | {n: (r.info.status, r.info.end_time, r.data.metrics) for n, r in runs.items()}

    assert told(None) == told(whole)


def test_a_twin_left_by_a_lost_answer_goes(out: Path) -> None:
    tracking.sync(out)
    mlflow, run = client(tracking.resolve(out)), look(out)["ntl convnet uci:uci-m"]
    kept = {name: run.data.tags[name] for name in ("mapbench.identity", "mapbench.sweep")}
    for start_time in (1, int(4e12)):  # searches sort by it: before and after the run that is whole
        mlflow.create_run(run.info.experiment_id, start_time, kept, "twin")
    tracking.sync(out)
    runs = look(out)
    assert len(runs) == 5 and runs["ntl convnet uci:uci-m"].info.run_id == run.info.run_id


def test_faults_are_one_line(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.sync(tmp_path / "empty").startswith("MLflow: nothing to mirror")
    (out / "plan.json").write_text("{")
    said = tracking.sync(out)
    assert "plan.json is damaged" in said and "\n" not in said
    (out / "plan.json").unlink()

    def sqlalchemy_like(*_: Any) -> None:
        raise RuntimeError("(OperationalError) no such table\n[SQL: SELECT 1]\n" + 1000 * "x")

    monkeypatch.setattr(tracking, "_connect", sqlalchemy_like)
    said = tracking.sync(out)
    assert "no such table [SQL: SELECT 1]" in said and "\n" not in said and len(said) < 300


def test_a_password_in_the_uri_is_not_shown(out: Path) -> None:
    said = tracking.sync(out, "nosuch://me:s3cret@host/db")
    assert said.startswith("results complete, MLflow sync failed:") and "s3cret" not in said and "\n" not in said


def test_the_child_process_makes_the_database_says_one_line_and_touches_no_home(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (out / "mlflow.db").unlink()
    home, start = tmp_path / "home", tmp_path / "start"
    home.mkdir()
    start.mkdir()
    for name in ("harness", "results", "mlflow"):  # a user's own files
        (start / f"{name}.py").write_text("raise SystemExit('the wrong file')")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(start)
    mirror = tracking.Mirror(out)
    assert tracking.pending(out)
    assert mirror.sync(120) == f"MLflow: 5 runs in sqlite:///{out}/mlflow.db"
    mirror.close()
    assert not tracking.pending(out)
    assert list(home.iterdir()) == [] and len(list(start.iterdir())) == 3
    assert not [f for f in out.iterdir() if f.name.startswith(".")]
    assert capfd.readouterr() == ("", "")
    assert look(out)["ntl convnet uci:uci-m"].data.metrics["n"] == 2


def test_the_child_ends_when_its_parent_is_killed(out: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from harness.tracking import Mirror;"
        "m = Mirror(Path(sys.argv[1])); print(m._child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":  # ended; nobody is left to reap it
                return
        except FileNotFoundError:
            return
        time.sleep(0.1)
    os.kill(child, 9)
    pytest.fail("the mirror outlived its parent")


def test_a_sync_that_takes_too_long_or_dies_is_one_line(out: Path) -> None:
    assert tracking.mirror_in_subprocess(out, timeout=0.05) == tracking.failed("not done within 0.05 s")
    mirror = tracking.Mirror(out)
    mirror._child.kill()
    assert mirror.sync() == tracking.failed("its process ended with code -9")
    assert tracking.pending(out)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def serve(tmp_path: Path, migrated: Path, port: int) -> Iterator[Callable[[], None]]:
    """Starts a real `mlflow server` on loopback when called; ended with the test."""
    database = tmp_path / "server.db"
    shutil.copyfile(migrated, database)
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(tmp_path / "artifacts"),
        ]  # fmt: skip
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (tmp_path / "server.log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=tmp_path, start_new_session=True)
        started.append(server)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and server.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail((tmp_path / "server.log").read_text()[-2000:])

    yield start
    for server in started:
        os.killpg(server.pid, 9)
        server.wait()


@pytest.mark.slow
def test_a_server_that_is_down_costs_nothing_and_the_next_sync_completes(
    out: Path, port: int, serve: Callable[[], None]
) -> None:
    uri = f"http://127.0.0.1:{port}"
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file() and f.name != tracking.STATE}
    command = [sys.executable, "-m", "harness.tracking", str(out), "--uri", uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    expected = "results complete, MLflow sync failed: [Errno 111] Connection refused; the next run tries again\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file() and f.name != tracking.STATE} == before
    serve()
    assert tracking.sync(out, uri) == f"MLflow: 5 runs in {uri}"
    first = snapshot(out, uri)
    assert tracking.sync(out, uri) == f"MLflow: 5 runs in {uri}"
    assert snapshot(out, uri) == first and len(first) == 5
    run = look(out, uri)["ntl convnet uci:uci-m"]
    values = [row["source_drop"] for row in pairs(out, "ntl", "uci-m")]
    assert run.data.metrics["source_drop"] == pytest.approx(statistics.fmean(values))
    (parent,) = [run for name, run in look(out, uri).items() if name.startswith("demo ")]
    assert "plan.json" in [f.path for f in client(uri).list_artifacts(parent.info.run_id)]
