"""plan.json: what the tables and the board of a run directory expect to see.

python -m json.tool runs/demo/plan.json
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from harness.cells import Cell
from harness.grid import Grid
from harness.plan import Plan
from results import place, records
from results.store import Store


def as_json(grid: Grid, cells: Iterable[Cell], command: str | None) -> dict[str, Any]:
    """plan.json: what the tables and the board expect to see."""
    return {
        "schema": 1, "grid": grid.name, "command": command, "written": time.time(), "suites": grid.suites,
        "cells": [_expected(cell) for cell in cells],
    }  # fmt: skip


def _expected(cell: Cell) -> dict[str, Any]:
    return {"key": cell.key, "split_seed": cell.spec["split_seed"], **cell.meta}


def note(store: Store, grid: Grid, made: Plan, command: str | None) -> None:
    """Puts plan.json down, unless the one that is there says the same: what was made with it then still stands.

    Cells whose data is not there have no keys: of their suites stays what an earlier plan.json said, so that what is
    done of them stays on the board. Piece by piece: as dicts, the cells would be the most that a driver ever holds."""
    said = as_json(grid, (), command)
    earlier = (store.plan() or {}).get("cells", ()) if made.absent else ()
    kept = [cell for cell in earlier if (cell["suite"], cell["split_seed"]) in made.absent]

    def pieces() -> Iterator[bytes]:
        yield records.dump(said).removesuffix(b"]}\n")
        known = (_expected(cell) for cell in made.cells if not made.without_data(cell))
        for number, cell in enumerate(itertools.chain(known, kept)):
            yield b"," * bool(number) + records.dump(cell).rstrip()
        yield b"]}\n"

    with contextlib.suppress(OSError), _held(store) as held:
        if before := re.search(rb'"written":([0-9.]+)', held.read(65536)):  # in a command its quotes would be escaped
            now, said["written"] = said["written"], float(before[1])
            held.seek(0)
            if all(held.read(len(piece)) == piece for piece in pieces()) and not held.read(1):
                return
            said["written"] = now
    records.atomic_write(store.plan_path, pieces())


def _held(store: Store) -> BinaryIO:
    """plan.json as it is, to read."""
    return store.plan_path.open("rb") if place.is_local(store.out) else io.BytesIO(place.get(store.plan_path))
