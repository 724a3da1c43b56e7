"""Other drivers in the same run directory, `--shard` or by mistake: nothing is lost, nothing counts twice.

    mapbench run digits-mini & mapbench run digits-mini

Each says in its heartbeat what it runs, before it begins, and leaves to the others what theirs say; what they settle it
takes over. Should two still begin the same cell (clocks and network disks have their delays), it is computed twice, and
the first ok record counts.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any, Protocol

from harness.panel import Panel
from harness.scheduler import Assignment, Scheduler

BEAT = 2.0  # seconds between two heartbeats of a driver on its own, and between two looks around
SHARED_BEAT = 0.5  # and between two looks at what others do, where there are any


class SharedStore(Protocol):
    """What is asked of `results.store.Store`."""

    def heartbeat(self, running: list[dict[str, Any]]) -> Any: ...
    def other_drivers(self) -> list[dict[str, Any]]: ...
    def news(self) -> Mapping[str, str]: ...


class Others:
    """Looks around and tells, at the driver's own pace: `look` before cells are chosen, `claim` before they start."""

    def __init__(self, scheduler: Scheduler, store: SharedStore, panel: Panel) -> None:
        self.scheduler, self.store, self.panel = scheduler, store, panel
        self._known: set[tuple[str, int]] = set()  # drivers that the user was told of
        self._looked = self._told = float("-inf")

    def look(self) -> None:
        """Take over what other drivers settled, and leave to them what they run."""
        now = time.monotonic()
        if now - self._looked < (SHARED_BEAT if self.scheduler.shared else BEAT):
            return
        if self._looked == float("-inf"):
            self._tell(0.0)  # first of all be seen: two may be started together
        self._looked = now
        drivers = self.store.other_drivers()
        if drivers or self.scheduler.shared:  # and once more when they are gone
            running = [cell["key"] for driver in drivers for cell in driver["running"]]
            self.scheduler.elsewhere(self.store.news(), running)
        self.scheduler.shared = bool(drivers)
        for driver in drivers:
            name = str(driver["host"]), int(driver["pid"])
            if name not in self._known:
                self._known.add(name)
                self.panel.note(
                    f"another driver works in this directory ({name[0]}, process {name[1]}): what it finishes is taken "
                    "over, and no cell counts twice"
                )

    def claim(self, started: list[Assignment]) -> list[Assignment]:
        """Say what is about to start; returns what may. Where another driver said the same, the earlier one has it."""
        if not self.scheduler.shared:
            self._tell(BEAT)
            return started
        self._tell(0.0 if started else BEAT)
        theirs = {
            cell["key"]: (cell["started"], driver["host"], driver["pid"])
            for driver in (self.store.other_drivers() if started else ())
            for cell in driver["running"]
        }
        me = socket.gethostname(), os.getpid()
        since = {run.task.key: run.started for run in self.scheduler.running()}
        mine = [s for s in started if s.task.key not in theirs or (since[s.task.key], *me) < theirs[s.task.key]]
        for start in started:
            if start not in mine:
                self.scheduler.release(start)
        if len(mine) < len(started):
            self._tell(0.0)
        return mine

    def _tell(self, every: float) -> None:
        """Write the heartbeat, if the last one is older than `every` seconds."""
        now = time.monotonic()
        if now - self._told < every:
            return
        self._told = now
        self.store.heartbeat([
            {"key": run.task.key, "label": run.task.label, "slot": run.slot, "attempt": run.attempt,
             "started": run.started, "done": run.done, "note": run.note}
            for run in self.scheduler.running()
        ])  # fmt: skip
