"""Cells that are handed to a slot several at a time, because to start each by itself would take longer than it does.

    PYTHONPATH=. .venv/bin/python tests/bench/overhead.py pool

The first runs, the others wait behind it on the same slot. Its process may die: then those behind go back to the queue.
"""

from __future__ import annotations

from collections import deque

from harness.tasks import Running

SHORT = 0.05  # seconds: a cell that is expected to take longer starts by itself. Chosen: starting one takes 2 to 4 ms
MOST = 32  # cells at once, so that the last ones of a grid do not all wait on one slot


class Bundles:
    """The cells behind the running one, by slot."""

    def __init__(self) -> None:
        self._behind: dict[str, deque[Running]] = {}

    @staticmethod
    def room(expected: float | None, ready: int, slots: int) -> int:
        """How many cells may wait behind one of `expected` seconds, where `ready` others are left for `slots` slots."""
        if expected is None or expected > SHORT:
            return 0
        return min(MOST, ready // (2 * max(slots, 1)))

    def put(self, run: Running) -> None:
        """Let it wait on its slot."""
        self._behind.setdefault(run.slot, deque()).append(run)

    def next(self, slot: str, now: float) -> Running | None:
        """The one whose turn it is; its clock starts now."""
        waiting = self._behind.get(slot)
        if not waiting:
            return None
        run = waiting.popleft()
        run.started = now
        return run

    def lost(self, slot: str) -> list[Running]:
        """All that waited on a slot whose process is gone."""
        return list(self._behind.pop(slot, ()))
