"""Which cell goes where and when, and what becomes of a failed attempt: a pure state machine.

No Ray, no files, no clock: `now` and the executor's events are passed in, rows come out. The cell goes first under
which the longest chain hangs (harness/order.py); one cell in flight per slot. The retry policy is design 8: an
exception or a time-out is final, running out of memory gets one retry alone on its device, a dead process gets the cell
retried and, the second time, quarantined, and a cell whose node is lost goes back to the queue.

Other drivers may work in the same run directory: what they finished is taken over, what they run is left to them.

    pytest tests/harness/test_scheduler.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.bundles import SHORT, Bundles
from harness.executors import Died, Event, Finished, NodeLost, OutOfMemory, Progress, Raised, device
from harness.losses import Losses
from harness.order import Node, Ready, link
from harness.pace import Pace
from harness.reservations import Reservations
from harness.tasks import FAILURES, Assignment, Policy, Row, Running, Task

__all__ = ["FAILURES", "Assignment", "Policy", "Row", "Running", "Scheduler", "Task"]


class Scheduler:
    """Drive it with `assign`, `on` and `expire`, and collect what ended with `drain`, until `done`.

    `attempts` holds the number of attempts that cells had before (numbers go on from there), `finished` the keys that
    are ok already: parents to build on, and tasks to leave out.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        policy: Policy | None = None,
        *,
        attempts: Mapping[str, int] | None = None,
        finished: Iterable[str] = (),
        now: float = 0.0,
    ) -> None:
        self.policy = policy or Policy()
        self.stopped: str | None = None
        self.shared = False  # other drivers are at work on the same cells: they are taken one at a time
        self._finished = set(finished)
        self._cells: dict[str, Node] = {}
        self._ready = Ready()
        self._alone = Reservations()  # of devices for cells that ran out of memory
        self._running: dict[str, Running] = {}
        self._bundles = Bundles()
        self._counts: Counter[str] = Counter()  # cells by status
        self._losses = Losses(self.policy.slot_losses)
        self._slots: Sequence[str] = ()  # those that were up at the last `assign`
        self._elsewhere: frozenset[str] = frozenset()  # keys of cells that another driver runs
        self._rows: list[Row] = []
        self._failures = 0
        self._open = 0
        self._pace = Pace()
        for task in (task for task in tasks if task.key not in self._finished):
            if task.key in self._cells:
                raise ValueError(f"cell {task.key} is given twice")
            needs = {key for key in (task.parent, *task.inputs) if key is not None and key not in self._finished}
            self._cells[task.key] = cell = Node(task, (attempts or {}).get(task.key, 0), needs)
            self._mark(cell, "pending")
            self._open += 1
            self._pace.queued += task.cost
        link(self._cells)
        for cell in list(self._cells.values()):
            if cell.status != "pending":
                continue
            if absent := cell.waiting - self._cells.keys():
                self._skip(cell, f"its parent {min(absent)[:12]} is neither done nor part of this run", now)
            elif not cell.waiting:
                self._enqueue(cell)

    # -- what the driver asks

    @property
    def done(self) -> bool:
        """Nothing runs and nothing more will be started."""
        return not self._running and (self._open == 0 or self.stopped is not None)

    @property
    def closed(self) -> set[str]:
        """Slots and nodes on which nothing more is started."""
        return self._losses.closed

    def running(self) -> list[Running]:
        return list(self._running.values())

    def on_slot(self, slot: str) -> Running | None:
        """What runs on a slot."""
        return self._running.get(slot)

    def counts(self) -> dict[str, int]:
        """Cells by status: the settled ones, `running`, `ready` and `pending` (waiting for a parent)."""
        return {status: count for status, count in self._counts.items() if count}

    def left(self, slots: int, now: float) -> float | None:
        """Expected seconds to the end, by what the finished cells took per unit of cost; None before the first."""
        return self._pace.left(self.running(), slots, now)

    def drain(self) -> list[Row]:
        """What ended since the last call, in order."""
        rows, self._rows = self._rows, []
        return rows

    def stop(self, reason: str) -> None:
        """Start nothing more."""
        self.stopped = self.stopped or reason

    # -- what happens

    def assign(self, slots: Sequence[str], now: float) -> list[Assignment]:
        """Fill idle slots; what is returned counts as started at `now`."""
        self._slots = slots
        if slots and not self._running and all(map(self._losses.closes, slots)):
            self.stop(f"all slots were closed, each lost {self.policy.slot_losses} different cells in a row")
        if self.stopped is not None:
            return []
        idle = [slot for slot in slots if slot not in self._running and not self._losses.closes(slot)]
        self._alone.hold({device(slot) for slot in idle + list(self._running)}, self._keys())
        started = []
        for slot in idle:
            if self._alone.holds(slot):
                key = self._alone.due(slot, self._running)
            else:
                key = self._next(slot, {other for other in slots if not self._losses.closes(other)})
            if key is not None:
                started.append(self._start(self._cells[key], slot, now))
                if not started[-1].alone:
                    started += self._bundle(slot, now)
        return started

    def on(self, event: Event, now: float) -> None:
        """Take an event of the executor's; events of attempts that are no longer running are ignored."""
        run = self._running.get(event.slot)
        if run is None or (run.task.key, run.attempt) != (event.key, event.attempt):
            return
        if isinstance(event, Progress):
            run.done, run.note = event.done, event.note
            return
        self._free(run, now, gone=isinstance(event, Died | NodeLost | OutOfMemory))
        if isinstance(event, Finished):
            self._losses.fine(run.slot)
            status = str(event.record["status"])
            self._settle(run, status, event.record.get("error"), now, record=event.record)
        elif isinstance(event, Raised):
            self._losses.fine(run.slot)
            status = "oom" if event.oom else "failed"
            self._settle(run, status, event.error, now, detail=event.traceback, disk_full=event.disk_full)
        elif isinstance(event, OutOfMemory):
            self._settle(run, "oom", event.reason, now)
        elif isinstance(event, Died | NodeLost):
            self._lose(run, event, now)

    def release(self, start: Assignment) -> None:
        """Take an assignment back that was not submitted: another driver has begun the cell."""
        cell = self._cells[start.task.key]
        del self._running[start.slot]
        self._elsewhere |= {start.task.key}
        cell.attempt -= 1
        if start.task.key in self._alone:
            self._mark(cell, "ready")
        else:
            self._enqueue(cell)
        self._pace.queued += cell.task.cost

    def expire(self, now: float) -> list[str]:
        """Give up attempts that did not end by themselves after their deadline; returns the slots to kill."""
        grace = self.policy.grace
        runs = self._running.values()
        late = [run for run in runs if run.limit is not None and now >= run.started + run.limit + grace]
        for run in late:
            self._free(run, now, gone=True)
            self._settle(run, "timeout", f"not done after {run.limit:g} s: its process was killed", now)
        return [run.slot for run in late]

    def elsewhere(self, ended: Mapping[str, str], running: Iterable[str]) -> None:
        """What other drivers of the run directory did: cells that they settled, by status, and those that they run.

        Settled ones are taken over without a row; running ones are started here last of all, should that driver die."""
        self._elsewhere = frozenset(running)
        for key, status in ended.items():
            cell = self._cells.get(key)
            if cell is not None and cell.status in ("pending", "ready") and key not in self._alone:
                self._pace.queued -= cell.task.cost
                self._end(cell, status, 0.0)

    # -- inside

    def _keys(self) -> Iterator[str]:
        return (run.task.key for run in self._running.values())

    def _next(self, slot: str, open_slots: set[str]) -> str | None:
        """The first ready cell for a slot. One that was lost goes elsewhere as long as there is an elsewhere."""

        def refused(cell: Node) -> bool:
            return cell.task.key in self._elsewhere or (slot in cell.lost_on and bool(open_slots - cell.lost_on))

        return self._ready.take(self._cells, refused)

    def _bundle(self, slot: str, now: float) -> list[Assignment]:
        """Short cells that wait behind the one which has just started on a slot; see harness/bundles.py."""
        if self.shared or self.policy.fail_fast or self.policy.max_failures is not None:
            return []  # whoever counts failures, or shares the cells with others, wants to say no to the next one
        expected = self._pace.expected(self._running[slot].task.cost)
        room = self._bundles.room(expected, len(self._ready), len(self._slots))
        behind: list[Assignment] = []
        while len(behind) < room and (key := self._next(slot, set(self._slots))) is not None:
            cell = self._cells[key]
            if (self._pace.expected(cell.task.cost) or 0.0) > SHORT:
                self._enqueue(cell)
                break
            behind.append(self._start(cell, slot, now))
        return behind

    def _start(self, cell: Node, slot: str, now: float) -> Assignment:
        cell.attempt += 1
        self._mark(cell, "running")
        self._pace.queued -= cell.task.cost
        limit = cell.task.timeout if cell.task.timeout is not None else self.policy.timeout
        run = Running(cell.task, slot, cell.attempt, now, limit)
        if slot in self._running:
            self._bundles.put(run)
        else:
            self._running[slot] = run
        return Assignment(slot, cell.task, cell.attempt, cell.task.key in self._alone)

    def _mark(self, cell: Node, status: str) -> None:
        self._counts[cell.status] -= bool(cell.status)
        self._counts[status] += 1
        cell.status = status

    def _free(self, run: Running, now: float, gone: bool) -> None:
        """The running cell of a slot has ended; `gone`: and its process with it."""
        del self._running[run.slot]
        for behind in self._bundles.lost(run.slot) if gone else ():
            cell = self._cells[behind.task.key]
            cell.attempt -= 1  # it never ran
            self._requeue(cell)
        if (follower := self._bundles.next(run.slot, now)) is not None:
            self._running[run.slot] = follower
        self._alone.remove(run.task.key)

    def _enqueue(self, cell: Node) -> None:
        self._mark(cell, "ready")
        self._ready.add(cell)

    def _requeue(self, cell: Node) -> None:
        self._pace.queued += cell.task.cost
        self._enqueue(cell)

    def _lose(self, run: Running, event: Died | NodeLost, now: float) -> None:
        cell = self._cells[run.task.key]
        cell.lost_on.add(run.slot)
        self._losses.lost(run.slot, run.task.key, self._slots)
        if isinstance(event, Died):
            cell.deaths += 1
            final, status = cell.deaths >= self.policy.deaths, "quarantined"
        else:
            cell.losses += 1
            final, status = cell.losses >= self.policy.losses, "lost"
        if final and status == "quarantined":
            self._losses.forgive(run.task.key)
        if not final:
            self._requeue(cell)
        self._settle(run, status if final else "lost", event.reason, now, final=final)

    def _settle(
        self, run: Running, status: str, error: str | None, now: float, final: bool = True, **more: Any
    ) -> None:
        cell = self._cells[run.task.key]
        if status == "oom" and cell.ooms < self.policy.oom_retries:
            cell.ooms += 1
            self._mark(cell, "ready")
            final = False
            self._pace.queued += cell.task.cost
            self._alone.add(run.task.key)
        self._rows.append(Row(run.task, run.attempt, status, error, run.started, now, final, **more))
        if not final:
            return
        if status == "ok":
            self._pace.ended(now - run.started, run.task.cost)
        self._end(cell, status, now)

    def _end(self, cell: Node, status: str, now: float) -> None:
        """A cell is settled, here or elsewhere: its children may run, or never will."""
        self._mark(cell, status)
        self._open -= 1
        if status == "ok":
            self._finished.add(cell.task.key)
            for child in map(self._cells.__getitem__, cell.children):
                child.waiting.discard(cell.task.key)
                if not child.waiting and child.status == "pending":
                    self._enqueue(child)
            return
        self._failures += status in FAILURES
        for child in map(self._cells.__getitem__, cell.children):
            self._skip(child, f"its parent ended {status}: {cell.task.label or cell.task.key[:12]}", now)
        limit = 1 if self.policy.fail_fast else self.policy.max_failures
        if limit is not None and self._failures >= limit:
            self.stop(f"stopped after {self._failures} failed cell{'s' * (self._failures > 1)}, as asked")

    def _skip(self, cell: Node, reason: str, now: float) -> None:
        """Give a cell and all that hang on it a row instead of a run: a hole in the table has no reason, a row has."""
        todo = [(cell, reason)]
        while todo:
            cell, reason = todo.pop()
            if cell.status != "pending":
                continue
            self._mark(cell, "skipped")
            cell.attempt += 1
            self._open -= 1
            self._pace.queued -= cell.task.cost
            self._rows.append(Row(cell.task, cell.attempt, "skipped", reason, now, now, True))
            why = f"its parent was skipped: {cell.task.label or cell.task.key[:12]}"
            todo += [(self._cells[key], why) for key in cell.children]
