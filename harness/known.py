"""What a run directory knows of planned cells: the record that counts of each, and older versions of those not done.

    mapbench plan digits-mini

Records are read one at a time and a tenth of each is kept: ten thousand of them are 50 MB on disk, and five times that
in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from harness.cells import Cell
from results import records
from results.records import VERSION_FIELDS, meaning, slim
from results.store import Store


def each(store: Store) -> Iterator[dict[str, Any]]:
    """Every readable record, in the order of their names."""
    for path in records.files(store.out).values():
        record = records.read(path)
        if not isinstance(record, records.Damaged):
            yield record


def winners(
    store: Store, keys: Iterable[str], other: Callable[[dict[str, Any]], None] = lambda record: None
) -> dict[str, dict[str, Any]]:
    """Of `keys`, what results.records.slim leaves of the record that counts; `other` is shown each other record."""
    wanted = {key: key for key in keys}  # so that each key is in memory once

    def slims() -> Iterator[dict[str, Any]]:
        for record in each(store):
            if key := wanted.get(record["key"]):
                yield {**slim(record), "key": key}
            else:
                other(record)

    return records.winners(slims())


class Versions:
    """The ok records of cells that are not planned, but mean what a planned cell means: older versions of it."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self.cells = cells
        self.done: dict[str, dict[str, Any]] = {}  # key -> what is slim of the record, and its spec

    @cached_property
    def _meanings(self) -> set[str]:
        return {meaning(cell.spec) for cell in self.cells}

    def see(self, record: dict[str, Any]) -> None:
        """Keep a record, if it is such a one."""
        if record["status"] == "ok" and meaning(record["spec"]) in self._meanings:
            before = self.done.get(record["key"])
            both = filter(None, (before, {**slim(record), "spec": record["spec"]}))
            self.done |= records.winners(both)

    def stale(self, known: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
        """For each cell that is not `known`: the fields in which an ok record of the same meaning differs from it."""
        missing = {cell.key: meaning(cell.spec) for cell in self.cells if cell.key not in known}
        if not missing:
            return {}
        wanted, newest = set(missing.values()), {}
        planned = {cell.key: cell for cell in self.cells}
        done = [record for record in (*known.values(), *self.done.values()) if record["status"] == "ok"]
        for record in sorted(done, key=lambda r: (r["finished"] or 0.0, r["key"])):
            spec = record["spec"] if "spec" in record else planned[record["key"]].spec
            if (means := meaning(spec)) in wanted:
                newest[means] = spec
        return {
            key: [f for f in VERSION_FIELDS if newest[means].get(f) != planned[key].spec.get(f)]
            for key, means in missing.items()
            if means in newest
        }
