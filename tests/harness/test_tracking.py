"""The MLflow mirror, against a real MLflow: what its own client reads back equals the tables, however often one syncs.

python -m pytest tests/harness/test_tracking.py
"""

from __future__ import annotations

import hashlib
import json
import math
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
from results import records, tables
from results.store import Store

DOMAINS = ["uci", "uci-m", "print", "street"]
T0 = 1_700_000_000.0


def record(variant: str, seed: int, targets: list[str], right: dict[str, int], **change: Any) -> dict[str, Any]:
    """A committed attempt, made up; `right` is the number of correct answers of 100 per domain. variant "" is f_s."""
    kind = "protect" if variant else "train"
    spec = {"kind": kind, "variant": variant, "seed": seed, "targets": targets, "method_version": 1, "split_seed": 0}
    key = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    parent = record("", seed, [], BEFORE)["key"] if variant else None
    finished = T0 + 100 * seed + (50 if variant else 10) + change.pop("later", 0)
    status = change.get("status", "ok")
    accuracy = [
        {"domain": domain, "part": "test", "correct": n, "total": 100, "balanced": n / 100, "matched": n / 100,
         "decoded": n / 200, "confusion": [[n, 100 - n], [0, 0]]}
        for domain, n in right.items()
    ]  # fmt: skip
    cell = {
        "kind": kind, "parent": parent, "inputs": [], "suite": "digits-mini", "suite_version": 1, "backbone": "convnet",
        "method": variant.partition("[")[0] or None, "variant": variant, "method_version": 1 if variant else None,
        "fidelity": "as-described" if variant else None, "control": False, "tuned": False,
        "start": "source" if variant else None, "params": {"cap": "batch", "weight": 0.5} if variant else {},
        "scenario": "labelled source, labelled target" if variant else None, "source": "uci", "targets": targets,
        "seed": seed, "classes": 10, "domains": DOMAINS, "score": "test",
    }  # fmt: skip
    return {
        "schema": 1, "key": key, "attempt": 1, "uuid": key[:8], "status": status, "spec": {**spec, "parent": parent},
        "cell": cell, "parent_checkpoint": None, "flags": [], "error": None, "started": finished - 7.5 - seed,
        "finished": finished, "seconds": 7.5 + seed, "peak_memory_mb": None,
        "environment": {"device": "cpu", "torch": "2.15.0", "git_commit": "c0ffee", "git_dirty": False, "host": "h",
                        "packages": {}, "method_sha256": None},
        "accuracy": accuracy if status == "ok" else [], "curves": {"loss": [3.0, 2.0, 1.5]}, "checkpoint": None,
        "checkpoint_sha256": None, "predictions": None, "log": f"logs/{key}.1.log", **change,
    }  # fmt: skip


BEFORE = {"uci": 96, "uci-m": 60, "print": 70, "street": 40}


def seed_of_sweep(seed: int) -> list[dict[str, Any]]:
    """One seed of a small sweep: f_s, two methods on one pair, a target-free one."""
    before = {domain: n - seed for domain, n in BEFORE.items()}
    return [
        record("", seed, [], before),
        record("ntl", seed, ["uci-m"], {"uci": 90, "uci-m": 20 + seed, "print": 60, "street": 30}),
        record("sa-map[cap=sample]", seed, ["uci-m"], {"uci": 95, "uci-m": 12, "print": 65, "street": 35}),
        record("df-map", seed, [], {"uci": 93, "uci-m": 30, "print": 40, "street": 25}),
    ]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database: its migrations take seconds, so tests copy it."""
    out = tmp_path_factory.mktemp("migrated")
    tracking._connect(out, tracking.resolve(out, f"sqlite:///{out}/mlflow.db")).search_experiments()
    return out / "mlflow.db"


@pytest.fixture
def out(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run directory of two seeds, tables written, and an empty MLflow database."""
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


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def look(out: Path, uri: str | None = None) -> dict[str, Any]:
    """Name -> run, as MLflow's own client finds them."""
    mlflow = client(uri or tracking.resolve(out))
    runs = mlflow.search_runs([mlflow.get_experiment_by_name("mapbench/demo").experiment_id], max_results=1000)
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def snapshot(out: Path, uri: str | None = None) -> dict[str, Any]:
    """All that MLflow holds of the sweep, histories included."""
    mlflow = client(uri or tracking.resolve(out))

    def histories(run: Any) -> list[Any]:
        return [mlflow.get_metric_history(run.info.run_id, key) for key in sorted(run.data.metrics)]

    return {name: (run.to_dictionary(), histories(run)) for name, run in look(out, uri).items()}


def pairs(out: Path, variant: str, target: str) -> list[dict[str, Any]]:
    rows = tables.read(out, "pairs").to_pylist()
    return [row for row in rows if (row["variant"], row["target"]) == (variant, target)]


