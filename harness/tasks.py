"""What the scheduler takes and gives: a task, the retry policy, an attempt in flight, and how an attempt ended.

pytest tests/harness/test_scheduler.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAILURES = ("failed", "timeout", "oom", "quarantined", "lost")  # a `skipped` cell is the consequence of one of these


@dataclass(frozen=True, slots=True)
class Task:
    """One cell to run. `cost` is its expected time in any unit, `payload` is the worker's and JSON-able."""

    key: str
    parent: str | None = None
    inputs: tuple[str, ...] = ()
    label: str = ""
    cost: float = 1.0
    timeout: float | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """The retry policy. Defaults are design 8's."""

    timeout: float | None = None  # seconds, for tasks that name none of their own
    # Seconds past its deadline after which an attempt's slot is killed. The worker ends the attempt by itself before
    # that, between two steps, and keeps its curves. Chosen: a step is far shorter, a process that hangs costs no more.
    grace: float = 10.0
    fail_fast: bool = False  # after the first failed cell start no other; those that run may end
    max_failures: int | None = None  # the same after this many
    oom_retries: int = 1  # alone on the device
    deaths: int = 2  # dead processes after which a cell is quarantined
    losses: int = 3  # attempts lost with their node after which the cell is given up as `lost`
    slot_losses: int = 3  # different cells lost in a row after which a slot, or a node of several, is closed


@dataclass
class Running:
    """An attempt in flight."""

    task: Task
    slot: str
    attempt: int
    started: float
    limit: float | None
    done: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Assignment:
    slot: str
    task: Task
    attempt: int
    alone: bool  # nothing else runs on the slot's device: it may take all the memory


@dataclass(frozen=True)
class Row:
    """An attempt that ended. `record` is the worker's own, committed already; without one the driver writes it.
    `final`: the cell is settled; otherwise it is back in the queue."""

    task: Task
    attempt: int
    status: str
    error: str | None
    started: float
    finished: float
    final: bool
    record: dict[str, Any] | None = None
    detail: str = ""  # a traceback, for the log
    disk_full: bool = False
