"""The Parquet tables of a run directory: built from the records, rewritten whole, rebuilt where damaged (design 7).

    python -m results.tables runs/digits-mini      writes them anew
    python -c "import pandas; print(pandas.read_parquet('runs/digits-mini/tables/pairs.parquet'))"

cells      one row per key: its winning record (the first ok one, else the last attempt)
attempts   one row per record
accuracy   one row per ok cell, domain and part
pairs      one row per ok protect cell (with an ok parent) and other domain: before and after, joined
attacks    one row per ok attack cell: its target before protection, after it, and after the attack, joined
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from results import child, place, records, rows
from results.errors import StoreError
from results.store import Store

SCHEMA_VERSION = 4
_WORD, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_WORDS = pa.list_(pa.string())

_CELL: list[tuple[str, pa.DataType]] = [
    ("key", _WORD), ("kind", _WORD), ("parent", _WORD), ("inputs", _WORDS), ("spec", _WORD),
    ("suite", _WORD), ("suite_version", _INT), ("split_seed", _INT), ("score", _WORD), ("classes", _INT),
    ("domains", _WORDS), ("backbone", _WORD), ("method", _WORD), ("variant", _WORD), ("method_version", _INT),
    ("fidelity", _WORD), ("control", _BOOL), ("tuned", _BOOL), ("start", _WORD), ("params", _WORD),
    ("scenario", _WORD), ("source", _WORD), ("targets", _WORDS), ("seed", _INT),
    ("status", _WORD), ("flags", _WORDS), ("error", _WORD), ("attempt", _INT), ("uuid", _WORD),
    ("started", _FLOAT), ("finished", _FLOAT), ("seconds", _FLOAT), ("peak_memory_mb", _FLOAT),
    ("device", _WORD), ("torch", _WORD), ("git_commit", _WORD), ("git_dirty", _BOOL), ("host", _WORD),
    ("method_sha256", _WORD), ("checkpoint", _WORD), ("predictions", _WORD), ("log", _WORD),
    ("quality", _WORD), ("picture", _WORD),  # of synth cells: JSON, and a file
    ("attack", _WORD), ("n", _INT), ("target", _WORD),  # of attack cells; all else is the attacked model's
]  # fmt: skip
_ACCURACY: list[tuple[str, pa.DataType]] = [
    ("key", _WORD), ("domain", _WORD), ("part", _WORD), ("correct", _INT), ("total", _INT),
    ("balanced", _FLOAT), ("matched", _FLOAT), ("decoded", _FLOAT), ("confusion", pa.list_(pa.list_(_INT))),
]  # fmt: skip
_PAIRS: list[tuple[str, pa.DataType]] = [
    ("key", _WORD), ("parent", _WORD), ("suite", _WORD), ("split_seed", _INT), ("score", _WORD), ("classes", _INT),
    ("backbone", _WORD), ("method", _WORD), ("variant", _WORD), ("fidelity", _WORD), ("control", _BOOL),
    ("tuned", _BOOL), ("start", _WORD), ("scenario", _WORD), ("source", _WORD), ("target", _WORD),
    ("role", _WORD),  # target | bystander
    ("eligible", _BOOL),  # null where the suite file does not speak of the pair
    ("twin", _BOOL), ("seed", _INT), ("current", _BOOL),
    ("source_before", _FLOAT), ("source_after", _FLOAT), ("target_before", _FLOAT), ("target_after", _FLOAT),
    ("source_drop", _FLOAT), ("target_drop", _FLOAT), ("st_d", _FLOAT), ("target_removed", _FLOAT),
    ("source_before_balanced", _FLOAT), ("source_after_balanced", _FLOAT),
    ("target_before_balanced", _FLOAT), ("target_after_balanced", _FLOAT),
    ("target_matched_before", _FLOAT), ("target_matched", _FLOAT),
    ("target_decoded_before", _FLOAT), ("target_decoded", _FLOAT),
    # of f_s on the val part, class-balanced: which pairs are eligible; null where the suite file has the list
    ("target_before_val", _FLOAT),
]  # fmt: skip
# All accuracies are class-balanced. Null: there is no such cell, or the attack looks at no model.
_ATTACKS: list[tuple[str, pa.DataType]] = [
    *_PAIRS[: next(i for i, (name, _) in enumerate(_PAIRS) if name == "role")],
    ("eligible", _BOOL), ("twin", _BOOL), ("seed", _INT), ("current", _BOOL), ("attack", _WORD), ("n", _INT),
    ("target_before_balanced", _FLOAT), ("target_after_balanced", _FLOAT),  # of f_s and of the model, not attacked
    ("target_attacked_before", _FLOAT), ("target_attacked", _FLOAT),  # of f_s and of the model, under this attack
    ("target_scratch", _FLOAT),  # of a net that was trained on the same n images and nothing else
    ("target_removed", _FLOAT),  # against this attacker
    ("source_before_balanced", _FLOAT), ("source_after_balanced", _FLOAT), ("source_attacked", _FLOAT),
]  # fmt: skip


def _schema(columns: list[tuple[str, pa.DataType]]) -> pa.Schema:
    return pa.schema(columns, metadata={"mapbench.schema_version": str(SCHEMA_VERSION)})


SCHEMAS: dict[str, pa.Schema] = {
    "cells": _schema([*_CELL, ("current", _BOOL)]),  # current: not superseded by a newer version of the same cell
    "attempts": _schema([*_CELL, ("winner", _BOOL)]),  # winner: the record that stands for its key in `cells`
    "accuracy": _schema(_ACCURACY),
    "pairs": _schema(_PAIRS),
    "attacks": _schema(_ATTACKS),
}


def build(all_records: Sequence[dict[str, Any]], plan: Mapping[str, Any] | None) -> dict[str, pa.Table]:
    """The five tables, by name, from readable records and plan.json's content (for `eligible` and `twins`)."""
    found = rows.of(all_records, plan)
    return {name: pa.Table.from_pylist(found[name], schema) for name, schema in SCHEMAS.items()}