def test_the_client_finds_the_runs_and_their_metrics_equal_the_pairs_table(out: Path) -> None:
    assert tracking.sync(out) == f"MLflow: 5 runs in sqlite:///{out}/mlflow.db"
    runs = look(out)
    parent = next(run for name, run in runs.items() if name.startswith("demo "))
    run = runs["ntl convnet uci:uci-m"]
    rows = pairs(out, "ntl", "uci-m")
    assert len(rows) == 2
    for name in tracking.METRICS:
        values = [row[name] for row in rows]
        assert run.data.metrics[name] == pytest.approx(statistics.fmean(values), abs=1e-12), name
        assert run.data.metrics[f"{name}_sd"] == pytest.approx(statistics.stdev(values), abs=1e-12), name
    drops = [statistics.fmean(row[name] for row in rows) for name in ("source_drop", "target_drop")]
    assert run.data.metrics["st_d"] == pytest.approx(drops[0] / drops[1])
    assert (run.data.metrics["n"], run.data.metrics["seconds"]) == (2, 8.0)
    assert run.data.params["method"] == "ntl" and run.data.params["pair"] == "uci:uci-m"
    assert run.data.params["method.cap"] == "batch" and run.data.params["scenario"].startswith("labelled source")
    assert set(run.data.tags["mapbench.keys"].split(",")) == {row["key"] for row in rows}
    assert run.data.tags["mapbench.seeds"] == "0,1" and run.data.tags["mapbench.git_commit"] == "c0ffee"
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert "mlflow.parentRunId" not in parent.data.tags and parent.data.metrics == {"cells_ok": 8}
    unprotected = [row["source_before"] for row in rows]
    assert runs["f_s convnet uci"].data.metrics["source_before"] == pytest.approx(statistics.fmean(unprotected))


def test_times_are_those_of_the_records(out: Path) -> None:
    tracking.sync(out)
    run = look(out)["ntl convnet uci:uci-m"]
    assert (run.info.status, run.info.start_time, run.info.end_time) == (
        "FINISHED", int((T0 + 50 - 7.5) * 1000), int((T0 + 150) * 1000),
    )  # fmt: skip
    (metric,) = client(tracking.resolve(out)).get_metric_history(run.info.run_id, "source_drop")
    assert metric.timestamp == int((T0 + 150) * 1000)


def test_a_target_free_cell_averages_its_targets_first(out: Path) -> None:
    tracking.sync(out)
    metrics = look(out)["df-map convnet uci"].data.metrics
    assert metrics["target_after"] == pytest.approx(statistics.fmean([0.30, 0.40, 0.25]))
    eligible = pairs(out, "df-map", "uci-m") + pairs(out, "df-map", "print")  # street is not
    removed = [row["target_removed"] for row in eligible]
    assert metrics["target_removed"] == pytest.approx(statistics.fmean(removed))


def test_target_removed_is_clipped_after_the_mean_and_st_d_absent_below_zero(out: Path) -> None:
    better = {"uci": 96, "uci-m": 80, "print": 70, "street": 40}
    for seed in (0, 1):
        records.write(out, record("continue", seed, ["uci-m"], better))
    tracking.sync(out)
    metrics = look(out)["continue convnet uci:uci-m"].data.metrics
    assert metrics["target_removed"] == 0 and metrics["target_drop"] < 0 and "st_d" not in metrics


def test_a_second_sync_changes_nothing(out: Path) -> None:
    tracking.sync(out)
    before = snapshot(out)
    assert tracking.sync(out).startswith("MLflow: 5 runs")
    assert snapshot(out) == before


def test_an_added_seed_updates_the_run_and_keeps_its_history(out: Path) -> None:
    tracking.sync(out)
    before = look(out)
    for one in seed_of_sweep(2):
        records.write(out, one)
    tracking.sync(out)
    after, mlflow = look(out), client(tracking.resolve(out))
    assert {name: run.info.run_id for name, run in before.items()} == {n: run.info.run_id for n, run in after.items()}
    run = after["ntl convnet uci:uci-m"]
    rows = pairs(out, "ntl", "uci-m")
    assert run.data.metrics["n"] == 3 and run.data.tags["mapbench.seeds"] == "0,1,2"
    assert run.data.metrics["source_drop"] == pytest.approx(statistics.fmean(row["source_drop"] for row in rows))
    history = mlflow.get_metric_history(run.info.run_id, "source_drop")
    assert sorted((m.step, m.timestamp) for m in history) == [(0, int((T0 + 150) * 1000)), (1, int((T0 + 250) * 1000))]
    assert run.info.end_time == int((T0 + 250) * 1000)


