"""Leftovers are what nothing needs: said before they go, and nothing else goes."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results import StoreError, clean, records, tables
from results.store import Store


def write(out: Path, name: str, text: str = "x") -> str:
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


@pytest.fixture
def run(tmp_path: Path, make: SimpleNamespace) -> SimpleNamespace:
    """A source model, its protected model, and that in an older version; with artefacts, and leftovers of a kill."""
    store = Store(tmp_path / "run")
    train = make.train()
    old, new = make.protect(train, ["b"]), make.protect(train, ["b"], spec={"method_version": 9}, finished=2e9)
    needed = set()
    for record in (train, old, new):
        for field, folder in (("checkpoint", "checkpoints"), ("predictions", "predictions"), ("log", "logs")):
            record[field] = write(store.out, f"{folder}/{record['key']}.1.x")
            if record is not old:
                needed.add(record[field])
        path = store.commit(record)
        if record is not old:
            needed.add(path.relative_to(store.out).as_posix())
    needed.add(write(store.out, "logs/ray.log"))
    orphans = {
        write(store.out, f"checkpoints/{'a' * 64}.1.0000abcd.safetensors"),
        write(store.out, f"logs/{'a' * 64}.1.log"),
        write(store.out, f"records/{train['key'][:2]}/.{records.name(train)}.0123abcd"),
        write(store.out, "driver.elsewhere.1.json", "{}"),
    }
    os.utime(store.out / "driver.elsewhere.1.json", (0, 0))
    older = {old["checkpoint"], old["predictions"], old["log"], f"records/{old['key'][:2]}/{records.name(old)}"}
    return SimpleNamespace(store=store, needed=needed, orphans=orphans, older=older)


def names(store: Store) -> set[str]:
    return {p.relative_to(store.out).as_posix() for p in store.out.rglob("*") if p.is_file()}


def test_what_no_record_names_goes_and_all_else_stays(run: SimpleNamespace) -> None:
    before = names(run.store)
    found = clean.leftovers(run.store)
    assert {item.name for item in found} == run.orphans
    assert names(run.store) == before  # looking removes nothing
    clean.remove(run.store, found)
    assert names(run.store) == before - run.orphans
    assert clean.leftovers(run.store) == []


def test_stale_cells_go_on_request_with_all_that_they_name(run: SimpleNamespace) -> None:
    found = clean.leftovers(run.store, stale=True)
    assert {item.name for item in found} == run.orphans | run.older
    clean.remove(run.store, found)
    assert run.needed <= names(run.store)
    assert len(run.store.records()) == 2 and set(tables.read(run.store.out, "cells").column("current").to_pylist()) == {
        True
    }


def test_a_damaged_record_goes_and_what_it_named_with_it(run: SimpleNamespace) -> None:
    (name,) = [name for name in run.older if name.startswith("records/")]
    path = run.store.out / name
    path.write_text(path.read_text()[:40])
    found = {item.name: item.kind for item in clean.leftovers(run.store)}
    assert found[name] == "records that cannot be read"
    assert set(found) == run.orphans | run.older


def test_while_a_driver_works_nothing_is_cleaned(run: SimpleNamespace, tmp_path: Path) -> None:
    beat: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getppid(), "written": 0, "running": []}
    path = run.store.out / f"driver.{beat['host']}.{beat['pid']}.json"
    path.write_bytes(records.dump(beat))
    with pytest.raises(StoreError, match=r"a driver is at work in .*: clean when it has ended"):
        clean.leftovers(run.store)
    with pytest.raises(StoreError, match="is not a run directory"):
        clean.leftovers(Store(tmp_path / "nothing"))


def test_it_is_told_by_kind_with_sizes(run: SimpleNamespace) -> None:
    found = clean.leftovers(run.store)
    text = clean.said(found, dry=True)
    assert "1 checkpoints that no record names, 0.0 MB" in text
    assert text.endswith("4 files, 0.0 MB would be removed; nothing was")
    assert clean.said([], dry=False) == "nothing to clean"
