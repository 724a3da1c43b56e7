"""Run directories brought together: nothing is lost, overwritten or counted twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results import StoreError, merge, records, tables
from results.store import Store

SUITE = {"version": 1, "classes": 10, "image_size": 32, "eligible": ["a:b"], "twins": [], "domains": ["a", "b"]}


def fill(store: Store, *made: dict[str, Any], suite: dict[str, Any] = SUITE) -> Store:
    """Commit records with an artefact each, and a plan of just these."""
    for record in made:
        name = f"checkpoints/{record['key']}.{record['attempt']}.{record['uuid']}.safetensors"
        (store.out / "checkpoints").mkdir(parents=True, exist_ok=True)
        (store.out / name).write_bytes(record["uuid"].encode())
        log = f"logs/{record['key']}.{record['attempt']}.log"
        (store.out / "logs").mkdir(exist_ok=True)
        (store.out / log).write_text(f"log of {record['uuid']}\n")
        digest = hashlib.sha256(record["uuid"].encode()).hexdigest()
        store.commit({**record, "checkpoint": name, "checkpoint_sha256": digest, "log": log})
    cells = [{"key": r["key"], **r["cell"]} for r in made]
    store.write_plan({"schema": 1, "grid": store.out.name, "written": 1.0, "suites": {"s": suite}, "cells": cells})
    return store


def test_two_halves_become_one_and_the_same_again_does_nothing(tmp_path: Path, make: SimpleNamespace) -> None:
    train, other = make.train(), make.train(seed=1)
    here = fill(Store(tmp_path / "here"), train, make.protect(train, ["b"]))
    there = fill(
        Store(tmp_path / "there"), train, other, make.protect(other, ["b"]), suite={**SUITE, "domains": ["b", "c"]}
    )
    into = Store(tmp_path / "all")
    told = merge.merge(into, [here, there])
    assert [(t.new, t.known, t.missing) for t in told] == [(2, 0, 0), (2, 1, 0)]
    assert into.winners().keys() == {r["key"] for r in here.records() + there.records()}
    for record in into.records():
        assert (into.out / record["checkpoint"]).read_bytes() == record["uuid"].encode()
    plan = into.plan() or {}
    assert {cell["key"] for cell in plan["cells"]} == into.winners().keys()
    assert plan["suites"]["s"]["domains"] == ["a", "b", "c"]
    assert len(tables.read(into.out, "cells")) == 4
    before = {p: p.stat().st_mtime_ns for p in into.out.rglob("*.json") if p.name != "plan.json"}
    assert [(t.new, t.known) for t in merge.merge(into, [here, there])] == [(0, 2), (0, 3)]
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_a_cell_that_both_computed_counts_once_the_first_one(tmp_path: Path, make: SimpleNamespace) -> None:
    first, second = make.train(finished=10.0), make.train(finished=20.0)
    assert first["key"] == second["key"] and first["uuid"] != second["uuid"]
    into = fill(Store(tmp_path / "into"), second)
    merge.merge(into, [fill(Store(tmp_path / "from"), first)])
    assert into.winners()[first["key"]]["uuid"] == first["uuid"]
    assert tables.read(into.out, "cells").column("uuid").to_pylist() == [first["uuid"]]
    assert len(tables.read(into.out, "attempts")) == 2
    log = (into.out / f"logs/{first['key']}.1.log").read_text()
    assert log == f"log of {second['uuid']}\nlog of {first['uuid']}\n"


def test_damaged_records_and_files_are_told_and_cost_nothing_else(tmp_path: Path, make: SimpleNamespace) -> None:
    source = fill(Store(tmp_path / "from"), make.train(), make.train(seed=1), make.train(seed=2))
    torn, rotten, healthy = source.records()
    path = source.out / "records" / torn["key"][:2] / records.name(torn)
    path.write_text(path.read_text()[:50])
    (source.out / rotten["checkpoint"]).write_bytes(b"not what was written")
    into = Store(tmp_path / "into")
    (told,) = merge.merge(into, [source])
    assert (told.new, told.damaged, told.missing) == (2, 1, 1)
    assert "1 left out, which cannot be read; 1 files missing or damaged" in str(told)
    assert into.winners().keys() == {rotten["key"], healthy["key"]}
    assert not (into.out / rotten["checkpoint"]).exists() and (into.out / healthy["checkpoint"]).exists()


def test_mistakes_are_one_line_and_write_nothing(tmp_path: Path, make: SimpleNamespace) -> None:
    source, into = fill(Store(tmp_path / "from"), make.train()), Store(tmp_path / "into")
    with pytest.raises(StoreError, match="is not a run directory"):
        merge.merge(into, [source, Store(tmp_path / "nothing")])
    with pytest.raises(StoreError, match="merged into itself"):
        merge.merge(source, [Store(tmp_path / "from" / ".." / "from")])
    edited = fill(Store(tmp_path / "edited"), make.train(seed=1), suite={**SUITE, "eligible": ["b:a"]})
    with pytest.raises(StoreError, match="give the edited file a version of its own"):
        merge.merge(into, [source, edited])
    assert not into.out.exists()
    newer = fill(Store(tmp_path / "newer"), make.train(seed=1), suite={**SUITE, "eligible": ["b:a"], "version": 2})
    merge.merge(into, [source, newer])
    assert (into.plan() or {})["suites"]["s"]["eligible"] == ["b:a"]
