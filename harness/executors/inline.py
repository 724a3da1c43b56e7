"""Cells one after the other in this process: no Ray needed, easy to debug, isolates exceptions only.

A hung or crashing cell takes the run with it; deadlines are looked at between two steps of the work.

    mapbench run digits-mini --executor inline
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from harness.executors import Event, Progress, Work, event, load, messages

if TYPE_CHECKING:
    from harness.tasks import Task

SLOT = "cpu/0"


class InlineExecutor:
    """One slot, stepped from `poll`: each call runs the cell to its next progress message."""

    name = "inline"

    def __init__(self) -> None:
        self._work: Work | None = None
        self._context: dict[str, Any] = {}
        self._jobs: deque[tuple[str, int, Generator[dict[str, Any], None, None]]] = deque()
        self._threads: int | None = None
        self._blas: Any = None

    def open(self, context: dict[str, Any]) -> None:
        """Import the work function, here and now."""
        self._context = context
        if "torch" in sys.modules:  # give the caller's own session its threads back at the end
            self._threads = sys.modules["torch"].get_num_threads()
        self._work = load(context["entry"])
        if "torch" in sys.modules:
            self._blas = _one_blas_thread()

    def slots(self) -> list[str]:
        return [SLOT]

    def submit(self, slot: str, task: Task, attempt: int, alone: bool = False) -> None:
        if self._work is None:
            raise RuntimeError("submit on an inline executor that is closed")
        self._jobs.append((task.key, attempt, messages(self._work, self._context, task.payload, attempt)))

    def poll(self, timeout: float) -> list[Event]:
        if not self._jobs:  # what is left runs in another driver
            time.sleep(timeout)
            return []
        key, attempt, steps = self._jobs[0]
        happened = event(SLOT, key, attempt, next(steps))
        if not isinstance(happened, Progress):
            self._jobs.popleft()
        return [happened]

    def notes(self) -> list[str]:
        return []

    def kill(self, slot: str) -> None:
        self._drop()

    def close(self) -> None:
        self._drop()
        if self._blas is not None:
            self._blas.restore_original_limits()  # before torch's, whose OpenMP it sets to what it was in between
            self._blas = None
        if self._threads is not None:
            sys.modules["torch"].set_num_threads(self._threads)
            self._threads = None

    def _drop(self) -> None:
        while self._jobs:
            self._jobs.popleft()[2].close()  # its `finally` blocks run now


def _one_blas_thread() -> Any:
    """Hold numpy's and scipy's BLAS to one thread, as Ray holds its workers: the probes' fits are small, and where
    other work has the cores, their threads wait for each other. Gives the caller's own number back on request."""
    import scipy.linalg  # noqa: F401  (the limit is set on libraries that are there, and scipy brings one of its own)
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
