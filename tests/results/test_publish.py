"""A publication holds all that was measured and nothing of the machine, is the same every time, and in nobody's way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import results
from results import StoreError, leaderboard, merge, place, records, tables, verify
from results.publish import publish
from results.store import Store

HOST = "node7.lab.example"
SECRETS = ("node7", "anna", "/home")
FILES = {
    "README.md", "board.csv", "board.json", "board.md", "board.tex", "index.html", "manifest.json", "plan.json",
    *(f"tables/{name}.parquet" for name in tables.SCHEMAS),
}  # fmt: skip
SCENARIO = {"scenario": "labelled source, labelled target"}


@pytest.fixture
def run(tmp_path: Path, make: SimpleNamespace) -> Callable[..., Store]:
    """Two sources with two seeds, a method on both targets of each, attacked; one cell failed, one is missing."""

    def made(name: str = "run", grid: str = "toy", **more: Any) -> Store:
        store = Store(tmp_path / name)
        there = {"device": "cpu", "torch": "2.15.0", "git_commit": "c0ffee" * 6, "git_dirty": False, "host": HOST,
                 "packages": {"python": "3.11.7"}, "method_sha256": "f" * 64}  # fmt: skip
        found = []
        for source, seed in product("ab", range(2)):
            f_s = make.train(source, seed, {"c": 60 + seed}, environment=there)
            found.append(f_s)
            for target in (domain for domain in make.domains if domain != source):
                child = make.protect(f_s, [target], {target: 12 + seed}, environment=there, cell=SCENARIO)
                found += [child, *(make.attack(m, target, {"a": 50, "b": 50, "c": 50}) for m in (f_s, child))]
        error = f"FileNotFoundError: '/home/anna/x.npz' on {HOST}"
        lost = {"status": "failed", "error": error, "accuracy": [], "environment": there}
        failed = make.protect(found[0], ["b"], method="odd", cell=SCENARIO, **lost)
        for one in (*found, failed):
            store.commit(one)
        absent = make.protect(found[0], ["c"], method="odd", cell=SCENARIO)
        plan = make.plan(*found, failed, absent, eligible=["a:b", "a:c", "b:a", "b:c"])
        command = f"mapbench run toy --out /home/anna/{name}"
        store.write_plan({**plan, "grid": grid, "command": command, **more})
        return store

    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in place.sizes(folder)}


def test_it_holds_what_was_measured_and_nothing_of_the_machine(run: Callable[..., Store], tmp_path: Path) -> None:
    store, to = run(), tmp_path / "out"
    told = publish(store, to)
    assert set(contents(to)) == FILES
    assert (told.cells, told.gaps, told.files) == (30, {"failed": 1, "missing": 1}, len(FILES))
    assert told.size == sum(len(content) for name, content in contents(to).items() if name != place.MANIFEST)
    for name, content in contents(to).items():
        packed = name.endswith(".parquet")  # compressed
        said = repr(tables.decoded(content).to_pylist()) if packed else content.decode()
        for secret in (*SECRETS, str(tmp_path)):
            assert secret not in said, (name, secret)
    claims = json.loads((to / place.MANIFEST).read_text())
    assert (claims["schema"], claims["grid"], claims["command"]) == (1, "toy", "mapbench run toy")
    assert claims["code"] == [
        {"commit": "abc", "modified": False, "cells": 16}, {"commit": "c0ffee" * 6, "modified": False, "cells": 12},
    ]  # fmt: skip
    assert {one["kind"]: (one["done"], one["expected"]) for one in claims["kinds"]} == {
        "train": (4, 4), "protect": (8, 10), "attack": (16, 16),
    }  # fmt: skip
    variants = {one["variant"]: (one["done"], one["expected"], one["other"]) for one in claims["variants"]}
    assert variants == {"cut": (8, 8, {}), "odd": (0, 2, {"failed": 1, "missing": 1})}
    assert {file["name"] for file in claims["files"]} == FILES - {place.MANIFEST}
    lines = (to / place.MANIFEST).read_text().splitlines()  # one for each item of a list
    assert sum('"record"' in line for line in lines) == 30
    assert all(line.count('"key"') <= 1 for line in lines)
    assert verify.verify(to).problems == []
    readme = (to / "README.md").read_text()
    assert "28 of 30 cells are ok, 1 failed, 1 missing." in readme
    assert "- odd net a:b seed 0: failed FileNotFoundError: '…/x.npz' on HOST" in readme
    assert "- odd net a:c seed 0: missing" in readme
    assert "\n    mapbench verify .\n" in readme and "\n    mapbench run toy\n" in readme
    assert "toy version 1" in readme and "c0ffeec0ffee" in readme
    assert "`environment.host`" in readme


def test_its_records_can_be_merged_and_published_again_to_the_same_bytes(
    run: Callable[..., Store], tmp_path: Path
) -> None:
    store, one, two = run(), tmp_path / "one", tmp_path / "two"
    publish(store, one, with_records=True)
    into = Store(tmp_path / "into")
    (told,) = merge.merge(into, [Store(one)])
    assert (told.new, told.damaged, told.missing) == (29, 0, 0)
    assert tables.read(into.out, "pairs").equals(tables.read(store.out, "pairs"))
    publish(into, two, with_records=True)
    # when, from which folder and into which one it was published are nowhere
    assert contents(one) == contents(two)
    assert verify.verify(two).problems == []
    with pytest.raises(StoreError, match="is a publication, which is not written to"):
        merge.merge(Store(two), [store])
    publish(store, two)
    assert set(contents(two)) == FILES  # what it no longer has is taken away
    with pytest.raises(StoreError, match="published without its records"):
        merge.merge(into, [Store(two)])


def test_it_is_read_as_a_run_is_and_never_written_to(run: Callable[..., Store], tmp_path: Path) -> None:
    store, to = run(), tmp_path / "out"
    publish(store, to)
    before = contents(to)
    assert leaderboard.load(to).frame.equals(leaderboard.load(store.out).frame)
    assert leaderboard.load(to).machine == "cpu, torch 2.15.0; cpu, torch 2.9"
    assert len(results.load(to)) == len(results.load(store.out)) == 16
    (to / "tables" / "pairs.parquet").write_bytes(before["tables/pairs.parquet"][:-9])
    with pytest.raises(StoreError, match="published without its records, and its table pairs is damaged"):
        results.load(to)
    publish(store, to, with_records=True)
    (to / "tables" / "pairs.parquet").write_bytes(b"")
    assert len(results.load(to)) == 16  # from the records
    assert (to / "tables" / "pairs.parquet").read_bytes() == b""


def test_hidden_files_are_left_alone_and_other_people_s_are_not_published_over(
    run: Callable[..., Store], tmp_path: Path
) -> None:
    store, to = run(), tmp_path / "out"
    (to / ".git").mkdir(parents=True)
    (to / ".git" / "config").write_text("mine")
    publish(store, to)
    assert (to / ".git" / "config").read_text() == "mine"
    assert verify.verify(to).problems == []
    with pytest.raises(StoreError, match=r"is a publication of toy, not of other: name another folder with --to"):
        publish(run("other", "other"), to)
    (to / place.MANIFEST).unlink()
    before = contents(to)
    with pytest.raises(StoreError, match=r"holds files and is no earlier publication: name another folder with --to"):
        publish(store, to)
    assert contents(to) == before


def test_a_publication_that_was_cut_short_can_be_repeated(
    run: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, to = run(), tmp_path / "out"
    write = records.atomic_write

    def full(path: Path, content: Any, durable: bool = True) -> None:
        if path.suffix == ".parquet":
            raise StoreError(f"cannot write {path}: No space left on device")
        write(path, content, durable)

    monkeypatch.setattr(records, "atomic_write", full)
    with pytest.raises(StoreError, match="No space left"):
        publish(store, to)
    lost = "tables/accuracy.parquet: is not there, and manifest.json lists it"
    assert lost in [str(problem) for problem in verify.verify(to).problems]
    monkeypatch.undo()
    publish(store, to)
    assert verify.verify(to).problems == []


def test_what_cannot_be_published_is_one_line_and_nothing_is_written(
    run: Callable[..., Store], tmp_path: Path, make: SimpleNamespace
) -> None:
    store, empty, bare = run(), Store(tmp_path / "empty"), Store(tmp_path / "bare")
    empty.write_plan(make.plan(make.train()))
    bare.commit(make.train())
    trained = Store(tmp_path / "trained")
    trained.commit(make.train())
    trained.write_plan(make.plan(make.train()))
    (tmp_path / "file").write_text("x")
    before = contents(tmp_path)
    for source, to, message in (
        (Store(tmp_path / "none"), "out", "is not a run directory"),
        (empty, "out", "has no records: there is nothing to publish"),
        (bare, "out", "has no plan.json, which says what was asked for"),
        (trained, "out", "no protected model scored on test"),
        (store, "run", "is to be published into itself"),
        (store, "file", "is in the way: it is not a folder"),
    ):
        with pytest.raises(StoreError, match=message) as raised:
            publish(source, tmp_path / to)
        assert "\n" not in str(raised.value)
    assert contents(tmp_path) == before


def test_names_of_methods_and_errors_cannot_act(tmp_path: Path, make: SimpleNamespace) -> None:
    evil = "<script>alert(1)</script>|x"
    f_s = make.train()
    bad = make.protect(f_s, ["c"], method=evil, cell=SCENARIO, status="failed", error=evil, accuracy=[])
    store = Store(tmp_path / "run")
    for one in (f_s, make.protect(f_s, ["b"], method=evil, cell=SCENARIO), bad):
        store.commit(one)
    store.write_plan(make.plan(*store.records()))
    publish(store, tmp_path / "out")
    for name in ("README.md", "index.html", "board.md"):
        assert "<script>alert" not in (tmp_path / "out" / name).read_text()
    lines = [line for line in (tmp_path / "out" / "README.md").read_text().splitlines() if line.startswith("|")]
    assert {len(re.sub(r"\\.", "", line).split("|")) for line in lines} == {4, 6}  # two tables, of 2 and 4 columns
    assert verify.verify(tmp_path / "out").problems == []


def test_it_may_be_published_to_a_url(run: Callable[..., Store]) -> None:
    store, to = run(), place.place("memory://published/out")
    publish(store, to, with_records=True)
    publish(store, to)
    found = verify.verify(to)
    assert (found.problems, found.files) == ([], len(FILES))
    place.put(to / "notes.txt", b"mine")
    assert [str(problem) for problem in verify.verify(to).problems] == ["notes.txt: is not listed in manifest.json"]
