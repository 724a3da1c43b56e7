"""The MLflow mirror, against a real MLflow: what its own client reads back equals the tables, however often one syncs.

python -m pytest tests/harness/test_tracking.py
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from harness import tracking
from harness.cli import main
from results import records
from results.place import place
from tests.harness.mirrored import BEFORE, T0, client, look, pairs, record, seed_of_sweep, snapshot


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


def test_the_verb_mirrors_a_run_directory_and_loads_no_mlflow_itself(out: Path) -> None:
    code = (
        "import sys\nfrom harness.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "finally:\n    print(*({'torch', 'ray', 'mlflow', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "mlflow", str(out), "--per-cell"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"MLflow: 13 runs in sqlite:///{out}/mlflow.db\n", "\n")
    assert not tracking.pending(out)
    assert look(out)["ntl convnet uci:uci-m s1"].data.metrics["n"] == 1


def test_the_verb_ends_with_3_where_mlflow_did_not_take_it(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "mirror_in_subprocess", lambda *_: tracking.failed("no route to host", aside=True))
    with pytest.raises(SystemExit) as ended:
        main(["mlflow", str(out), "--uri", "http://127.0.0.1:9"])
    assert ended.value.code == 3
    said = "results complete, MLflow sync failed: no route to host; the same command tries again\n"
    assert capsys.readouterr().out == said


def test_the_verbs_mistakes_are_one_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place("memory://mirror-verb/run/plan.json").write_text("{}")
    before = sorted(out.parent.rglob("*"))
    for arguments, message in (
        (["nowhere"], "nowhere is not a run directory: it has neither records nor plan.json"),
        (["no\x1b[2Jwhere"], r"no\x1b[2Jwhere is not a run directory"),
        ([str(out), "--uri", "x.db"], "--uri x.db is no tracking URI: write http://HOST:PORT, or sqlite:///FILE for"),
        (["memory://mirror-verb/run"], "set MLFLOW_TRACKING_URI to a server or database to mirror it, or give --uri"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["mlflow", *arguments])
        said = capsys.readouterr()
        assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert message in said.err
    assert sorted(out.parent.rglob("*")) == before
