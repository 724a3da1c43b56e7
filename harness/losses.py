"""Which slots and nodes are closed, because they lose what runs on them: the cell is not always to blame.

pytest tests/harness/test_scheduler.py
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.executors import node


class Losses:
    """A slot is closed after `limit` different cells in a row died on it; a node after as many over all its slots, as
    long as there is another to go to. One cell that ends in any other way clears both."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.closed: set[str] = set()  # names of slots and of nodes
        self._lost: dict[str, list[str]] = {}  # slot or node -> the cells lost on it since it last finished one

    def lost(self, slot: str, key: str, slots: Iterable[str]) -> None:
        """Cell `key` died on `slot`; `slots` are those that are up."""
        for place in (slot, node(slot)):
            keys = self._lost.setdefault(place, [])
            if key not in keys:
                keys.append(key)
            elsewhere = place == slot or any(node(other) != place and not self.closes(other) for other in slots)
            if len(keys) >= self.limit and elsewhere:
                self.closed.add(place)

    def fine(self, slot: str) -> None:
        """A cell on `slot` ended without taking its process along."""
        for place in (slot, node(slot)):
            self._lost.pop(place, None)

    def forgive(self, key: str) -> None:
        """A cell that kills any process: no place is to blame for it."""
        for keys in self._lost.values():
            keys[:] = [other for other in keys if other != key]

    def closes(self, slot: str) -> bool:
        """Whether nothing more may start on a slot."""
        return slot in self.closed or node(slot) in self.closed
