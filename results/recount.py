"""A publication's numbers computed once more: keys from specs, drops from accuracies, coverage and board from tables.

    mapbench verify runs/demo-published

The code is that which wrote them (results/rows.py, results/stats.py), given nothing but what is published.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from results import leaderboard, manifest, metrics, place, public, records, rows, tables
from results.differing import KEY, Problem, compared, defined, same, short
from results.keys import key_of
from results.leaderboard import Board, text
from results.manifest import Manifest
from results.stats import ROW

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = {
    "cells": ["key"], "attempts": ["key", "attempt", "uuid"], "accuracy": ["key", "domain", "part"],
    "pairs": ["key", "target"], "attacks": ["key"],
}  # fmt: skip
# what a spec and a cell's columns both say
TOLD = ("kind", "suite", "source", "targets", "seed", "score", "classes", "parent", "inputs", "method")
SHARES = ("balanced", "matched", "decoded")
OF_THE_PARENT = {"pairs": ("before", "drop", "st_d", "removed"), "attacks": ("before", "after", "removed")}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Evidence:
    """What a publication holds. `records`: all of them, or None where it came without."""

    claims: Manifest
    plan: dict[str, Any]
    tables: dict[str, pa.Table]
    records: Rows | None
    forms: dict[str, bytes]  # board.json and board.csv, as far as they are there

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """Each table's rows."""
        return {name: table.to_pylist() for name, table in self.tables.items()}

    @cached_property
    def board(self) -> Board:
        """The board of these tables."""
        cells, pairs, attacks = (self.tables[name].to_pandas() for name in ("cells", "pairs", "attacks"))
        return leaderboard.assemble(cells, pairs, attacks, self.plan, self.claims.score, "the publication")


def recount(e: Evidence) -> Iterator[Problem]:
    """Everything that does not agree. Whatever the tables hold, nothing is raised."""
    checks: dict[Callable[[Evidence], Iterator[Problem]], str] = {
        _keys: file("cells"), _attempts: file("attempts"), _accuracy: file("accuracy"), _joined: "tables",
        _covered: "plan.json", _board: "board.json", _csv: "board.csv",
    }  # fmt: skip
    for check, where in checks.items():
        try:
            yield from check(e)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            said = " ".join(str(error).split())
            yield Problem(where, f"what it holds does not fit together: {type(error).__name__}: {said}")


def file(table: str) -> str:
    """A table's file, by its name in the publication."""
    return f"tables/{table}.parquet"


def _keys(e: Evidence) -> Iterator[Problem]:
    """Keys are those of their specs, and no column says what only the machine should know."""
    where = file("cells")
    for row in e.rows["cells"]:
        key = str(row["key"])
        if not KEY.fullmatch(key):
            yield Problem(where, f"{key!r} is no key: 64 hex digits")
            continue
        try:
            spec = json.loads(row["spec"])
            right = key_of(spec)
        except (ValueError, TypeError) as error:
            yield Problem(where, f"{short(key)}: its spec cannot be read ({error})")
            continue
        if right != key:
            yield Problem(where, f"{short(key)}: the key of its spec is {short(right)}")
        for name in TOLD:
            if name in spec and (spec[name] or None) != (row[name] or None):
                yield Problem(where, f"{short(key)}: {name} is {row[name]!r}, in its spec {spec[name]!r}")
    for table in ("cells", "attempts"):
        for name in (name.rpartition(".")[2] for name in public.EMPTIED):
            if any(row[name] is not None for row in e.rows[table]):
                yield Problem(file(table), f"column {name} is not empty: nothing of a machine is to be published")


def _attempts(e: Evidence) -> Iterator[Problem]:
    """The attempts that are said to stand for their keys are the rows of the cells table."""
    won = [row for row in e.rows["attempts"] if row["winner"]]
    names = [name for name in tables.SCHEMAS["cells"].names if name != "current"]
    yield from compared(file("attempts"), won, e.rows["cells"], ["key"], names)


def _accuracy(e: Evidence) -> Iterator[Problem]:
    """Accuracies are of cells that are ok, and possible."""
    where, cells = file("accuracy"), {row["key"]: row for row in e.rows["cells"]}
    scored: set[tuple[str, str, str]] = set()
    for row in e.rows["accuracy"]:
        key, domain, part = (row[name] for name in IDENTITY["accuracy"])
        who, cell = f"{short(key)} {domain} {part}", cells.get(key)
        if (key, domain, part) in scored:
            yield Problem(where, f"{who} stands there twice")
        scored.add((key, domain, part))
        if cell is None or cell["status"] != "ok":
            yield Problem(where, f"{who}: there is no such cell that is ok")
        elif domain not in cell["domains"] or part not in ("test", "val"):
            yield Problem(where, f"{who}: the cell has no such domain or part")
        yield from (Problem(where, f"{who}: {what}") for what in _impossible(row))
    with_rows = {key for key, _, _ in scored}
    for key, cell in cells.items():
        if cell["status"] == "ok" and cell["kind"] != "synth" and key not in with_rows:
            yield Problem(where, f"{short(key)} is ok and has no accuracy")


