"""The executors, driven for real: inline in this process, and one Ray for the whole module."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import UsageError, environment
from harness.driver import Summary, drive
from harness.executors import Executor, Finished, Progress, Raised, device, is_oom, is_sticky, make
from harness.executors.inline import InlineExecutor
from harness.executors.memory import Share
from harness.executors.ray import RayExecutor
from harness.executors.slot import Slot
from harness.scheduler import Policy
from results.store import Store
from tests.harness import toywork

ENTRY = f"{toywork.__name__}:work"
HERE = Path(__file__).parent


def test_inline_steps_through_a_cell_one_message_a_poll(tmp_path: Path) -> None:
    executor = InlineExecutor()
    executor.open({"entry": ENTRY, "out": str(tmp_path)})
    (slot,) = executor.slots()
    executor.submit(slot, toywork.task("a"), 3)
    events = [executor.poll(0)[0] for _ in range(3)]
    assert [type(event) for event in events] == [Progress, Progress, Finished]
    assert events[0] == Progress(slot, toywork.key("a"), 3, 0.25, "begun")
    assert executor.poll(0) == []


@pytest.mark.parametrize(
    ("kind", "error", "oom"),
    [
        ("raise", "ValueError: the method is wrong", False),
        ("exit", "SystemExit: 7", False),
        ("nothing", f"TypeError: {ENTRY} ended without a record", False),
        ("string", f"TypeError: {ENTRY} yielded 'not a message', neither progress nor a record", False),
        ("oom once", "MemoryError", True),
    ],
)
def test_inline_isolates_exceptions_and_broken_contracts(tmp_path: Path, kind: str, error: str, oom: bool) -> None:
    executor = InlineExecutor()
    executor.open({"entry": ENTRY, "out": str(tmp_path)})
    executor.submit("cpu/0", toywork.task("a", kind), 1)
    assert isinstance(executor.poll(0)[0], Progress)
    (event,) = executor.poll(0)
    assert isinstance(event, Raised)
    assert (event.error, event.oom) == (error, oom) and "Traceback" in event.traceback


def test_inline_needs_neither_ray_nor_mlflow_nor_pandas() -> None:
    code = (
        "import sys\n"
        "for name in ('ray', 'mlflow', 'pandas'): sys.modules[name] = None\n"
        "import harness.cells, harness.scheduler, harness.driver\n"
        "from harness.executors import make\n"
        "make('inline').open({'entry': 'os:walk'})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(environment.ROOT)})


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such knob")
def test_a_process_that_works_keeps_the_memory_it_frees() -> None:
    code = """