def test_a_seed_that_finished_earlier_elsewhere_still_updates(out: Path) -> None:
    """Merged from another machine, its record is older than those mirrored: the time does not say what is latest."""
    tracking.sync(out)
    late = seed_of_sweep(2)
    for one in late:
        one["finished"] -= 220
        one["started"] -= 220
    for one in late:
        records.write(out, one)
    tracking.sync(out)
    run = look(out)["ntl convnet uci:uci-m"]
    values = [row["source_drop"] for row in pairs(out, "ntl", "uci-m")]
    assert len(values) == 3 and run.data.metrics["source_drop"] == pytest.approx(statistics.fmean(values))


def test_a_failed_cell_appears_and_a_retry_mends_it(out: Path) -> None:
    bad = record("cuti", 0, ["uci-m"], {}, status="failed", error="ValueError: no taps")
    records.write(out, bad)
    tracking.sync(out)
    runs = look(out)
    run = runs["cuti convnet uci:uci-m"]
    assert run.info.status == "FAILED" and run.data.metrics == {"n": 0}
    assert run.data.tags["mapbench.error"] == "seed 0: failed: ValueError: no taps"
    parent = next(run for name, run in runs.items() if name.startswith("demo "))
    assert parent.data.metrics == {"cells_ok": 8, "cells_failed": 1}
    good = record("cuti", 0, ["uci-m"], BEFORE | {"uci-m": 15}, attempt=2, uuid="0123abcd", later=99)
    records.write(out, good)
    tracking.sync(out)
    mended = look(out)["cuti convnet uci:uci-m"]
    assert mended.info.run_id == run.info.run_id and mended.info.status == "FINISHED"
    assert "mapbench.error" not in mended.data.tags and mended.data.metrics["target_after"] == pytest.approx(0.15)


def test_a_changed_param_becomes_a_tag_and_an_undefined_metric_nan(out: Path) -> None:
    tracking.sync(out)
    assert "st_d" in look(out)["ntl convnet uci:uci-m"].data.metrics
    new = record("ntl", 2, ["uci-m"], BEFORE | {"uci-m": 160})  # so good on the target that the mean drop is negative
    new["cell"]["params"]["weight"] = 0.7  # a default that changed: the variant's name is the same
    new["accuracy"][1]["total"] = 100
    records.write(out, record("", 2, [], BEFORE | {"uci-m": 1}))
    records.write(out, new)
    assert tracking.sync(out).startswith("MLflow: 5 runs")
    run = look(out)["ntl convnet uci:uci-m"]
    assert math.isnan(run.data.metrics["st_d"]) and run.data.metrics["n"] == 3
    assert run.data.params["method.weight"] == "0.5"
    assert run.data.tags["mapbench.param.method.weight"] == "0.7"


def test_per_cell_mirrors_each_cell_with_its_curve(out: Path) -> None:
    assert tracking.sync(out, per_cell=True).startswith("MLflow: 13 runs")
    runs, mlflow = look(out), client(tracking.resolve(out))
    cell = runs["ntl convnet uci:uci-m s1"]
    assert cell.data.tags["mlflow.parentRunId"] == runs["ntl convnet uci:uci-m"].info.run_id
    (row,) = [row for row in pairs(out, "ntl", "uci-m") if row["seed"] == 1]
    assert cell.data.metrics["source_drop"] == pytest.approx(row["source_drop"])
    curve = mlflow.get_metric_history(cell.info.run_id, "curve/loss")
    assert [(m.step, m.value) for m in curve] == [(0, 3.0), (1, 2.0), (2, 1.5)]


def test_the_parent_holds_the_plan_the_board_and_the_tables(out: Path) -> None:
    (out / "leaderboard.html").write_text("<p>one</p>")
    tracking.sync(out)
    mlflow = client(tracking.resolve(out))
    (run,) = [run for name, run in look(out).items() if name.startswith("demo ")]
    assert [f.path for f in mlflow.list_artifacts(run.info.run_id)] == ["leaderboard.html", "plan.json", "tables"]
    assert "tables/pairs.parquet" in [f.path for f in mlflow.list_artifacts(run.info.run_id, "tables")]
    assert run.info.artifact_uri.startswith((out / "mlartifacts").as_uri())
    (out / "leaderboard.html").write_text("<p>two</p>")
    tracking.sync(out)
    stored = Path(run.info.artifact_uri.removeprefix("file://"), "leaderboard.html")
    assert stored.read_text() == "<p>two</p>"


def test_a_moved_directory_keeps_its_runs_and_writes_nothing_where_it_was(out: Path) -> None:
    tracking.sync(out)
    before = {name: run.info.run_id for name, run in look(out).items()}
    moved = out.rename(out.with_name("elsewhere"))
    (moved / "leaderboard.html").write_text("<p>new</p>")
    assert tracking.sync(moved).startswith("MLflow: 5 runs")
    assert {name: run.info.run_id for name, run in look(moved).items()} == before
    assert not out.exists()


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