def _impossible(row: Mapping[str, Any]) -> Iterator[str]:
    """What of one accuracy row cannot be."""
    correct, total, confusion = row["correct"], row["total"], row["confusion"]
    if correct is None or total is None or not 0 <= correct <= total:
        yield f"{correct} of {total} images are right"
    for name in SHARES:
        if defined(row[name]) and not 0 <= row[name] <= 1:
            yield f"{name} is {row[name]}, which is no share"
    if confusion is None:  # of what was imported
        return
    right = sum(line[true] for true, line in enumerate(confusion) if true < len(line))
    if (right, sum(map(sum, confusion))) != (correct, total):
        yield f"its confusion matrix is not of {correct} right of {total}"
    elif total and not same(row["balanced"], balanced := metrics.balanced(confusion)):
        yield f"balanced is {row['balanced']}, by its confusion matrix {balanced}"


def _joined(e: Evidence) -> Iterator[Problem]:
    """Drops and the like, joined anew: from the records where they are there, else from cells and accuracies."""
    if e.records is not None:
        again = rows.of(e.records, e.plan)
        for name, identity in IDENTITY.items():
            yield from compared(file(name), e.rows[name], again[name], identity, tables.SCHEMAS[name].names)
        right = records.winners(e.records)
        for cell in e.claims.cells:
            if cell.key in right and cell.record != hashlib.sha256(records.dump(right[cell.key])).hexdigest():
                yield Problem(place.MANIFEST, f"{short(cell.key)}: its record has another sha256")
        return
    scored: dict[str, Rows] = {}
    for row in e.rows["accuracy"]:
        scored.setdefault(row["key"], []).append(row)
    again = rows.of([_record(row, scored.get(row["key"], [])) for row in e.rows["cells"]], e.plan)
    yield from compared(file("cells"), e.rows["cells"], again["cells"], ["key"], ["current"])
    other = set(e.claims.other_parents)
    for name, words in OF_THE_PARENT.items():
        columns, identity = tables.SCHEMAS[name].names, IDENTITY[name]
        own = [column for column in columns if not any(word in column for word in words)]
        made = (row for row in e.rows[name] if {row["key"], row["parent"]} & other)
        known = {tuple(row[column] for column in identity): own for row in made}
        yield from compared(file(name), e.rows[name], again[name], identity, columns, known)


def _record(row: Mapping[str, Any], accuracy: Rows) -> dict[str, Any]:
    """A row of the cells table as a record, as far as joins look at one."""
    known = {name: row[name] for name in ("key", "attempt", "uuid", "status", "finished", "flags", "error")}
    lists = {name: row[name] or [] for name in ("domains", "targets", "inputs")}
    cell = {**row, **lists, "params": json.loads(row["params"])}
    return {**known, "spec": json.loads(row["spec"]), "cell": cell, "accuracy": accuracy}


def _covered(e: Evidence) -> Iterator[Problem]:
    """What the manifest says of cells and coverage, against plan.json and the cells table."""
    right = manifest.listed(e.rows["cells"], e.plan["cells"], {})
    kinds, variants = manifest.coverage(right, e.rows["cells"], e.plan["cells"])
    covered = ("done", "expected", "other")
    claims: list[tuple[str, Sequence[BaseModel], Sequence[BaseModel], list[str], tuple[str, ...]]] = [
        ("cells", e.claims.cells, right, ["key"], ("kind", "status", "planned", "current", "imported")),
        ("kinds", e.claims.kinds, kinds, ["kind"], covered),
        ("variants", e.claims.variants, variants, ROW, covered),
        ("code", e.claims.code, manifest.code(e.rows["cells"]), ["commit", "modified"], ("cells",)),
        ("data", e.claims.data, manifest.data(e.rows["cells"]), ["suite", "split_seed"], ("version", "domains")),
    ]
    for name, said, found, identity, columns in claims:
        mine, theirs = ([one.model_dump() for one in some] for some in (said, found))
        for problem in compared(place.MANIFEST, mine, theirs, identity, columns):
            yield Problem(problem.where, f"{name}: {problem.what}")
    for cell in e.claims.cells:
        if (cell.record is None) != (cell.status == manifest.MISSING):
            yield Problem(place.MANIFEST, f"cells: {short(cell.key)} is {cell.status}, and its record {cell.record}")
    newest = max((float(row["finished"] or 0.0) for row in e.rows["attempts"]), default=0.0)
    plain = {"grid": str(e.plan.get("grid")), "command": e.plan.get("command"), "score": manifest.scored(e.plan)}
    for name, value in {**plain, "created": manifest.date(newest), "tables": tables.SCHEMA_VERSION}.items():
        if getattr(e.claims, name) != value:
            yield Problem(place.MANIFEST, f"{name} is {getattr(e.claims, name)}, by the rest {value}")


def _board(e: Evidence) -> Iterator[Problem]:
    """board.json is the board of the tables."""
    if "board.json" not in e.forms:
        return
    given, right = json.loads(e.forms["board.json"]), json.loads(text.to_json(e.board))
    for name, identity in (("rows", ROW), ("attacks", [*ROW, "attack", "n"])):
        for problem in compared("board.json", given[name], right[name], identity):
            yield Problem(problem.where, f"{name}: {problem.what}")
    for name in ("failed", "missing"):
        if len(given[name]) != len(right[name]):
            yield Problem("board.json", f"{len(given[name])} cells are {name}, by the tables {len(right[name])}")


def _csv(e: Evidence) -> Iterator[Problem]:
    """board.csv is, too."""
    if "board.csv" in e.forms:
        given, right = (
            [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(content))]
            for content in (e.forms["board.csv"].decode(), text.to_csv(e.board))
        )
        yield from compared("board.csv", given, right, ROW)


def _number(value: Any) -> Any:
    try:
        return float(value) if value != "" else None
    except (ValueError, TypeError):
        return value
