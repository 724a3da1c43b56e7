"""Drives a run: feeds the executor what the scheduler chooses, and sees to it that every attempt leaves a record.

The worker commits the record of a cell itself; where it could not (it died, hung or raised outside the cell) the driver
does. The driver holds nothing that is not on disk: killed at any moment, the same command takes the run up again.

    pytest tests/harness/test_driver.py
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
import uuid
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from harness import UsageError, environment
from harness.executors import Died, Event, Executor, Finished, NodeLost, OutOfMemory, is_disk_full
from harness.others import Others
from harness.panel import Lane, Panel, Snapshot
from harness.scheduler import Scheduler
from harness.tasks import FAILURES, Policy, Row, Task
from results import place
from results.errors import StoreError
from results.store import Outcome

STEP = 0.5  # seconds to wait for news at most: how late a deadline or Ctrl-C can be seen


class RunStore(Protocol):
    """What the driver asks of `results.store.Store`."""

    out: Path

    def outcomes(self, keys: Container[str] | None = None) -> Mapping[str, Outcome]: ...
    def commit(self, record: dict[str, Any]) -> Any: ...
    def committed(self, key: str, attempt: int) -> dict[str, Any] | None: ...
    def write_tables(self, force: bool = False) -> Any: ...
    def heartbeat(self, running: list[dict[str, Any]]) -> Any: ...
    def other_drivers(self) -> list[dict[str, Any]]: ...
    def news(self) -> Mapping[str, str]: ...
    def end_heartbeat(self) -> Any: ...


@dataclass(frozen=True)
class Failure:
    """A cell that settled as something else than ok. `log` is relative to the run directory."""

    label: str
    status: str
    error: str | None
    log: str | None


@dataclass
class Summary:
    """How a run ended. `counts` has this run's settled cells by status; `stopped` says why it ended early, if so."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    interrupted: bool = False
    stopped: str | None = None
    seconds: float = 0.0


def drive(
    tasks: Iterable[Task],
    executor: Executor,
    store: RunStore,
    context: dict[str, Any],
    policy: Policy | None = None,
    panel: Panel | None = None,
) -> Summary:
    """Run the tasks whose keys have no ok record yet; tables are rewritten now and then and at the end.

    Ctrl-C or SIGTERM ends all processes and returns with `interrupted`; a second Ctrl-C does not wait for the step that
    runs. A full disk returns with `stopped`. Raises UsageError when no cell can run at all (Ray does not start, say).
    """
    tasks, begun = list(tasks), time.monotonic()
    executor.open(context)  # Ray takes its ten seconds while the records are read
    summary = Summary()
    with _Signals() as signals, panel or Panel(len(tasks), quiet=True) as shown:
        try:
            known = store.outcomes({task.key for task in tasks})
            attempts = {key: outcome.attempts for key, outcome in known.items()}
            finished = {key for key, outcome in known.items() if outcome.ok}
            scheduler = Scheduler(tasks, policy, attempts=attempts, finished=finished, now=time.time())
            try:
                _loop(
                    scheduler=scheduler, executor=executor, store=store, context=context, panel=shown,
                    summary=summary, signals=signals,
                )  # fmt: skip
            finally:
                counts = scheduler.counts()
                summary.counts = {status: n for status, n in counts.items() if status in ("ok", "skipped", *FAILURES)}
                summary.stopped = scheduler.stopped
        except KeyboardInterrupt:
            signals.caught = True
        except UsageError:
            if not signals.caught:  # Ray that was being started when all were asked to end did so, and nothing is wrong
                raise
        except (OSError, StoreError) as error:
            if not is_disk_full(error):
                raise
            # no cell's failure, and nothing more can be kept: stop, and say where
            summary.stopped = f"{error}: free some space and run the same command again"
        finally:
            signals.deaf = True  # the end takes two seconds, and is not to be cut short
            executor.close()
            store.end_heartbeat()
            try:
                store.write_tables(force=True)
            except StoreError as error:
                summary.stopped = summary.stopped or str(error)
    summary.interrupted = signals.caught
    summary.seconds = time.monotonic() - begun
    return summary


