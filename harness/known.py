"""What a run directory knows of planned cells: the record that counts of each, and older versions of those not done.

    mapbench plan digits-mini

Records are read one at a time and a tenth of each is kept: ten thousand of them are 50 MB on disk, and five times that
in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from harness.cells import Cell
from results import records
from results.records import VERSION_FIELDS, meaning, slim
from results.store import Store


def winners(
    store: Store, keys: Iterable[str], other: Callable[[dict[str, Any]], None] = lambda record: None
) -> dict[str, dict[str, Any]]:
    """Of `keys`, what results.records.slim leaves of the record that counts; `other` is shown that of every other."""
    wanted = {key: key for key in keys}  # so that each key is in memory once
    found = {}
    for key, attempts in groupby(store.each(), itemgetter("key")):  # a file's name begins with the key
        winner = records.winners(attempts)[key]
        if key in wanted:
            found[wanted[key]] = slim(winner)
        else:
            other(winner)
    return found


class Versions:
    """The ok records of cells that are not planned, but mean what a planned cell means: older versions of it."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self.cells = cells
        self._done: list[tuple[float, str, dict[str, Any]]] = []  # finished, key, spec

    @cached_property
    def _meanings(self) -> set[str]:
        return {meaning(cell.spec) for cell in self.cells}

    def see(self, record: dict[str, Any]) -> None:
        """Keep what is needed of a record, if it is such a one."""
        if record["status"] == "ok" and meaning(record["spec"]) in self._meanings:
            self._done.append((record.get("finished") or 0.0, record["key"], record["spec"]))

    def stale(self, known: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
        """For each cell that is not `known`: the fields in which an ok record of the same meaning differs from it."""
        missing = {cell.key: meaning(cell.spec) for cell in self.cells if cell.key not in known}
        if not missing:
            return {}
        wanted, newest = set(missing.values()), dict[str, tuple[float, str, dict[str, Any]]]()
        planned = {cell.key: cell for cell in self.cells}
        # one at a time: a list of what is done would be as large as the plan
        done = ((r["finished"] or 0.0, key, planned[key].spec) for key, r in known.items() if r["status"] == "ok")
        for finished, key, spec in chain(done, self._done):
            means = meaning(spec)
            if means in wanted and (means not in newest or newest[means][:2] < (finished, key)):
                newest[means] = finished, key, spec
        return {
            key: [f for f in VERSION_FIELDS if newest[means][2].get(f) != planned[key].spec.get(f)]
            for key, means in missing.items()
            if means in newest
        }
