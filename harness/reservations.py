"""Devices held back for cells that ran out of memory: each is tried again alone on one.

    pytest tests/harness/test_scheduler.py

As long as a cell waits for a device nothing new starts there; when all that ran there has ended, the cell begins.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.executors import device


class Reservations:
    """Which cell has, or waits for, which device."""

    def __init__(self) -> None:
        self._cells: list[str] = []  # first come, first served
        self._held: dict[str, str] = {}  # device -> its cell

    def __contains__(self, key: object) -> bool:
        return key in self._cells

    def add(self, key: str) -> None:
        """A cell is to run alone."""
        self._cells.append(key)

    def remove(self, key: str) -> None:
        """It has ended, in whatever way; its device is free. Nothing happens for a cell that is not to run alone."""
        if key in self._cells:
            self._cells.remove(key)
            self._held = {place: held for place, held in self._held.items() if held != key}

    def hold(self, devices: set[str], running: Iterable[str]) -> None:
        """Give each waiting cell one of `devices`, those that have slots; a device that is gone is given up, unless its
        cell is among the `running`."""
        active = set(running)
        for place, key in list(self._held.items()):
            if key not in active and place not in devices:
                del self._held[place]
        for key in self._cells:
            free = sorted(devices - self._held.keys())
            if key not in self._held.values() and free:
                self._held[free[0]] = key

    def holds(self, slot: str) -> bool:
        """Whether a slot's device is held back."""
        return device(slot) in self._held

    def due(self, slot: str, busy: Iterable[str]) -> str | None:
        """The cell that may begin on a slot of a held device: once none of the `busy` slots is there any more."""
        place = device(slot)
        return self._held[place] if all(device(other) != place for other in busy) else None
