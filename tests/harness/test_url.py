"""A run directory at a URL, end to end, against an S3 server: as in a folder, and in one line where it cannot be.

pytest tests/harness/test_url.py
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import results
from harness import UsageError, api, tracking
from harness.plan import Plan
from results import place, records
from results.store import Store
from tests.harness.conftest import QUICK, Mapbench
from tests.harness.mirrored import DOMAINS, T0, seed_of_sweep
from tests.harness.test_run import INLINE, counts


class Server:
    """moto's S3, in a process of its own; it forgets everything when it ends."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < end, "moto does not start"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.env['AWS_ENDPOINT_URL']}/moto-api/", timeout=5):
                return True
        except OSError:
            return False

    def make(self, bucket: str) -> None:
        made = urllib.request.Request(f"{self.env['AWS_ENDPOINT_URL']}/{bucket}", method="PUT")
        with urllib.request.urlopen(made, timeout=10):
            pass

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    held = Server()
    yield held
    held.end()


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own, s3://..., for this process and those it starts."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    bucket = "test-" + format(abs(hash(request.node.name)), "x")
    server.make(bucket)
    return f"s3://{bucket}"


def cut(path: Path) -> Path:
    """Leave half of an object, as no PUT does but a hand can."""
    place.put(path, place.get(path)[: len(place.get(path)) // 2])
    return path


@pytest.mark.slow
def test_the_main_job_at_a_url_is_the_main_job(mapbench: Mapbench, tmp_path: Path, s3: str) -> None:
    out, local = f"{s3}/runs/quick", tmp_path / "here" / "runs" / "quick"
    few = ("-m", "constant", "-m", "untrained")
    first = mapbench("run", QUICK, *few, "--executor", "inline", "--out", out)
    assert first.returncode == 0, first.stderr
    assert f"MLflow is not mirrored: {out} is a URL; set MLFLOW_TRACKING_URI" in first.stdout
    assert f"next     mapbench leaderboard {out}" in first.stdout
    again = mapbench("run", QUICK, *few, *INLINE, "--out", out)
    assert (again.returncode, again.stdout) == (0, "nothing to do: 3 cells done\n")
    assert mapbench("run", QUICK, *few, *INLINE).returncode == 0
    assert counts(place.place(out)) == counts(local) != {}

    assert mapbench("status", out).stdout == f"{out}: 3 ok\n"
    assert "to do: 0 cells" in mapbench("plan", QUICK, *few, "--out", out).stdout
    assert mapbench("retry", out).stdout == f"nothing to do: no failed cells in {out}\n"
    board = mapbench("leaderboard", out, "--json")
    assert {row["variant"] for row in json.loads(board.stdout)["rows"]} == {"constant", "untrained"}
    frame = results.load(out)
    assert list(frame["variant"]) == list(results.load(local)["variant"])

    # every name that a record gives is there, its log too, and nothing else: no temporary object, no heartbeat
    rows = Store(out).records()
    named = {row[what] for row in rows for what in ("checkpoint", "predictions", "log")}
    there = set(place.names(place.place(out)))
    assert len(named) == 9 and named < there
    assert {name for name in there - named if not name.startswith(("records/", "tables/"))} == {
        "plan.json", "leaderboard.html"
    }  # fmt: skip
    assert b"ok" in place.get(place.place(out) / rows[0]["log"])
    assert not (tmp_path / "here" / "s3:").exists()

    cut(place.place(out) / "tables" / "pairs.parquet")  # damaged by hand: mended on reading
    assert list(results.load(out)["variant"]) == list(frame["variant"])
    (constant,) = (row for row in rows if row["cell"]["variant"] == "constant")
    lost = cut(place.place(out) / "records" / constant["key"][:2] / records.name(constant))
    status = mapbench("status", out).stdout
    assert status.startswith(f"{out}: 2 ok, 1 missing\n") and "damaged record s3://" in status
    assert "to do: 1 cells" in mapbench("plan", QUICK, *few, "--out", out).stdout
    cut(place.place(out) / "tables" / "pairs.parquet")
    assert set(results.load(out)["variant"]) == {"untrained"}  # built anew from the records that are whole
    store = Store(out)
    assert len(store.records()) == 2 and [damaged.path for damaged in store.damaged()] == [lost]


BROKEN = '''
"""A method that breaks in its second step."""
from methods.base import Method, Needs


class Broken(Method):
    name = "broken"
    needs = Needs(target="none")

    def step(self, batch):
        print("said before it broke")
        raise RuntimeError("no luck")
'''


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_ray_workers_write_to_a_url_and_a_failed_cell_leaves_its_log_there(
    mapbench: Mapbench, tmp_path: Path, s3: str
) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    out, mine = f"{s3}/run", ("--methods", str(tmp_path / "mine.py"), "-m", "broken")
    done = mapbench("run", QUICK, "--executor", "ray", "--no-mlflow", "--out", out, *mine)
    assert done.returncode == 3, done.stderr
    rows = {row["status"]: row for row in Store(out).records()}
    assert set(rows) == {"ok", "failed"}
    there = place.names(place.place(out))
    assert {rows["ok"][what] for what in ("checkpoint", "predictions", "log")} < set(there)
    log = place.get(place.place(out) / rows["failed"]["log"]).decode()
    assert "said before it broke" in log and "RuntimeError: no luck" in log and "Traceback" in log
    said = mapbench("status", out).stdout
    assert "RuntimeError: no luck" in said and f"next: mapbench retry {out}" in said


@pytest.mark.slow
def test_what_cannot_be_is_one_line(mapbench: Mapbench, s3: str) -> None:
    def refused(*arguments: str, **env: str) -> str:
        done = mapbench(*arguments, **env)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
        return done.stderr

    none = f"{s3}-none/run"
    assert f"cannot write to {none}: The specified bucket does not exist" in refused("run", QUICK, "--out", none)
    assert "bucket does not exist" in refused("plan", QUICK, "--out", none)
    assert "is not a run directory" in refused("status", f"{s3}/run")
    assert "unknown protocol 'nosuch'" in refused("run", QUICK, "--out", "nosuch://x/y")
    keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert "set AWS_ACCESS_KEY_ID" in refused("run", QUICK, "--out", f"{s3}/run", **keys)
    assert "use --executor inline" in refused("run", QUICK, "--out", "memory://x/y", "--executor", "ray")


@pytest.mark.slow
def test_a_server_that_goes_away_in_mid_run_is_one_line(mapbench: Mapbench, data: Path, tmp_path: Path) -> None:
    own = Server()
    try:
        own.make("bucket")
        mapbench("plan", QUICK)  # the data is there
        env = {**os.environ, **own.env, "MAPBENCH_DATA": str(data), "HOME": str(tmp_path), "AWS_MAX_ATTEMPTS": "2"}
        command = [Path(sys.executable).with_name("mapbench"), "run", QUICK, *INLINE, "--out", "s3://bucket/run"]
        run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert run.stdout is not None
            assert "ok" in run.stdout.readline()  # the first cell is done
            own.end()
            said, complaints = run.communicate(timeout=200)
        finally:
            run.kill()
    finally:
        own.end()
    assert run.returncode == 2 and complaints.count("\n") == 1, complaints
    assert complaints.startswith("mapbench: cannot ") and "Could not connect to the endpoint" in complaints
    assert "Traceback" not in said


@pytest.fixture
def mirrored(tmp_path: Path, migrated: Path) -> SimpleNamespace:
    """A run directory in memory, of one seed, and an empty MLflow database."""
    out = place.place(f"memory://{tmp_path.name}/{time.monotonic_ns()}/demo")
    store = Store(out)
    for one in seed_of_sweep(0):
        store.commit(one)
    suite = {"eligible": ["uci:uci-m", "uci:print"], "twins": [], "classes": 10, "domains": DOMAINS, "version": 1}
    planned = [{"key": r["key"], **r["cell"]} for r in store.records()]
    store.write_plan({"schema": 1, "grid": "demo", "written": T0, "suites": {"digits-mini": suite}, "cells": planned})
    store.write_tables(force=True)
    shutil.copyfile(migrated, tmp_path / "mlflow.db")
    return SimpleNamespace(out=out, uri=f"sqlite:///{tmp_path}/mlflow.db")


def test_a_url_is_mirrored_where_mlflow_has_a_place_of_its_own(
    mirrored: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "set MLFLOW_TRACKING_URI" in (tracking.unmirrored(mirrored.out) or "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mirrored.uri)
    assert tracking.unmirrored(mirrored.out) is None
    assert tracking.sync(mirrored.out) == f"MLflow: 5 runs in {mirrored.uri}"
    assert not tracking.pending(mirrored.out)
    client = MlflowClient(mirrored.uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == "mapbench/demo")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`mapbench.artefacts` != ''")
    assert len(client.list_artifacts(parent.info.run_id, "tables")) == 5


def test_memory_is_for_this_process_alone() -> None:
    store = Store("memory://bucket/run")
    with pytest.raises(UsageError, match="seen by this process alone: use --executor inline"):
        api.complete(Plan((), {}), store, [], api.Options(executor="ray"))
