"""What ten thousand cells cost a driver: bytes a planned cell, and one reading of each record."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import known
from harness.api import Options, execute
from harness.expected import note
from harness.forest import expand
from harness.grid import Filters, read
from harness.plan import Plan, make
from results import records
from results.store import Store
from suites import cache

PRINTS = {"uci": "1", "uci-m": "2", "print": "3", "street": "4"}
FEW = Filters(methods=("ntl", "gate-source-free"), pairs=("uci:print",), seeds=("0-1",))


def grown(seeds: str) -> tuple[int, int]:
    """Cells of digits-mini with so many seeds, and the bytes that they and their tasks hold."""
    grid = read("digits-mini", Filters(seeds=(seeds,)))
    expand(grid, {("digits-mini", 0): PRINTS})  # what is cached for good is cached now
    gc.collect()
    tracemalloc.start()
    plan = Plan(tuple(expand(grid, {("digits-mini", 0): PRINTS})), {})
    tasks = plan.tasks()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(tasks) > 500
    return len(plan.cells), held


def test_a_planned_cell_and_its_task_hold_less_than_a_kilobyte() -> None:
    """4.7 kB where every cell had dicts of its own; the bound is on what a cell more costs."""
    (few, before), (many, after) = grown("0"), grown("0-1")
    assert (after - before) / (many - few) < 1000


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Plan]:
    """A run directory in which all cells of FEW are done, tables and board included."""
    monkeypatch.setattr(cache, "fingerprints", lambda *_: PRINTS)
    monkeypatch.setattr(cache, "counts", lambda *_: dict.fromkeys(PRINTS, 1150))
    monkeypatch.setattr(cache, "manifest", lambda *_: {"parts": {"attacker": {"count": 200}}})
    monkeypatch.chdir(tmp_path)
    grid, store = read("digits-mini", FEW), Store(tmp_path / "run")
    plan = make(grid, store, tmp_path, tmp_path)
    for number, cell in enumerate(plan.cells):
        store.commit({
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}", "status": "ok", "spec": cell.spec,
            "cell": cell.meta, "started": 0.0, "finished": 1.0, "seconds": 1.0, "accuracy": [], "flags": [],
            "environment": {"method_sha256": cell.method["sha256"]},
        })  # fmt: skip
    note(store, grid, plan, None)
    store.write_tables(force=True)
    (store.out / "leaderboard.html").touch()
    return store, plan


def test_nothing_to_do_opens_each_record_once_and_writes_nothing(
    done: tuple[Store, Plan], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    store, plan = done
    opened: list[Path] = []

    def counted(path: Path, true: Any = records.read) -> Any:
        opened.append(path)
        return true(path)

    monkeypatch.setattr(records, "read", counted)
    before = {path: path.stat().st_mtime_ns for path in store.out.rglob("*")}
    assert execute("digits-mini", FEW, Options(out=str(store.out), mlflow=False)) == 0
    assert capfd.readouterr().out == f"nothing to do: {len(plan.cells)} cells done\n"
    assert len(opened) == len(set(opened)) == len(plan.cells)
    assert {path: path.stat().st_mtime_ns for path in store.out.rglob("*") if path.is_file()} == {
        path: when for path, when in before.items() if path.is_file()
    }


def test_plan_json_is_kept_where_it_says_the_same_and_else_replaced(done: tuple[Store, Plan]) -> None:
    store, plan = done
    grid, held = read("digits-mini", FEW), store.plan_path.read_bytes()
    note(store, grid, plan, None)
    assert store.plan_path.read_bytes() == held
    for cells, command in ((plan.cells, 'a "written":1 b'), (plan.cells[:-1], None), (plan.cells, None)):
        note(store, grid, replace(plan, cells=cells), command)
        now = store.plan()
        assert now is not None
        assert now["command"] == command
        assert [cell["key"] for cell in now["cells"]] == [cell.key for cell in cells]
        assert now["cells"][-1]["params"] == cells[-1].meta["params"]
    for damaged in (held[:-20], held + b"}"):
        store.plan_path.write_bytes(damaged)
        note(store, grid, plan, None)
        assert store.plan() is not None


def test_the_record_that_counts_is_the_first_ok_one_and_keeps_what_planning_asks(done: tuple[Store, Plan]) -> None:
    store, plan = done
    cell = plan.cells[0]
    common = {
        "schema": 1, "key": cell.key, "spec": cell.spec, "cell": cell.meta, "seconds": 2.0, "accuracy": [],
        "error": "no luck", "log": "logs/x", "environment": {"device": "cpu"}, "peak_memory_mb": 7.0,
    }  # fmt: skip
    store.commit({**common, "attempt": 2, "uuid": "0000aaaa", "status": "ok", "finished": 0.5})
    store.commit({**common, "attempt": 3, "uuid": "0000bbbb", "status": "failed", "finished": 0.1})
    found = known.winners(store, [cell.key])
    made = {"method_sha256": None, "device": "cpu"}
    assert found == {
        cell.key: {"status": "ok", "finished": 0.5, "seconds": 2.0, "peak_memory_mb": 7.0, "environment": made}
    }
