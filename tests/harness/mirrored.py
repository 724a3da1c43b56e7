"""A made-up sweep for the MLflow mirror, and what MLflow's own client says of it.

python -m pytest tests/harness/test_tracking.py tests/harness/test_tracking_faults.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness import tracking
from results import tables

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


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def look(out: Path, uri: str | None = None, grid: str = "demo") -> dict[str, Any]:
    """Name -> run, as MLflow's own client finds them."""
    mlflow = client(uri or tracking.resolve(out))
    runs = mlflow.search_runs([mlflow.get_experiment_by_name(f"mapbench/{grid}").experiment_id], max_results=1000)
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def snapshot(out: Path, uri: str | None = None) -> dict[str, Any]:
    """All that MLflow holds of the sweep, histories included."""
    mlflow = client(uri or tracking.resolve(out))

    def histories(run: Any) -> list[Any]:
        return [mlflow.get_metric_history(run.info.run_id, key) for key in sorted(run.data.metrics)]

    return {name: (run.to_dictionary(), histories(run)) for name, run in look(out, uri).items()}


def told(out: Path, uri: str | None = None, grid: str = "demo") -> dict[str, Any]:
    """What MLflow says of the sweep, in words that are the same wherever it is mirrored to."""
    mlflow, runs = client(uri or tracking.resolve(out)), look(out, uri, grid)
    said = {}
    for name, run in runs.items():
        tags = {tag: value for tag, value in run.data.tags.items() if tag.startswith("mapbench.")}
        lines = {key: _points(mlflow, run, key) for key in run.data.metrics if key == "n" or key.startswith("curve/")}
        times = run.info.start_time, run.info.end_time
        said[name] = (run.info.status, *times, run.data.params, tags, run.data.metrics, lines)
    (parent,) = [run.info.run_id for name, run in runs.items() if name.startswith(f"{grid} ")]
    files = sorted(file.path for folder in (None, "tables") for file in mlflow.list_artifacts(parent, folder))
    return {"files": files, **said}


def _points(mlflow: Any, run: Any, key: str) -> list[tuple[int, float, int]]:
    return sorted((m.step, m.value, m.timestamp) for m in mlflow.get_metric_history(run.info.run_id, key))


def pairs(out: Path, variant: str, target: str) -> list[dict[str, Any]]:
    rows = tables.read(out, "pairs").to_pylist()
    return [row for row in rows if (row["variant"], row["target"]) == (variant, target)]
