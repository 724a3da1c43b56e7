"""A run directory may be a URL: the same records, tables and boards, whole objects only, mistakes in one line.

pytest tests/results/test_place.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import results
from results import StoreError, place, records, tables
from results.store import Outcome, Store


@pytest.fixture
def url() -> str:
    """A folder of fsspec's own memory, which behaves as an object store does: no folders, no rename."""
    return f"memory://{uuid.uuid4().hex}/run"


@pytest.fixture
def run(url: str, make: SimpleNamespace) -> SimpleNamespace:
    """A source model and a protected one, at a URL."""
    parent = make.train()
    child = make.protect(parent, ["b"])
    store = Store(url)
    paths = [store.commit(record) for record in (parent, child)]
    store.write_plan(make.plan(parent, child, eligible=["a:b"]))
    return SimpleNamespace(url=url, store=store, parent=parent, child=child, paths=paths)


@pytest.mark.parametrize("text", ["runs/x", "/runs/x", "~/x", "a:b", "runs/s3:"])
def test_a_folder_is_a_plain_path(text: str) -> None:
    assert place.place(text) == Path(text) == place.place(Path(text))
    assert type(place.place(text)) is type(Path())


@pytest.mark.parametrize("text", ["file:///runs/a%20b", "file://localhost/runs/a b"])
def test_a_file_url_is_a_folder(text: str) -> None:
    assert place.place(text) == Path("/runs/a b")


def test_a_url_stays_one_without_its_last_slash_and_is_its_own_text() -> None:
    for scheme in ("memory", "s3"):
        made = place.place(f"{scheme}://bucket/run//")
        assert not place.is_local(made) and str(made) == f"{scheme}://bucket/run"
        assert place.place(made) is made
        assert str(made / "logs" / "a[b]*.log") == f"{scheme}://bucket/run/logs/a[b]*.log"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nosuch://b/x", r"unknown protocol 'nosuch': a run directory is a folder, s3://BUCKET/FOLDER"),
        ("s3://", r"names no bucket or folder: s3://BUCKET/FOLDER"),
        ("s3:///", r"names no bucket or folder: s3://BUCKET/FOLDER"),
        ("file://host/x", r"names another machine"),
    ],
)
def test_what_is_no_place_is_one_line(text: str, line: str) -> None:
    with pytest.raises(StoreError, match=line) as error:
        place.place(text)
    assert "\n" not in str(error.value) and text in str(error.value)