def stamped(all_records: Sequence[dict[str, Any]], plan: Mapping[str, Any] | None, covers: int) -> dict[str, pa.Table]:
    """`build`, with what a table's file says of itself. `covers`: the number of record files that lie beside it,
    damaged ones included; while that is their number, `read` takes the file for what they say."""
    stamp = {
        "mapbench.schema_version": str(SCHEMA_VERSION),
        "mapbench.writer": f"mapbench {version()}",
        "mapbench.covers": _covers(covers, plan),
    }
    return {name: table.replace_schema_metadata(stamp) for name, table in build(all_records, plan).items()}


def encoded(table: pa.Table) -> bytes:
    """The content of a table's file: the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def decoded(content: bytes) -> pa.Table:
    """The table of a file's content. OSError or ArrowException where it is none."""
    # by this thread alone: a process that ends while Arrow's threads begin is aborted, two times of 25 as measured
    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)


def write(
    out: Path, all_records: Sequence[dict[str, Any]], plan: Mapping[str, Any] | None, covers: int
) -> dict[str, pa.Table]:
    """Build and rewrite `out`/tables/*.parquet whole. `covers`: the number of record files, damaged ones included."""
    built = stamped(all_records, plan, covers)
    for name, table in built.items():
        # In memory first: a disk that fills up half-way leaves the old file, not half of the new one.
        records.atomic_write(_path(out, name), encoded(table))
    return built


def rewrite(store: Store) -> int:
    """Build the tables from all records and rewrite them; returns the number of records."""
    found = store.records()
    write(store.out, found, store.plan(), len(found) + len(store.damaged()))
    return len(found)


def refresh(store: Store) -> None:
    """Rewrite the tables, unless all five are whole and say what the records say."""
    covers = _covers(records.count(store.out), store.plan())
    if any(_held(store.out, name, covers) is None for name in SCHEMAS):
        rewrite(store)


def read(out: str | Path, name: str) -> pa.Table:
    """One table of a run directory. Where it is absent, damaged, of another schema, or behind the records, all five
    are rebuilt from the records (and written, where that is possible: never in what was published, whose manifest
    knows every file). Raises StoreError where `out` holds no run, or was published and has no records to rebuild from.
    """
    return several(out, name)[0][0]


def several(out: str | Path, *names: str) -> tuple[list[pa.Table], dict[str, Any] | None]:
    """Tables as `read` gives them, and the content of plan.json (None where there is none), all of one moment: to read
    a plan of 35,000 cells takes longer than to read their tables."""
    store = Store(out)
    out = store.out
    if not place.is_run(out):
        raise StoreError(f"{out} is not a run directory: it has neither a plan.json nor records")
    plan = store.plan()
    covers = _covers(records.count(out), plan)
    held = {name: _held(out, name, covers) for name in names}
    whole = [table for table in held.values() if table is not None]
    if len(whole) == len(names):
        return whole, plan
    found = store.records()
    published = place.is_publication(out)
    if published and not found:
        raise StoreError(
            f"{out} was published without its records, and its table "
            f"{next(name for name in names if held[name] is None)} is damaged or of another version"
        )
    built = None
    if not published:
        with contextlib.suppress(StoreError):  # somebody else's directory: reading it is still fine
            built = write(out, found, plan, len(found) + len(store.damaged()))
    built = built or build(found, plan)
    return [built[name] for name in names], plan


def _held(out: Path, name: str, covers: str) -> pa.Table | None:
    """One table as it was written, where it is whole, of this schema, and made from what `covers` says."""
    try:
        table = decoded(place.get(_path(out, name)))
    except (OSError, pa.ArrowException):
        return None
    made_from = (table.schema.metadata or {}).get(b"mapbench.covers", b"").decode()
    return table if made_from == covers and table.schema.equals(SCHEMAS[name]) else None


def _path(out: Path, name: str) -> Path:
    return out / "tables" / f"{name}.parquet"


def _covers(files: int, plan: Mapping[str, Any] | None) -> str:
    """What a table was made from. Records are never changed, so their number says whether there are new ones; of the
    plan, the suites are what tables know."""
    suites = json.dumps((plan or {}).get("suites") or {}, sort_keys=True)
    return f"{SCHEMA_VERSION} {files} {hashlib.sha256(suites.encode()).hexdigest()[:16]}"


def version() -> str:
    """mapbench's own."""
    try:
        return metadata.version("mapbench")
    except metadata.PackageNotFoundError:
        return "unknown"


def main(arguments: list[str] | None = None) -> int:
    """Rewrites the tables of a run directory; prints one line, exit code 1 where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m results.tables", description="Rewrite a run directory's tables.")
    parser.add_argument("directory")
    parser.add_argument(child.CHILD, action="store_true", help="end when stdin does")
    given = parser.parse_args(arguments)
    if given.child:
        child.end_with_parent()
    begun = time.monotonic()
    try:
        found = rewrite(Store(given.directory))
    except StoreError as error:
        print(error, flush=True)
        return 1
    print(f"{given.directory}/tables: {found} records, {time.monotonic() - begun:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
