"""How long cells take, by what those took that have ended: for the time left, and to know the short ones.

pytest tests/harness/test_scheduler.py
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.tasks import Running

SETTLED = 20  # cells that must have ended ok before what another will take is believed


class Pace:
    """Seconds per unit of cost, and the cost of what waits."""

    def __init__(self) -> None:
        self.queued = 0.0  # cost of the cells that have not begun
        self._seconds = self._cost = 0.0
        self._cells = 0

    def ended(self, seconds: float, cost: float) -> None:
        """A cell ended ok."""
        self._seconds += seconds
        self._cost += cost
        self._cells += 1

    def expected(self, cost: float) -> float | None:
        """Seconds that a cell will take; None as long as that is a guess."""
        return cost * self._seconds / self._cost if self._cells >= SETTLED and self._cost else None

    def left(self, running: Sequence[Running], slots: int, now: float) -> float | None:
        """Expected seconds to the end; None before the first cell has ended."""
        if not self._cost:
            return None
        scale = self._seconds / self._cost
        rests = [max(run.task.cost * scale - (now - run.started), 0.0) for run in running]
        return max([(self.queued * scale + sum(rests)) / max(slots, 1), *rests])
