"""What the mirror writes to MLflow: cells and their curves, pictures, and no more calls than a run needs.

python -m pytest tests/harness/test_mlruns.py
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from harness import tracking
from harness.aggregates import aggregate
from results import records
from tests.harness.mirrored import BEFORE, client, look, record, seed_of_sweep, snapshot


def synthesised(seed: int, **change: Any) -> dict[str, Any]:
    """The record of a generator of f_s."""
    above = record("", seed, [], BEFORE)
    spec = above["spec"] | {"kind": "synth", "method": "source-generator", "parent": above["key"]}
    key = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    cell = above["cell"] | {
        "kind": "synth", "parent": above["key"], "method": "source-generator", "variant": "source-generator",
    }  # fmt: skip
    made = {"quality": {"judge": 0.8 + 0.1 * seed, "moved": None}, "picture": f"pictures/{key}.1.{key[:8]}.png"}
    return above | {"key": key, "uuid": key[:8], "spec": spec, "cell": cell, "accuracy": [], **made, **change}


def test_means_have_their_t_intervals_over_seeds() -> None:
    runs = {run.name: run for run in aggregate([one for seed in range(3) for one in seed_of_sweep(seed)], {}, "sweep")}
    metrics = runs["ntl convnet uci:uci-m"].metrics
    values = [(before - 90) / before for before in (96, 95, 94)]
    low, high = stats.t.interval(0.95, 2, loc=metrics["source_drop"], scale=stats.sem(values))
    assert (metrics["source_drop_low"], metrics["source_drop_high"]) == pytest.approx((low, high))
    removed = [metrics[f"target_removed{end}"] for end in ("_low", "", "_high")]
    assert 0 <= removed[0] < removed[1] < removed[2] <= 1
    for run in aggregate(seed_of_sweep(0), {}, "sweep"):
        assert not [name for name in run.metrics if name.endswith(("_sd", "_low", "_high"))]


def test_cells_are_mirrored_once_however_often_one_syncs_and_stay_up_to_date(out: Path) -> None:
    odd = "ValueError: \x00\x1b[2J\nsecond line \udcff"  # of which a database would take half
    records.write(out, record("cuti", 0, ["uci-m"], {}, status="failed", error=odd))
    assert tracking.sync(out, per_cell=True) == f"MLflow: 15 runs in {tracking.resolve(out)}"
    before = snapshot(out)
    assert tracking.sync(out, per_cell=True).startswith("MLflow: 15 runs")
    assert snapshot(out) == before
    cell = look(out)["cuti convnet uci:uci-m s0"]
    assert cell.info.status == "FAILED"
    said = "seed 0: failed: ValueError: \\x00\\x1b[2J second line \\udcff"
    assert cell.data.tags["mapbench.error"] == said
    records.write(out, record("cuti", 0, ["uci-m"], BEFORE | {"uci-m": 15}, attempt=2, uuid="0123abcd", later=99))
    records.write(out, record("cuti", 1, ["uci-m"], BEFORE | {"uci-m": 25}))
    assert tracking.sync(out).startswith("MLflow: 16 runs")  # as after a run, which asks for no cells
    runs = look(out)
    assert runs["cuti convnet uci:uci-m s0"].info.status == "FINISHED"
    assert runs["cuti convnet uci:uci-m s0"].data.metrics["target_after"] == pytest.approx(0.15)
    assert runs["cuti convnet uci:uci-m s1"].data.metrics["target_after"] == pytest.approx(0.25)


def test_a_long_curve_arrives_whole_its_gaps_as_nan_and_any_name_is_taken(out: Path) -> None:
    long = [None if epoch % 7 == 3 else 1 / (1 + epoch) for epoch in range(2000)]
    named = {"loss": long, "val_accuracy/uci": [0.5], "kl(t|s) @ 1": [2.0], "../a//b": [3.0], "": [4.0]}
    named["x" * 999] = [5.0]
    records.write(out, record("cuti", 0, ["uci-m"], BEFORE | {"uci-m": 15}, curves=named))
    assert tracking.sync(out, per_cell=True).startswith("MLflow: 15 runs")
    run, mlflow = look(out)["cuti convnet uci:uci-m s0"], client(tracking.resolve(out))
    points = {m.step: m.value for m in mlflow.get_metric_history(run.info.run_id, "curve/loss")}
    assert len(points) == 2000
    assert all(math.isnan(points[i]) if value is None else points[i] == value for i, value in enumerate(long))
    lines = {name: value for name, value in run.data.metrics.items() if name.startswith("curve/")}
    assert lines.pop("curve/loss") == long[-1]
    assert lines == {
        "curve/val_accuracy/uci": 0.5, "curve/kl_28_t_7c_s_29_ _40_ 1": 2.0, "curve/a/b": 3.0, "curve/_": 4.0,
        f"curve/{'x' * 244}": 5.0,
    }  # fmt: skip


def test_a_synthesiser_has_its_quality_and_its_pictures_and_is_read_once(out: Path) -> None:
    made = [synthesised(0), synthesised(1)]
    gone = record("cuti", 0, ["uci-m"], BEFORE | {"uci-m": 15}, picture="pictures/gone.png")
    for one in (*made, gone):
        records.write(out, one)
    (out / "pictures").mkdir()
    for one in made:
        (out / one["picture"]).write_bytes(b"PNG of " + one["key"].encode())
    assert tracking.sync(out, per_cell=True).startswith("MLflow: 18 runs")
    mlflow, runs = client(tracking.resolve(out)), look(out)
    run, cell = runs["source-generator convnet uci"], runs["source-generator convnet uci s1"]
    assert run.data.metrics["quality_judge"] == pytest.approx(0.85) and "quality_moved" not in run.data.metrics
    names = [f"pictures/s{seed}-{one['key'][:12]}.png" for seed, one in enumerate(made)]
    assert [file.path for file in mlflow.list_artifacts(run.info.run_id, "pictures")] == sorted(names)
    assert [file.path for file in mlflow.list_artifacts(cell.info.run_id, "pictures")] == names[1:]
    stored = Path(cell.info.artifact_uri.removeprefix("file://"), names[1])
    assert stored.read_bytes() == b"PNG of " + made[1]["key"].encode()
    assert not mlflow.list_artifacts(runs["cuti convnet uci:uci-m"].info.run_id)  # not there, and nothing fails

    for one in made:
        (out / one["picture"]).unlink()  # what is there once is not looked at again
    assert tracking.sync(out).startswith("MLflow: 18 runs")
    after = look(out)
    assert [after[name].to_dictionary() for name in runs] == [run.to_dictionary() for run in runs.values()]


def test_a_run_costs_four_calls_however_many_numbers_it_has(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    calls: dict[str, int] = {}

    def counted(name: str) -> Any:
        real = getattr(MlflowClient, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return real(self, *args, **kwargs)

        return call

    for name in vars(MlflowClient):
        if name.startswith(("create_", "get_", "log_", "search_", "set_", "update_", "delete_", "list_")):
            monkeypatch.setattr(MlflowClient, name, counted(name))
    files = 6  # plan.json and five tables
    assert tracking.sync(out, per_cell=True).startswith("MLflow: 13 runs")
    asked = {"get_experiment_by_name": 1, "create_experiment": 1, "search_runs": 1, "log_artifact": files, "set_tag": 1}
    assert calls == asked | {"create_run": 13, "log_batch": 2 * 13, "set_terminated": 13}
    calls.clear()
    assert tracking.sync(out, per_cell=True).startswith("MLflow: 13 runs")
    assert calls == {"get_experiment_by_name": 1, "search_runs": 1}