@pytest.mark.parametrize(
    ("missing", "line"), [("s3fs", "pip install 'mapbench[s3]'"), ("upath", "pip install universal-pathlib")]
)
def test_a_missing_package_is_one_line(missing: str, line: str) -> None:
    code = (
        "import sys; sys.modules[sys.argv[1]] = None\nfrom results import StoreError, place\n"
        "try: place.place('s3://bucket/run')\nexcept StoreError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code, missing], capture_output=True, text=True, check=True)
    assert ran.stdout == f"s3://bucket/run: s3:// needs a package that is not installed: {line}\n"


def test_folders_load_neither_fsspec_nor_universal_pathlib(tmp_path: Path) -> None:
    code = (
        "import sys; from results.store import Store; s = Store(sys.argv[1]); s.check_writable(); s.records(); "
        "s.heartbeat([]); s.other_drivers(); s.plan(); s.end_heartbeat(); "
        "print([m for m in ('fsspec', 'upath') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_records_at_a_url_are_what_they_are_in_a_folder(run: SimpleNamespace, make: SimpleNamespace) -> None:
    key = run.parent["key"]
    assert str(run.paths[0]) == f"{run.url}/records/{key[:2]}/{key}.1.{run.parent['uuid']}.json"
    assert list(records.files(run.store.out).values()) == sorted(run.paths, key=lambda path: path.name)
    assert run.store.winners() == {r["key"]: r for r in (run.parent, run.child)}
    assert records.read_key(run.store.out, key) == [run.parent]
    assert records.read_key(run.store.out, "0" * 64) == []
    again = make.train(status="failed", attempt=2)
    run.store.commit(again)
    assert run.store.outcomes() == {key: Outcome(2, True), run.child["key"]: Outcome(1, True)}
    assert records.read_key(run.store.out, key) == [run.parent, again]
    assert Store(f"{run.url}/elsewhere").records() == []


def test_an_object_that_is_cut_short_costs_its_own_rows_only(run: SimpleNamespace) -> None:
    records.atomic_write(run.paths[1], place.get(run.paths[1])[:50])
    assert run.store.records() == [run.parent]
    assert [d.path for d in run.store.damaged()] == [run.paths[1]]
    assert records.read_key(run.store.out, run.child["key"]) == []
    assert len(tables.read(run.url, "cells").to_pylist()) == 1


def test_a_record_that_does_not_arrive_is_not_taken_for_one_that_is_not_there(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> bytes:
        raise ConnectionError("the server went away\nat once")

    monkeypatch.setattr(type(run.store.out.fs), "cat_file", away)
    for ask in (run.store.records, run.store.outcomes, run.store.plan, lambda: tables.read(run.url, "cells")):
        with pytest.raises(StoreError, match=r"cannot read memory://.*: the server went away$"):
            ask()


def test_load_and_damaged_tables(run: SimpleNamespace) -> None:
    assert run.store.write_tables(force=True)
    assert list(results.load(run.url)["status"]) == ["ok", "ok"]
    path = run.store.tables_dir / "pairs.parquet"
    whole = place.get(path)
    place.put(path, whole[:-20])
    assert len(results.load(run.url)) == 2
    assert place.get(path)[-4:] == b"PAR1"  # and mended
    with pytest.raises(StoreError, match="is not a run directory"):
        results.load(f"{run.url}/elsewhere")


def test_nothing_half_written_is_ever_put(run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stream: what leaves a `with open` by an exception completes the upload."""
    memory, put, inside = type(run.store.out.fs), list[str](), list[str]()
    pipe, opened = memory.pipe_file, memory.open

    def once(self: Any, path: str, *rest: Any, **more: Any) -> None:
        put.append(path.rpartition("/")[2])
        inside.append(path)  # fsspec's memory opens its own objects
        pipe(self, path, *rest, **more)
        inside.pop()

    def guarded(self: Any, path: str, mode: str = "rb", *rest: Any, **more: Any) -> Any:
        assert inside or "w" not in mode, f"{path} is streamed"
        return opened(self, path, mode, *rest, **more)

    monkeypatch.setattr(memory, "pipe_file", once)
    monkeypatch.setattr(memory, "open", guarded)
    run.store.commit(run.child | {"attempt": 2})
    run.store.write_tables(force=True)
    assert put == [f"{run.child['key']}.2.{run.child['uuid']}.json", *(f"{name}.parquet" for name in tables.SCHEMAS)]


def test_check_writable_leaves_nothing_and_a_refusal_is_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(url)
    store.check_writable()
    assert place.names(store.out) == []

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied\n<xml>")

    monkeypatch.setattr(type(store.out.fs), "pipe_file", refuse)
    with pytest.raises(StoreError, match=rf"cannot write to {url}: Access Denied$"):
        store.check_writable()


def test_heartbeats_at_a_url_go_by_what_they_say(url: str) -> None:
    store = Store(url)
    assert store.other_drivers() == []
    store.heartbeat([])
    assert store.other_drivers() == []
    for host, age in (("near", 5), ("gone", 500)):
        beat = {"host": host, "pid": 1, "written": time.time() - age, "running": []}
        place.put(store.out / f"driver.{host}.1.json", json.dumps(beat).encode())
    assert [driver["host"] for driver in store.other_drivers()] == ["near"]
    store.end_heartbeat()
    assert not place.exists(store.heartbeat_path)
    store.end_heartbeat()


def test_a_log_grows_wherever_it_is(url: str, tmp_path: Path) -> None:
    for path in (place.place(url) / "logs" / "a.log", tmp_path / "logs" / "a.log"):
        place.append(path, "one\n")
        place.append(path, "two\n")
        assert place.get(path) == b"one\ntwo\n"