import resource, torch
from harness.executors import load
def faults():
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        blocks = [torch.ones(2**20) for _ in range(12)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start
faults()
before = faults()
load("harness.worker:run_cell")
faults()
print(before, faults())
"""
    # glibc's own rule learns from what was freed before; pinned to where it starts, it gives every block back at once
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(128 << 10)}
    told = subprocess.check_output([sys.executable, "-c", code], cwd=environment.ROOT, text=True, env=env)
    before, after = map(int, told.split())
    assert after < before / 20, (before, after)


def test_inline_work_has_one_thread_and_the_caller_gets_his_own_back() -> None:
    code = """
import scipy.linalg, torch
from threadpoolctl import threadpool_info
from harness.executors import make
def threads():
    return {torch.get_num_threads(), *(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")}
torch.set_num_threads(2)
executor = make("inline")
executor.open({"entry": "harness.worker:run_cell"})
inside = threads()
executor.close()
print(inside, threads())
"""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    told = subprocess.check_output(
        [sys.executable, "-c", code], cwd=environment.ROOT, text=True, env=env | {"OPENBLAS_NUM_THREADS": "2"}
    )
    assert told.split("} ") == ["{1", "{2}\n"]


def test_errors_are_told_apart_by_their_text() -> None:
    assert is_oom(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_oom(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_oom(ValueError("memory"))
    assert is_sticky("AcceleratorError: CUDA error: an illegal memory access was encountered")
    assert not is_sticky("CUDA error: out of memory")
    assert device("10.0.0.1:cuda:0/12") == "10.0.0.1:cuda:0"


def test_wishes_that_cannot_be_met_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown executor 'slurm': it is ray or inline"):
        make("slurm")
    with pytest.raises(UsageError, match="--address needs Ray"):
        make("inline", address="auto")
    assert make().name == "ray"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert make().name == "inline"
    with pytest.raises(UsageError, match="Ray is not installed"):
        make("ray")


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "no Ray cluster answers"), ("ray://head:10001", "HOST:PORT"), ("head", "HOST:PORT")],
)
def test_a_cluster_that_is_not_there_is_said_at_once(address: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        make("ray", address=address).open({"entry": ENTRY, "out": str(tmp_path / "run")})
    assert list(tmp_path.iterdir()) == []


def test_a_worker_with_other_code_refuses_to_work() -> None:
    code = {name: ("0" * 64, f"/elsewhere/{name}") for name in environment.PACKAGES}
    found = Slot("driver", Share()).ready({"entry": ENTRY}, code, None)
    assert "`harness`" in found["problem"] and "/elsewhere/harness" in found["problem"]


# -- Ray


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One grid with every way to end badly, once through Ray with two slots."""
    out = tmp_path_factory.mktemp("run")
    tasks = [
        toywork.task("source", cost=9),
        *(toywork.task(f"good {i}", parent="source") for i in range(12)),
        *(toywork.task(kind, kind, parent="source", cost=2) for kind in ("raise", "die", "segfault", "string")),
        # both slots hang first: all that follows runs on their replacements
        *(toywork.task(name, "hang", parent="source", cost=8, timeout=2.0) for name in ("hang", "hang too")),
        toywork.task("allocate", "allocate", parent="source", cost=2),
        toywork.task("bad source", "raise"),
        toywork.task("orphan", parent="bad source"),
    ]
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    seen: list[str] = []

    class Watched(RayExecutor):
        def poll(self, timeout: float) -> Any:
            events = super().poll(timeout)
            seen.extend(event.note for event in events if isinstance(event, Progress))
            return events

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(environment.ROOT))
        executor: Executor = Watched(cpus=2, memory_mb=1500)
        summary = drive(tasks, executor, Store(out), {"entry": ENTRY, "out": str(out)}, Policy(grace=1))
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    yield {"out": out, "summary": summary, "notes": seen, "left": left, "total": len(tasks)}


def slow(test: Any) -> Any:
    """A real Ray: seconds to start, and never two at once on two cores."""
    return pytest.mark.slow(pytest.mark.xdist_group("ray")(test))


@slow
def test_ray_every_cell_settles_and_the_healthy_ones_are_ok(grid: dict[str, Any]) -> None:
    summary: Summary = grid["summary"]
    assert summary.counts == {"ok": 13, "failed": 3, "quarantined": 2, "timeout": 2, "oom": 1, "skipped": 1}
    assert sum(summary.counts.values()) == grid["total"] and not summary.interrupted and summary.stopped is None


@slow
def test_ray_every_attempt_has_a_record_and_a_log_that_says_why(grid: dict[str, Any]) -> None:
    found = Store(grid["out"]).records()
    attempts = {
        name: sorted((r["attempt"], r["status"]) for r in found if r["spec"]["name"] == name)
        for name in ("die", "segfault", "hang", "allocate", "raise", "string", "orphan")
    }
    assert attempts == {
        "die": [(1, "lost"), (2, "quarantined")],
        "segfault": [(1, "lost"), (2, "quarantined")],
        "hang": [(1, "timeout")],
        "allocate": [(1, "oom"), (2, "oom")],
        "raise": [(1, "failed")],
        "string": [(1, "failed")],
        "orphan": [(1, "skipped")],
    }
    logs = {
        r["spec"]["name"]: (grid["out"] / r["log"]).read_text() for r in found if r["status"] not in ("ok", "skipped")
    }
    assert "Segmentation fault" in logs["segfault"] and "toywork.py" in logs["segfault"]
    assert "Traceback" in logs["raise"] and "the method is wrong" in logs["raise"]
    assert "timeout: not done after 2 s" in logs["hang"]


@slow
def test_ray_workers_are_warm_and_replaced_when_they_died(grid: dict[str, Any]) -> None:
    pids = Counter(r["curves"]["pid"][0] for r in Store(grid["out"]).records() if r["status"] == "ok")
    assert os.getpid() not in pids
    assert len(pids) <= 2 + 2 * 2 + 2  # two slots, replaced once for each death and each kill
    assert max(pids.values()) >= 3


@slow
def test_ray_progress_reaches_the_driver_while_cells_run(grid: dict[str, Any]) -> None:
    assert grid["notes"].count("step 0") == 13
    assert "begun" in grid["notes"]


@slow
def test_ray_leaves_no_process_and_keeps_its_texts_to_its_log(grid: dict[str, Any]) -> None:
    assert grid["left"] == []
    assert "A worker died" in (grid["out"] / "logs" / "ray.log").read_text()


@slow
@pytest.mark.parametrize("how", ["ctrl-c", "kill -9", "slurm"])
def test_ray_from_a_folder_of_namesakes_interrupted_leaves_records_and_no_process(how: str, tmp_path: Path) -> None:
    """A user's own methods.py and the like lie where the run starts; then it is interrupted, and taken up again."""
    folder, home, out = tmp_path / "cwd", tmp_path / "home", tmp_path / "run"
    folder.mkdir(), home.mkdir()
    for name in (*environment.PACKAGES, "ray", "torch"):
        (folder / f"{name}.py").write_text("raise SystemExit('this file of the user was imported')\n")
    variables = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join([str(environment.ROOT), str(HERE)])}
    command = [sys.executable, str(HERE / "toywork.py"), str(out), "ray", "1000"]
    run = subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: len(list(out.glob("records/*/*.json"))) >= 2, 200, run)
        family = psutil.Process(run.pid).children(recursive=True)
        assert len(family) > 3
        homes = {p.cwd().removesuffix("/cwd") for p in family if "/mb-" in p.cwd()}
        assert homes
        if how == "ctrl-c":
            os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the whole group
            said, complaints = run.communicate(timeout=60)
            assert said.splitlines()[-1].startswith("interrupted")
            assert complaints == "" and run.returncode == 0
            assert "KeyboardInterrupt" not in (out / "logs" / "ray.log").read_text()  # it is the driver's to hear
            assert (out / "tables" / "cells.parquet").exists()
        elif how == "slurm":  # a preempted job: SIGTERM to each of its processes, in whatever order
            for process in family:
                process.terminate()
            time.sleep(0.3)
            run.terminate()
            assert run.communicate(timeout=60)[0].splitlines()[-1].startswith("interrupted")
        else:
            run.kill()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
        assert not any(Path(p).exists() for p in homes)
    finally:
        run.kill()
        run.communicate()
    records = Store(out).records()
    assert len(records) >= 2
    # what was cut short is run again, and not taken for a failure of the method
    assert {record["status"] for record in records} <= ({"ok", "lost"} if how == "slurm" else {"ok"})
    assert list(home.rglob("*")) == []


def wait_for(condition: Any, seconds: float, run: subprocess.Popen[str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
