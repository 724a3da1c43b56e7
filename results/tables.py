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
import hashlib
import io
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from results import child, metrics, place, records
from results import pairs as asked_for
from results.errors import StoreError
from results.store import Store

SCHEMA_VERSION = 3
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
_ENVIRONMENT = ("device", "torch", "git_commit", "git_dirty", "host", "method_sha256")  # from the record's environment
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

Parent = Callable[[Mapping[str, Any]], dict[str, Any] | None]  # the record that another was made from


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
    chosen = records.winners(all_records)
    current = records.current(chosen)
    by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in all_records:
        by_key[record["key"]].append(record)
    parent = partial(records.parent_of, by_key=by_key, chosen=chosen)
    suites = (plan or {}).get("suites") or {}
    rows: dict[str, list[dict[str, Any]]] = {
        "cells": [{**_cell(record), "current": key in current} for key, record in chosen.items()],
        "attempts": [{**_cell(record), "winner": chosen[record["key"]] is record} for record in all_records],
        "accuracy": [{"key": key, **row} for key, r in chosen.items() if r["status"] == "ok" for row in r["accuracy"]],
        "pairs": list(_pairs(chosen, parent, current, suites)),
        "attacks": list(_attacks(chosen, parent, current, suites)),
    }
    return {name: pa.Table.from_pylist(rows[name], schema) for name, schema in SCHEMAS.items()}


