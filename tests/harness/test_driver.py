"""The driver: inline with toy cells for what it leaves on disk, with a scripted executor for deadlines and deaths."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError, environment
from harness.driver import Summary, drive
from harness.executors import Died, Event, Finished, Raised
from harness.executors.inline import InlineExecutor
from harness.scheduler import Policy, Task
from results import tables
from results.errors import StoreError
from results.store import Store
from tests.harness import toywork

HERE = Path(__file__).parent


def inline(out: Path, *tasks: Task, policy: Policy | None = None, store: Store | None = None) -> Summary:
    context = {"entry": f"{toywork.__name__}:work", "out": str(out)}
    return drive(list(tasks), InlineExecutor(), store or Store(out), context, policy)


def statuses(out: Path) -> dict[str, list[tuple[int, str]]]:
    found = defaultdict(list)
    for record in Store(out).records():
        found[record["spec"]["name"]].append((record["attempt"], record["status"]))
    return {name: sorted(attempts) for name, attempts in found.items()}


def test_every_cell_settles_and_every_attempt_has_a_record(tmp_path: Path) -> None:
    tasks = [
        toywork.task("p"), toywork.task("good", parent="p"), toywork.task("bad", "raise", parent="p"),
        toywork.task("typo", "string", parent="p"), toywork.task("big", "oom once", parent="p"),
        toywork.task("q", "raise"), toywork.task("orphan", parent="q"),
    ]  # fmt: skip
    summary = inline(tmp_path, *tasks)
    assert summary.counts == {"ok": 3, "failed": 3, "skipped": 1}
    assert statuses(tmp_path) == {
        "p": [(1, "ok")], "good": [(1, "ok")], "bad": [(1, "failed")], "typo": [(1, "failed")],
        "big": [(1, "oom"), (2, "ok")], "q": [(1, "failed")], "orphan": [(1, "skipped")],
    }  # fmt: skip
    failures = {failure.label: failure for failure in summary.failed}
    assert failures["bad"].error == "ValueError: the method is wrong"
    assert "Traceback" in (tmp_path / str(failures["bad"].log)).read_text()
    assert failures["orphan"].error == "its parent ended failed: q"
    assert summary.stopped is None and not summary.interrupted


def test_the_drivers_own_record_has_the_form_of_a_workers(tmp_path: Path) -> None:
    inline(tmp_path, toywork.task("good"), toywork.task("bad", "raise"))
    own, workers = sorted(Store(tmp_path).records(), key=lambda record: record["status"])
    assert own["status"] == "failed" and set(own) == set(workers)
    assert set(own["environment"]) == set(workers["environment"])
    assert own["spec"] == {"name": "bad"} and own["cell"]["suite"] == "toy"
    assert own["finished"] - own["started"] == pytest.approx(own["seconds"])


def test_the_same_again_runs_what_is_not_ok_and_counts_attempts_on(tmp_path: Path) -> None:
    inline(tmp_path, toywork.task("a"), toywork.task("b", "raise"))
    summary = inline(tmp_path, toywork.task("a"), toywork.task("b"), toywork.task("c", parent="a"))
    assert statuses(tmp_path) == {"a": [(1, "ok")], "b": [(1, "failed"), (2, "ok")], "c": [(1, "ok")]}
    assert summary.counts == {"ok": 2}


def test_tables_are_written_and_the_heartbeat_is_gone_at_the_end(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    inline(tmp_path, toywork.task("a"), toywork.task("b", "raise"))
    assert pq.read_table(tmp_path / "tables" / "cells.parquet").column("status").to_pylist().count("ok") == 1
    assert list(tmp_path.glob("driver.*")) == []


def test_two_drivers_share_the_work_and_nothing_counts_twice(tmp_path: Path) -> None:
    """By mistake: the same command twice. Each leaves to the other what it runs, and both end with all of it done."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(environment.ROOT), str(HERE)])}
    command = [sys.executable, str(HERE / "toywork.py"), str(tmp_path), "inline", "12"]
    runs = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=100)[0] for run in runs]
    assert [text.splitlines()[-1] for text in said] == ["finished 12", "finished 12"]
    assert all("another driver works in this directory" in text for text in said)
    found = Store(tmp_path).records()
    assert len({record["key"] for record in found}) == 12
    assert len(found) <= 16  # 24 if none looked at the other; in the first two seconds none knows
    assert len({record["curves"]["pid"][0] for record in found}) == 2
    cells = tables.read(tmp_path, "cells")
    assert len(cells) == 12 and set(cells.column("status").to_pylist()) == {"ok"}


