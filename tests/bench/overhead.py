"""What mapbench costs beside the training: seconds a cell against Ray Tune's, plan and resume, the driver's memory.

    PYTHONPATH=. .venv/bin/python tests/bench/overhead.py                 # all three, some ten minutes on two cores
    PYTHONPATH=. .venv/bin/python tests/bench/overhead.py plan memory     # pool | plan | memory

pool    empty cells through the Ray pool and as trials of Ray Tune, which reuses its actors and logs nothing; each in a
        Ray of its own, from the first finished cell to the last. Ours commits a record per cell, Tune keeps nothing.
        The claim is for a run directory in memory; one whose disk is asked for fsyncs is shown beside it.
plan    a run directory in which all of 10,000 planned cells have their records: `mapbench plan` and `mapbench run`.
memory  of a driver that drives 1,000 and 10,000 planned cells, and one that takes up a directory of as many records.

The claims are ratios, and kilobytes a cell, and asserted. The seconds and megabytes are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CELLS = 600  # at least so many of digits-mini's cells for each seed
FASTER = 20  # times less time for a cell than Tune takes
RESUME = 5.0  # seconds for 10,000 cells: the one absolute figure that is promised
# kB of the driver's memory for each further cell. The bound was 1.3 times the memory for ten times the cells, which was
# 1.88 kB while a driver of 1,000 cells had 55 MB; it has 40, since planning needs no numpy, and gets no more for that
FLAT = 1.8
SELF = "tests.bench.overhead"
RAM = "/dev/shm"  # where fsync, which Tune does not ask for, costs nothing


def child(part: str, *arguments: Any) -> Any:
    """What a function of this file returns in a process of its own."""
    code = f"import json, {SELF} as bench; print(json.dumps(bench.{part}(*{arguments!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# -- cells that do nothing


def empty(context: dict[str, Any], payload: dict[str, Any], attempt: int) -> Iterator[dict[str, Any]]:
    """Work that does nothing but leave the record that all work leaves."""
    from harness.cells import key_of
    from results import records

    now = time.time()
    record = {
        "schema": 1, "key": key_of(payload["spec"]), "attempt": attempt, "uuid": uuid.uuid4().hex[:8], "status": "ok",
        "spec": payload["spec"], "cell": payload["cell"], "parent_checkpoint": None, "flags": [], "error": None,
        "started": now, "finished": now, "seconds": 0.0, "peak_memory_mb": None, "environment": {}, "accuracy": [],
        "curves": {}, "checkpoint": None, "checkpoint_sha256": None, "predictions": None, "log": None,
    }  # fmt: skip
    records.write(Path(context["out"]), record)
    yield {"type": "record", "record": record}


def planned(count: int, out: str) -> Any:
    """The plan of digits-mini with as many seeds as `count` cells that can run need, and its grid."""
    from harness import api
    from harness.grid import Filters, read

    grid = read("digits-mini", Filters(seeds=(f"0-{-(-count // CELLS) - 1}",)))
    return grid, api.plan(grid, api.Options(out=out))[0]


# -- pool


def through_pool(count: int, cpus: int, folder: str | None = None) -> list[float]:
    """When each of `count` empty cells was done, in a run directory below `folder`."""
    from harness.driver import drive
    from harness.executors.ray import RayExecutor
    from results import records
    from results.store import Store

    with tempfile.TemporaryDirectory(dir=folder) as out:
        tasks = planned(count, out)[1].tasks()[:count]
        drive(tasks, RayExecutor(cpus=cpus), Store(out), {"out": out, "entry": f"{SELF}:empty"})
        done = {r["key"]: r["finished"] for r in records.read_all(Path(out))[0] if r["status"] == "ok"}
    assert done.keys() == {task.key for task in tasks}
    return sorted(done.values())


def through_tune(count: int, cpus: int) -> list[float]:
    """When each of `count` trials that do nothing was done."""
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1"}
    import ray
    from ray import tune

    class Empty(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.number = config["number"]

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.number = config["number"]
            return True

        def step(self) -> dict[str, Any]:
            return {"number": self.number, "at": time.time(), "by": os.getpid(), "done": True}

    ray.init(num_cpus=cpus, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    with tempfile.TemporaryDirectory() as storage:
        results = tune.Tuner(
            tune.with_resources(Empty, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(count)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=storage,
                callbacks=[],
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()
        assert not results.errors, results.errors[0]
        done = {result.metrics["number"]: result.metrics["at"] for result in results}
        processes = {result.metrics["by"] for result in results}
    ray.shutdown()
    assert done.keys() == set(range(count)), len(done)
    assert len(processes) < max(32, count / 20), "Tune did not reuse its actors"
    return sorted(done.values())


def pool(count: int, tune_count: int) -> None:
    """Prints and asserts how much less time a cell takes through the pool than through Tune."""
    from harness import environment

    cpus, paid = environment.cores(), []
    for name, *asked in (
        ("through_tune", tune_count, cpus), ("through_pool", count, cpus), ("through_pool", count, cpus, RAM),
    ):  # fmt: skip
        ends = child(name, *asked)
        paid.append((ends[-1] - ends[0]) / (len(ends) - 1))
        where = "in memory" if RAM in asked else "on disk"
        print(f"{name:<14}{asked[0]:>7} cells{paid[-1] * 1e3:>8.2f} ms a cell, {cpus} slots, {where}", flush=True)
    tune, on_disk, in_memory = paid
    print(f"the pool takes {tune / in_memory:.1f} times less; {tune / on_disk:.1f} with each record made durable\n")
    assert tune / in_memory >= FASTER


# -- plan


def fabricate(out: Path, cells: Iterable[Any]) -> int:
    """The records of `cells` as a run leaves them, in form and in size; the bytes of all."""
    from harness import environment
    from results import records

    draw, written, start = random.Random(0), 0, time.time()
    for number, cell in enumerate(cells):
        spec, meta = cell.spec, cell.meta
        synth, scored = meta["kind"] == "synth", [] if cell.skip or meta["kind"] == "synth" else meta["domains"]
        stem = f"{cell.key}.1.{number:08x}"
        epochs = 150 if synth else 0 if meta["kind"] == "attack" or cell.skip else spec["recipe"]["epochs"]
        record = {
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}",
            "status": "skipped" if cell.skip else "ok", "spec": spec, "cell": meta, "parent_checkpoint": "a" * 64,
            "input_checkpoints": ["b" * 64 for _ in meta["inputs"]], "flags": [], "error": cell.skip,
            "started": start + number, "environment": {
                **environment.provenance(), "method_sha256": cell.method["sha256"],
            },
            "accuracy": [
                {
                    "domain": domain, "part": meta["score"], "correct": draw.randrange(297), "total": 297,
                    **{name: draw.random() for name in ("balanced", "matched", "decoded")},
                    "confusion": [[draw.randrange(30) for _ in range(10)] for _ in range(10)],
                }
                for domain in scored
            ],
            "curves": {name: [draw.random() for _ in range(epochs)] for name in ("loss", "domain_ce")},
            "checkpoint": f"checkpoints/{stem}.safetensors", "checkpoint_sha256": "c" * 64,
            "predictions": f"predictions/{stem}.parquet", "quality": {}, "picture": None,
            "log": f"logs/{cell.key}.1.log", "finished": start + number + 1.0, "seconds": 1.0,
            "peak_memory_mb": 1336.5,
        }  # fmt: skip
        path = out / "records" / cell.key[:2] / records.name(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        written += path.write_bytes(records.dump(record))
    return written


def verb(*arguments: str) -> tuple[float, str]:
    """Seconds and words of the command, run a second time: the first one fills the page cache and the tables."""
    from harness import environment

    command = [sys.executable, "-m", "harness.cli", *arguments]
    environment.quiet()
    for _ in range(2):
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - begun
        assert done.returncode == 0, done.stderr[-2000:]
    return taken, done.stdout


def plan(count: int) -> None:
    """Prints and asserts how long it takes to see that nothing is left of at least `count` cells."""
    start = verb("--help")[0]
    with tempfile.TemporaryDirectory() as out:
        grid, made = planned(count, out)
        size = fabricate(Path(out), made.cells)
        what = ("digits-mini", "-s", f"0-{len(grid.parts[0].seeds) - 1}", "--out", out)
        print(f"{len(made.cells)} records of {size / len(made.cells):,.0f} bytes; the bare command {start:.2f} s")
        for name, said, arguments in (
            ("plan", f"{len(made.cells)} cells", ("plan", *what)),
            ("run", f"nothing to do: {len(made.todo())} cells done", ("run", *what)),
        ):
            taken, words = verb(*arguments)
            assert said in words and " new" not in words, words
            print(f"mapbench {name:<5}{taken:>6.2f} s, {start / taken:.0%} of it the start", flush=True)
            assert taken < RESUME
    print(flush=True)


# -- memory


def driver(count: int, before: int) -> tuple[float, float]:
    """MB of a driver that has driven `count` cells in a directory that had the records of `before` others: at the end,
    and at most."""
    import resource

    import psutil

    from harness.driver import drive
    from harness.executors.inline import InlineExecutor
    from harness.expected import note
    from results.store import Store

    with tempfile.TemporaryDirectory() as out:
        if before:
            child("fabricated", before, out)
        grid, made = planned(before + count, out)
        store = Store(out)
        note(store, grid, made, None)
        tasks = made.tasks()[:count]
        done = drive(tasks, InlineExecutor(), store, {"out": out, "entry": f"{SELF}:empty"})
        assert done.counts == {"ok": count}, done
        now = psutil.Process().memory_info().rss / 2**20
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fabricated(count: int, out: str) -> int:
    """Leaves the records of the first cells of a plan behind, in a process whose memory nobody asks for."""
    cells = [cell for cell in planned(count + CELLS, out)[1].cells if not cell.skip]
    return fabricate(Path(out), cells[:count])


def memory(few: int, many: int) -> None:
    """Prints and asserts how a driver's memory grows with its cells."""
    for name, cells in (("driven", [(few, 0), (many, 0)]), ("resumed", [(100, few), (100, many)])):
        (end, peak), (more, most) = (child("driver", *said) for said in cells)
        print(f"{name:<8}{few:>6} cells: {end:.0f} MB at the end, {peak:.0f} at most; {many}: {more:.0f}, {most:.0f}")
        each, top = (more - end) * 1024 / (many - few), (most - peak) * 1024 / (many - few)
        times = f"{more / end:.2f} times at the end, {most / peak:.2f} at most"
        print(f"        {times}; {each:.2f} kB a cell, {top:.2f} at most", flush=True)
        assert each < FLAT and top < FLAT


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], "pool", "plan", "memory"])
    parser.add_argument("--count", type=int, default=2000, help="cells through the pool")
    parser.add_argument("--tune-count", type=int, default=2000, help="trials of Tune")
    parser.add_argument("--cells", type=int, default=10_000, help="cells to plan, and of the greater driver")
    asked = parser.parse_args()
    parts = asked.parts or ["pool", "plan", "memory"]
    if "plan" in parts:
        plan(asked.cells)
    if "memory" in parts:
        memory(asked.cells // 10, asked.cells)
    if "pool" in parts:
        pool(asked.count, asked.tune_count)