def _cell(record: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `cells` or `attempts`; what the schema lacks falls away."""
    cell, environment = record["cell"], record.get("environment") or {}
    return {
        **record,
        **cell,
        "split_seed": record["spec"].get("split_seed", 0),
        "spec": json.dumps(record["spec"], sort_keys=True),
        "params": json.dumps(cell.get("params") or {}, sort_keys=True),
        "quality": json.dumps(record.get("quality") or {}, sort_keys=True),
        **{name: environment.get(name) for name in _ENVIRONMENT},
    }


def _pairs(
    chosen: Mapping[str, dict[str, Any]],
    parent: Parent,
    current: set[str],
    suites: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    for key, record in chosen.items():
        if record["cell"]["kind"] == "protect" and record["status"] == "ok" and (f_s := parent(record)) is not None:
            yield from _pairs_of(record, f_s, key in current, suites.get(record["cell"]["suite"]) or {})


def _pairs_of(
    record: Mapping[str, Any], parent: Mapping[str, Any], current: bool, suite: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows of one protect cell: each other domain that both it and its parent were scored on."""
    cell = record["cell"]
    source = cell["source"]
    before, after = _scores(parent, cell["score"]), _scores(record, cell["score"])
    if source not in before or source not in after:
        return
    asked = asked_for.targets(cell)
    source_drop = metrics.source_drop(_top1(before[source]), _top1(after[source]))
    for target, b in after.items():
        if target == source or target not in before:
            continue
        a = before[target]
        target_drop = metrics.target_drop(_top1(a), _top1(b))
        yield {
            **cell,
            "key": record["key"],
            "parent": parent["key"],
            "split_seed": record["spec"].get("split_seed", 0),
            "target": target,
            "role": "target" if target in asked else "bystander",
            **_marks(suite, source, target),
            "current": current,
            "source_before": _top1(before[source]),
            "source_after": _top1(after[source]),
            "target_before": _top1(a),
            "target_after": _top1(b),
            "source_drop": source_drop,
            "target_drop": target_drop,
            "st_d": metrics.st_d(source_drop, target_drop),
            "target_removed": metrics.target_removed(a["balanced"], b["balanced"], cell["classes"]),
            "source_before_balanced": before[source]["balanced"],
            "source_after_balanced": after[source]["balanced"],
            "target_before_balanced": a["balanced"],
            "target_after_balanced": b["balanced"],
            "target_matched_before": a["matched"],
            "target_matched": b["matched"],
            "target_decoded_before": a["decoded"],
            "target_decoded": b["decoded"],
        }


def _marks(suite: Mapping[str, Any], source: str, target: str) -> dict[str, bool | None]:
    return {"eligible": asked_for.frozen(suite, source, target), "twin": asked_for.twin(suite, source, target)}


def _attacks(
    chosen: Mapping[str, dict[str, Any]],
    parent: Parent,
    current: set[str],
    suites: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """The rows of `attacks`: each attack beside the same attack on f_s, and `from-scratch` on as many images."""
    done = [key for key, r in chosen.items() if r["cell"]["kind"] == "attack" and r["status"] == "ok"]
    on_f_s: dict[tuple[Any, ...], float | None] = {}
    scratch: dict[tuple[Any, ...], float | None] = {}
    for key in sorted(done, key=current.__contains__):  # current ones last: they stand
        record, cell = chosen[key], chosen[key]["cell"]
        above = parent(record)
        if above is not None and above["cell"]["kind"] == "train":
            on_f_s[above["key"], cell["attack"], cell["target"], cell["seed"]] = _balanced(record, cell["target"])
        elif record["spec"]["attack"] == "from-scratch":
            scratch[_place(record)] = _balanced(record, cell["target"])
    for key in done:
        record, model = chosen[key], parent(chosen[key])
        cell, target = record["cell"], record["cell"]["target"]
        f_s = model and (parent(model) or model)
        row = {
            **cell, "key": key, "split_seed": record["spec"].get("split_seed", 0), "current": key in current,
            "target_attacked": _balanced(record, target), "target_scratch": scratch.get(_place(record)),
        }  # fmt: skip
        if model and f_s:
            source, before, after = cell["source"], _balanced(f_s, target), row["target_attacked"]
            row |= _marks(suites.get(cell["suite"]) or {}, source, target) | {
                "target_before_balanced": before,
                "target_after_balanced": _balanced(model, target),
                "target_attacked_before": on_f_s.get((f_s["key"], cell["attack"], target, cell["seed"])),
                "target_removed": None
                if before is None or after is None
                else metrics.target_removed(before, after, cell["classes"]),
                "source_before_balanced": _balanced(f_s, source),
                "source_after_balanced": _balanced(model, source),
                "source_attacked": _balanced(record, source),
            }
        yield row


def _place(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a net trained from scratch shares with the attacks that are read beside it. The spec's backbone: tables give
    that of a given f_s a name of its own."""
    spec, cell = record["spec"], record["cell"]
    names = ("suite", "score", "seed", "n", "target")
    return (spec.get("split_seed", 0), spec["backbone"], *(cell[name] for name in names))


def _balanced(record: Mapping[str, Any], domain: str) -> float | None:
    return _scores(record, record["cell"]["score"]).get(domain, {}).get("balanced")


def _scores(record: Mapping[str, Any], part: str) -> dict[str, dict[str, Any]]:
    return {row["domain"]: row for row in record["accuracy"] if row["part"] == part and row["total"]}


def _top1(row: Mapping[str, Any]) -> float:
    return float(row["correct"] / row["total"])


def write(
    out: Path, all_records: Sequence[dict[str, Any]], plan: Mapping[str, Any] | None, covers: int
) -> dict[str, pa.Table]:
    """Build and rewrite `out`/tables/*.parquet whole. `covers`: the number of record files, damaged ones included."""
    stamp = {
        "mapbench.schema_version": str(SCHEMA_VERSION),
        "mapbench.writer": f"mapbench {_version()}",
        "mapbench.covers": _covers(covers, plan),
    }
    built = {name: table.replace_schema_metadata(stamp) for name, table in build(all_records, plan).items()}
    for name, table in built.items():
        # In memory first: a disk that fills up half-way leaves the old file, not half of the new one.
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        records.atomic_write(_path(out, name), buffer.getvalue())
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
    are rebuilt from the records (and written, where that is possible). Raises StoreError where `out` holds no run.
    """
    store = Store(out)
    out = store.out
    if not place.is_run(out):
        raise StoreError(f"{out} is not a run directory: it has neither a plan.json nor records")
    plan = store.plan()
    table = _held(out, name, _covers(records.count(out), plan))
    if table is not None:
        return table
    found = store.records()
    try:
        return write(out, found, plan, len(found) + len(store.damaged()))[name]
    except StoreError:
        return build(found, plan)[name]  # somebody else's directory: reading it is still fine


def _held(out: Path, name: str, covers: str) -> pa.Table | None:
    """One table as it was written, where it is whole, of this schema, and made from what `covers` says."""
    try:
        table = pq.read_table(pa.BufferReader(place.get(_path(out, name))))
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


def _version() -> str:
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