def _loop(
    *,
    scheduler: Scheduler,
    executor: Executor,
    store: RunStore,
    context: dict[str, Any],
    panel: Panel,
    summary: Summary,
    signals: _Signals,
) -> None:
    others = Others(scheduler, store, panel)
    while not signals.caught:
        others.look()
        slots = executor.slots()
        for start in others.claim(scheduler.assign(slots, time.time())):
            executor.submit(start.slot, start.task, start.attempt, start.alone)
        _show(scheduler, panel, len(slots))
        _write(scheduler, store, context, panel, summary)
        if scheduler.done:
            return
        for event in executor.poll(STEP):
            _take(scheduler, store, event)
        for line in executor.notes():
            panel.note(line)
        for slot in scheduler.expire(time.time()):
            executor.kill(slot)
        _show(scheduler, panel, len(slots))
        _write(scheduler, store, context, panel, summary)
        store.write_tables()


def _take(scheduler: Scheduler, store: RunStore, event: Event) -> None:
    """Give the scheduler an event; but a cell whose record is there has ended well, though its process died before it
    could say so, and does not run again."""
    if isinstance(event, Died | NodeLost | OutOfMemory):
        while (run := scheduler.on_slot(event.slot)) and (record := store.committed(run.task.key, run.attempt)):
            scheduler.on(Finished(event.slot, run.task.key, run.attempt, record), time.time())
        if run is None:
            return
        event = replace(event, key=run.task.key, attempt=run.attempt)
    scheduler.on(event, time.time())


def _write(scheduler: Scheduler, store: RunStore, context: dict[str, Any], panel: Panel, summary: Summary) -> None:
    """Give each attempt that ended its record and its line."""
    for row in scheduler.drain():
        record = row.record
        if row.disk_full or (record is None and "[Errno 28]" in (row.error or "")):  # no cell's failure: no record
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise StoreError(f"cannot write to {store.out}: {full.strerror}") from full
        if record is None:
            record = _record(row)
            if row.status != "skipped":
                record["log"] = f"logs/{row.task.key}.{row.attempt}.log"
                place.append(store.out / record["log"], f"{row.detail}{row.status}: {row.error}\n")
            store.commit(record)
        seconds = row.finished - row.started
        panel.ended(row.task.label, row.status, seconds, error=row.error, log=record.get("log"), final=row.final)
        if row.final and row.status != "ok":
            summary.failed.append(Failure(row.task.label, row.status, row.error, record.get("log")))


def _record(row: Row) -> dict[str, Any]:
    """The record of an attempt whose worker left none."""
    return {
        "schema": 1, "key": row.task.key, "attempt": row.attempt, "uuid": uuid.uuid4().hex[:8], "status": row.status,
        "spec": row.task.payload["spec"], "cell": row.task.payload["cell"], "parent_checkpoint": None, "flags": [],
        "error": row.error, "started": row.started, "finished": row.finished, "seconds": row.finished - row.started,
        "peak_memory_mb": None, "environment": {**environment.provenance(), "method_sha256": None}, "accuracy": [],
        "curves": {}, "checkpoint": None, "checkpoint_sha256": None, "predictions": None, "log": None,
    }  # fmt: skip


def _show(scheduler: Scheduler, panel: Panel, slots: int) -> None:
    now, counts = time.time(), scheduler.counts()
    lanes = [Lane(run.task.label, run.done, run.note, now - run.started) for run in scheduler.running()]
    failed = sum(counts.get(status, 0) for status in FAILURES)
    left = scheduler.left(slots, now)
    panel.update(Snapshot(counts.get("ok", 0), failed, counts.get("skipped", 0), left, slots, lanes))


class _Signals:
    """Ctrl-C, SIGTERM and a closed terminal ask for a clean end; a second Ctrl-C asks for it now."""

    def __init__(self) -> None:
        self.caught = self.deaf = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
                self._before.setdefault(number, signal.signal(number, self._handle))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.caught and not self.deaf and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = self.caught or not self.deaf
