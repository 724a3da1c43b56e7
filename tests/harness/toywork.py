"""A stand-in for harness.worker: each payload says how its cell is to end. `kind` is the name of a function below."""

from __future__ import annotations

import faulthandler
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.scheduler import Task
from results import records


def work(context: dict[str, Any], payload: dict[str, Any], attempt: int) -> Iterator[dict[str, Any]]:
    """As harness.worker.run_cell: progress, then a committed record."""
    yield {"type": "progress", "done": 0.25, "note": "begun"}
    kind = payload["kind"]
    if kind == "raise":
        raise ValueError("the method is wrong")
    if kind == "exit":
        raise SystemExit(7)
    if kind == "die":
        os._exit(3)
    if kind == "segfault":
        faulthandler._sigsegv()  # type: ignore[attr-defined]
    if kind == "hang":
        time.sleep(3600)
    if kind == "string":
        yield "not a message"  # type: ignore[misc]
    if kind == "nothing":
        return
    if kind == "allocate":
        hoard = []
        while True:
            hoard.append(bytearray(64 * 2**20))
    if kind == "oom once" and attempt == 1:
        raise MemoryError
    if kind == "full":
        raise OSError(28, "No space left on device")
    for step in range(payload.get("steps", 1)):
        time.sleep(payload.get("pause", 0.0))
        yield {"type": "progress", "done": (step + 1) / payload.get("steps", 1), "note": f"step {step}"}
    record = {
        "schema": 1, "key": payload["key"], "attempt": attempt, "uuid": uuid.uuid4().hex[:8], "status": "ok",
        "spec": payload["spec"], "cell": payload["cell"], "parent_checkpoint": None, "flags": [], "error": None,
        "started": time.time(), "finished": time.time(), "seconds": 0.0, "peak_memory_mb": None,
        "environment": {"device": "cpu", "torch": None, "git_commit": None, "git_dirty": None, "host": "toy",
                        "packages": {}, "method_sha256": None},
        "accuracy": [], "curves": {"pid": [os.getpid()]}, "checkpoint": None, "checkpoint_sha256": None,
        "predictions": None, "log": f"logs/{payload['key']}.{attempt}.log",
    }  # fmt: skip
    records.write(Path(context["out"]), record)
    yield {"type": "record", "record": record}


def key(name: str) -> str:
    """A key that can be read: the name in hex, padded."""
    return name.encode().hex().ljust(64, "0")


def task(name: str, kind: str = "ok", parent: str | None = None, **more: Any) -> Task:
    """A cell called `name` that ends as `kind` says."""
    fields = {field: more.pop(field) for field in ("cost", "timeout", "inputs") if field in more}
    cell: dict[str, Any] = {
        "kind": "protect" if parent else "train", "parent": key(parent) if parent else None, "inputs": [],
        "suite": "toy", "suite_version": 1, "backbone": "none", "method": kind if parent else None,
        "variant": kind if parent else "", "method_version": 1, "fidelity": "control", "control": True, "tuned": False,
        "start": "source", "params": {}, "scenario": "", "source": "a", "targets": [], "seed": 0, "classes": 2,
        "domains": ["a", "b"], "score": "test",
    }  # fmt: skip
    payload = {"key": key(name), "kind": kind, "spec": {"name": name}, "cell": cell, **more}
    return Task(key(name), cell["parent"], label=name, payload=payload, **fields)


def main(out: str, executor: str, count: int) -> None:
    """A run that takes a while, for tests that interrupt it: python toywork.py OUT inline|ray COUNT."""
    from harness.driver import drive
    from harness.executors import make
    from harness.panel import Panel
    from results.store import Store

    tasks = [task(f"cell {i}", steps=20, pause=0.05) for i in range(count)]
    summary = drive(tasks, make(executor), Store(out), {"entry": "toywork:work", "out": out}, None, Panel(count))
    print("interrupted" if summary.interrupted else "finished", summary.counts.get("ok", 0), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
