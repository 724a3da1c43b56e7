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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from harness import tracking
from results import records
from results.store import Store
from tests.harness.mirrored import client, look, pairs, snapshot, told
from tests.harness.mlserver import Server


@pytest.mark.parametrize("calls", [1, 3, 10, 17])  # after the experiment, in the first run, its files, a later run
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
    assert told(out) == told(out, whole)


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


def test_a_server_that_takes_calls_and_never_answers_is_one_line(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        said = tracking.sync(out, f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert said == tracking.failed("Read timed out")
    assert len(records.files(out)) == 8 and tracking.pending(out)


def test_what_fails_elsewhere_is_not_what_the_next_run_has_to_mirror(out: Path) -> None:
    assert tracking.sync(out).startswith("MLflow: 5 runs") and not tracking.pending(out)
    said = tracking.sync(out, "nosuch://host/db", aside=True)
    assert said.startswith(tracking.FAILED) and said.endswith("; the same command tries again")
    assert not tracking.pending(out)
    tracking.sync(out, "nosuch://host/db")  # where a run would have mirrored to
    assert tracking.pending(out)
    assert tracking.sync(out, tracking.resolve(out), aside=True).startswith("MLflow: 5 runs")
    assert tracking.pending(out)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Server]:
    """A real `mlflow server`, shared by the tests below: each uses an experiment of its own."""
    one = Server(tmp_path_factory.mktemp("server"), migrated)
    yield one
    one.kill()


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-server")
def test_a_server_that_is_down_costs_nothing_and_the_next_sync_completes(out: Path, server: Server) -> None:
    uri = server.uri
    server.kill()
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file() and f.name != tracking.STATE}
    command = [sys.executable, "-m", "harness.tracking", str(out), "--uri", uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    expected = "results complete, MLflow sync failed: [Errno 111] Connection refused; the next run tries again\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file() and f.name != tracking.STATE} == before
    server.start()
    assert tracking.sync(out, uri) == f"MLflow: 5 runs in {uri}"
    first = snapshot(out, uri)
    assert tracking.sync(out, uri) == f"MLflow: 5 runs in {uri}"
    assert snapshot(out, uri) == first and len(first) == 5
    run = look(out, uri)["ntl convnet uci:uci-m"]
    values = [row["source_drop"] for row in pairs(out, "ntl", "uci-m")]
    assert run.data.metrics["source_drop"] == pytest.approx(statistics.fmean(values))
    (parent,) = [run for name, run in look(out, uri).items() if name.startswith("demo ")]
    assert "plan.json" in [f.path for f in client(uri).list_artifacts(parent.info.run_id)]


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow-server")
def test_a_server_killed_in_mid_sync_and_started_again_ends_complete(
    out: Path, migrated: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed when it has made the seventh run and nobody has heard of that yet, cells among the six before."""
    store = Store(out)
    store.write_plan({**(store.plan() or {}), "grid": "killed"})
    server.start()
    real, created = requests.Session.request, list[str]()

    def request(self: requests.Session, method: str, url: str, **more: Any) -> requests.Response:
        answer = real(self, method, url, **more)
        if url.endswith("/runs/create"):
            created.append(answer.json()["run"]["info"]["run_id"])
            if len(created) == 7:
                server.kill()
                raise requests.ConnectionError("nobody heard the answer")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "request", request)
        line = tracking.sync(out, server.uri, per_cell=True)
    assert line.startswith(tracking.FAILED) and "nobody heard the answer" in line
    assert tracking.pending(out) and server.process is None
    server.start()
    assert tracking.sync(out, server.uri, per_cell=True) == f"MLflow: 13 runs in {server.uri}"
    after = look(out, server.uri, "killed")
    assert {run.info.run_id for run in after.values()} > set(created), "a run was made anew"
    shutil.copyfile(migrated, out.parent / "whole.db")
    whole = f"sqlite:///{out.parent}/whole.db"
    tracking.sync(out, whole, per_cell=True)
    said = told(out, server.uri, "killed")
    assert said == told(out, whole, "killed")
    curve = said["ntl convnet uci:uci-m s1"][-1]["curve/loss"]
    assert [(step, value) for step, value, _ in curve] == [(0, 3.0), (1, 2.0), (2, 1.5)]