def test_a_driver_takes_up_what_a_dead_one_ran(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    running = [{"key": toywork.key("a"), "label": "a"}]
    beat = {"host": socket.gethostname(), "pid": gone.pid, "written": time.time(), "running": running}
    (tmp_path / f"driver.{beat['host']}.{gone.pid}.json").write_text(json.dumps(beat))
    assert inline(tmp_path, toywork.task("a")).counts == {"ok": 1}


def test_a_heartbeat_tells_what_runs(tmp_path: Path) -> None:
    beats: list[Any] = []

    class Watched(Store):
        def heartbeat(self, running: list[dict[str, Any]]) -> None:
            super().heartbeat(running)
            beats.append(json.loads(self.heartbeat_path.read_text())["running"])

    inline(tmp_path, toywork.task("a", steps=5, pause=0.5), store=Watched(tmp_path))
    assert beats[0] == []  # at the very start, to be seen
    assert beats[1][0]["label"] == "a" and beats[1][0]["note"].startswith("step")


@pytest.mark.parametrize("where", ["worker", "driver", "tables"])
def test_a_full_disk_stops_the_run_in_one_line(tmp_path: Path, where: str) -> None:
    class Full(Store):
        def _refuse(self) -> None:
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                raise StoreError(f"cannot write {self.out}/x: No space left on device") from error

        def commit(self, record: dict[str, Any]) -> Path:
            if where == "driver":
                self._refuse()
            return super().commit(record)

        def write_tables(self, force: bool = False) -> bool:
            if where == "tables":
                self._refuse()
            return super().write_tables(force)

    kind = {"worker": "full", "driver": "raise", "tables": "ok"}[where]
    tasks = [toywork.task("first", kind, cost=9), *(toywork.task(f"later {i}") for i in range(5))]
    summary = inline(tmp_path, *tasks, store=Full(tmp_path))
    assert summary.stopped is not None and "\n" not in summary.stopped
    assert "No space left" in summary.stopped and str(tmp_path) in summary.stopped
    assert not any(name.startswith("later") for name in statuses(tmp_path))


def test_fail_fast_leaves_the_rest_for_the_next_run(tmp_path: Path) -> None:
    tasks = [toywork.task("bad", "raise", cost=9), toywork.task("later")]
    summary = inline(tmp_path, *tasks, policy=Policy(fail_fast=True))
    assert summary.counts == {"failed": 1} and "1 failed cell" in (summary.stopped or "")
    assert statuses(tmp_path) == {"bad": [(1, "failed")]}


class Scripted:
    """An executor without processes: `fate` makes the event of an attempt, or None for one that hangs."""

    name = "scripted"

    def __init__(self, fate: Any) -> None:
        self.fate = fate
        self.events: list[Event] = []
        self.killed: list[str] = []
        self.up = {"cpu/0", "cpu/1"}
        self.closed = 0

    def open(self, context: dict[str, Any]) -> None:
        pass

    def slots(self) -> list[str]:
        return sorted(self.up)

    def submit(self, slot: str, task: Task, attempt: int, alone: bool = False) -> None:
        assert slot in self.up
        if (event := self.fate(slot, task, attempt)) is not None:
            self.events.append(event)

    def poll(self, timeout: float) -> list[Event]:
        events, self.events = self.events, []
        self.up = {"cpu/0", "cpu/1"} - set(self.killed[-1:])
        if not events:
            time.sleep(min(timeout, 0.02))
        return events

    def notes(self) -> list[str]:
        return []

    def kill(self, slot: str) -> None:
        self.killed.append(slot)
        self.up.discard(slot)

    def close(self) -> None:
        self.closed += 1


def finished(slot: str, task: Task, attempt: int) -> Event:
    return Finished(slot, task.key, attempt, {"status": "ok", "error": None, "log": None})


def test_a_hung_cell_is_killed_at_its_own_deadline_or_the_policys(tmp_path: Path) -> None:
    executor = Scripted(lambda slot, task, attempt: finished(slot, task, attempt) if task.label == "good" else None)
    tasks = [toywork.task("own", timeout=0.1, cost=9), toywork.task("policy", cost=8), toywork.task("good")]
    summary = drive(tasks, executor, Store(tmp_path), {"out": str(tmp_path)}, Policy(timeout=0.3, grace=0.1))
    assert summary.counts == {"timeout": 2, "ok": 1}
    assert executor.killed == ["cpu/0", "cpu/1"] and executor.closed == 1
    assert {failure.error for failure in summary.failed} == {
        f"not done after {limit} s: its process was killed" for limit in (0.1, 0.3)
    }


def test_the_driver_writes_for_workers_that_died(tmp_path: Path) -> None:
    executor = Scripted(lambda slot, task, attempt: Died(slot, task.key, attempt, "exit code 3"))
    summary = drive([toywork.task("x")], executor, Store(tmp_path), {"out": str(tmp_path)})
    assert statuses(tmp_path) == {"x": [(1, "lost"), (2, "quarantined")]}
    assert summary.failed[0].error == "exit code 3"
    assert (tmp_path / str(summary.failed[0].log)).read_text() == "quarantined: exit code 3\n"


def test_a_cell_whose_record_is_there_does_not_run_again_though_its_process_died(tmp_path: Path) -> None:
    """It died after the record was written and before it was heard of; the one behind it is the one to blame."""
    store = Store(tmp_path)

    def fate(slot: str, task: Task, attempt: int) -> Event:
        if attempt == 1:
            list(toywork.work({"out": str(tmp_path)}, task.payload, attempt))
            return Died(slot, task.key, attempt, "segmentation fault")
        return finished(slot, task, attempt)

    summary = drive([toywork.task("x")], Scripted(fate), store, {"out": str(tmp_path)})
    assert summary.counts == {"ok": 1}
    assert statuses(tmp_path) == {"x": [(1, "ok")]}


@pytest.mark.parametrize("caught", [True, False])
def test_ray_that_ends_because_all_were_asked_to_is_no_fault(tmp_path: Path, caught: bool) -> None:
    """SIGTERM to every process of a run, as Slurm sends it, may find Ray before it is up."""

    class Ended(Scripted):
        def poll(self, timeout: float) -> list[Event]:
            if caught:
                os.kill(os.getpid(), signal.SIGTERM)
            raise UsageError("Ray ended unexpectedly")

    executor = Ended(lambda *_: None)
    if caught:
        assert drive([toywork.task("x")], executor, Store(tmp_path), {"out": str(tmp_path)}).interrupted
    else:
        with pytest.raises(UsageError, match="ended unexpectedly"):
            drive([toywork.task("x")], executor, Store(tmp_path), {"out": str(tmp_path)})
    assert executor.closed == 1


def test_the_executor_is_closed_whatever_happens(tmp_path: Path) -> None:
    executor = Scripted(lambda slot, task, attempt: Raised(slot, "no such", attempt, "x", "y"))

    class Broken(Store):
        def heartbeat(self, running: list[dict[str, Any]]) -> None:
            raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        drive([toywork.task("x")], executor, Broken(tmp_path), {"out": str(tmp_path)})
    assert executor.closed == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_cleanly_and_the_same_command_resumes(tmp_path: Path, number: int) -> None:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(environment.ROOT), str(HERE)])}
    command = [sys.executable, str(HERE / "toywork.py"), str(tmp_path), "inline"]
    run = subprocess.Popen([*command, "50"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 30
    while len(list(tmp_path.glob("records/*/*.json"))) < 1 and time.monotonic() < end:
        time.sleep(0.02)
    run.send_signal(number)
    said, complaints = run.communicate(timeout=20)
    assert said.splitlines()[-1].startswith("interrupted") and complaints == ""
    done = len(Store(tmp_path).records())
    assert 1 <= done < 50 and (tmp_path / "tables" / "cells.parquet").exists()
    again = subprocess.run([*command, str(done + 1)], env=variables, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[-1] == "finished 1"
    assert set(map(tuple, statuses(tmp_path).values())) == {((1, "ok"),)}
