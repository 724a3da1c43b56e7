"""In what else two sides of a comparison differ, so that a difference need not be theirs: each a line to print.

    mapbench compare runs/here runs/elsewhere

A side is the rows of `pairs` that are compared, and the cells of the run that they come from.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    Side = tuple[pd.DataFrame, pd.DataFrame]  # rows of pairs, cells

MADE_BY = ("torch", "device", "precision")
UNKNOWN = "not recorded"


def unlike(a: Side, b: Side, names: tuple[str, str]) -> list[str]:
    """What is to be said of two sides, which are called `names`; nothing where they are alike."""
    return [*_mixed(a, b, names), *_parents(a, b), *_same(a, b)]


def _mixed(a: Side, b: Side, names: tuple[str, str]) -> list[str]:
    """`mixed torch: 2.14.0 (runs/a), 2.15.0 (runs/b)`: of the models, and of the f_s that they are measured by."""
    sides, said = [_made_by(*side) for side in (a, b)], []
    for what in MADE_BY:
        values = [sorted(side[what]) for side in sides]
        if len({*values[0], *values[1]}) > 1:
            each = ", ".join(f"{' and '.join(of)} ({name})" for of, name in zip(values, names, strict=True))
            said.append(f"mixed {what}: {each}; a difference may come from that")
    return said


def _made_by(rows: pd.DataFrame, cells: pd.DataFrame) -> dict[str, set[str]]:
    mine = cells[cells["key"].isin({*rows["key"], *rows["parent"]})]
    precisions = {str(json.loads(spec).get("precision") or UNKNOWN) for spec in mine["spec"]}
    return {what: set(mine[what].fillna(UNKNOWN)) for what in ("torch", "device")} | {"precision": precisions}


def _parents(a: Side, b: Side) -> list[str]:
    """Where a (source, seed) has another f_s on the other side: in which fields of the spec."""
    (mine, specs), (theirs, specs_b) = (_f_s(*side) for side in (a, b))
    both = mine.keys() & theirs.keys()
    others = [place for place in both if mine[place] != theirs[place]]
    if not others:
        return []
    fields: set[str] = set()
    for place in others:
        one, other = specs.get(mine[place], {}), specs_b.get(theirs[place], {})
        fields |= {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    of = f"{len(others)} of {len(both)} train cells are not the same cell on both sides"
    return [f"{of} ({', '.join(sorted(fields))} differ): they are paired by source and seed alone"]


def _f_s(rows: pd.DataFrame, cells: pd.DataFrame) -> tuple[dict[tuple[str, int], str], dict[str, dict[str, object]]]:
    """Keys of the train cells by source and seed, and the specs by key."""
    keys = dict(zip(zip(rows["source"], rows["seed"], strict=True), rows["parent"], strict=True))
    mine = cells[cells["key"].isin(set(keys.values()))]
    return keys, {key: json.loads(spec) for key, spec in zip(mine["key"], mine["spec"], strict=True)}


def _same(a: Side, b: Side) -> list[str]:
    """Where both hold the very same attempt: copied or merged, it agrees with itself."""
    mine, theirs = (set(cells.loc[cells["key"].isin(set(rows["key"])), "uuid"]) for rows, cells in (a, b))
    shared = len(mine & theirs)
    return [f"{shared} of {len(mine)} cells are the same attempt on both sides, copied or merged"] if shared else []
