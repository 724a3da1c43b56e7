"""What of a run directory nothing needs any more: found by `leftovers`, said before it is removed.

    mapbench clean runs/digits-mini --dry-run

A driver that was killed leaves temporary files, its heartbeat, and artefacts whose record was never written. Records
that cannot be read are as good as none: their cells run again. `stale` adds cells that a newer version has replaced.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from results import place, records
from results.errors import StoreError
from results.store import Store

ARTEFACTS = ("checkpoint", "predictions", "picture", "log")  # fields of a record that name a file
FOLDERS = ("checkpoints", "predictions", "pictures", "logs")


@dataclass(frozen=True)
class Leftover:
    """A file, relative to the run directory, its size in bytes, and what kind of leftover it is."""

    name: str
    size: int
    kind: str


def leftovers(store: Store, stale: bool = False) -> list[Leftover]:
    """What may go, by name. Raises StoreError where there is no run, or a driver is at work in it."""
    if not place.is_run(store.out):
        raise StoreError(f"{store.out} is not a run directory: it has neither a plan.json nor records")
    if drivers := store.other_drivers():
        where = f"{drivers[0].get('host')}, process {drivers[0].get('pid')}"
        raise StoreError(f"a driver is at work in {store.out} ({where}): clean when it has ended")
    files = place.sizes(store.out)  # before the records: what is written in between is named by none
    found = store.records()
    old = _stale(found) if stale else set()
    kept, gone = [r for r in found if r["key"] not in old], [r for r in found if r["key"] in old]
    named = {str(record[field]) for record in kept for field in ARTEFACTS if record.get(field)}
    kinds: dict[str, str] = {}
    for name in files:
        folder, _, file = name.rpartition("/")
        if file.startswith("."):
            kinds[name] = "temporary files"
        elif not folder and file.startswith("driver.") and file.endswith(".json"):
            kinds[name] = "heartbeats of dead drivers"
        elif folder in FOLDERS and name not in named and file != "ray.log":
            kinds[name] = f"{folder} that no record names"
    for damaged in store.damaged():
        kinds[f"records/{damaged.path.name[:2]}/{damaged.path.name}"] = "records that cannot be read"
    for record in gone:
        kinds[f"records/{record['key'][:2]}/{records.name(record)}"] = "records of stale cells"
        for name in (str(record[field]) for field in ARTEFACTS if record.get(field)):
            if name in files and name not in named:
                kinds[name] = f"{name.partition('/')[0]} of stale cells"
    return [Leftover(name, files.get(name, 0), kind) for name, kind in sorted(kinds.items())]


def remove(store: Store, found: list[Leftover]) -> None:
    """Remove leftovers, records first: a record must not name what is gone. The tables follow."""
    for item in sorted(found, key=lambda item: not item.kind.startswith("records")):
        place.remove(store.out / item.name)
    if any(item.kind.startswith("records") for item in found):
        store.write_tables(force=True)


def said(found: list[Leftover], dry: bool) -> str:
    """The list for people: a line per kind."""
    if not found:
        return "nothing to clean"
    counts, sizes = Counter(item.kind for item in found), Counter[str]()
    for item in found:
        sizes[item.kind] += item.size
    lines = [f"{counts[kind]:>7} {kind}, {sizes[kind] / 1e6:,.1f} MB" for kind in sorted(counts)]
    total = f"{len(found)} file{'s' * (len(found) != 1)}, {sum(sizes.values()) / 1e6:,.1f} MB"
    return "\n".join([*lines, f"{total} would be removed; nothing was" if dry else f"{total} removed"])


def _stale(found: list[dict[str, object]]) -> set[str]:
    chosen = records.winners(found)
    return chosen.keys() - records.current(chosen)
