"""The tables say what the records say, in the columns of design 7, and come back when they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import results
from results import StoreError, records, tables
from results.store import Store

DESIGN = {
    "cells": "key kind parent inputs spec suite suite_version backbone method variant method_version fidelity start "
    "params scenario source targets seed status flags error attempt started finished seconds peak_memory_mb "
    "device torch git_commit git_dirty host",
    "accuracy": "key domain part correct total balanced matched decoded confusion",
    "pairs": "key suite backbone method variant scenario source target role eligible seed source_before source_after "
    "target_before target_after source_drop target_drop st_d target_removed target_matched target_decoded",
    "attempts": "key attempt status",
    "attacks": "key parent suite backbone method variant scenario source target eligible seed attack n "
    "target_before_balanced target_after_balanced target_attacked_before target_attacked target_scratch",
}


@pytest.fixture
def run(tmp_path: Path, make: SimpleNamespace) -> SimpleNamespace:
    """A source model, one protected model (a:b) of it, and a failed one, in a run directory."""
    parent = make.train()
    row = make.score("b", 20, matched=0.4, decoded=0.6)
    child = make.protect(parent, ["b"], {"a": 81, "b": row}, flags=["not-taken-off"])
    bad = make.protect(parent, ["c"], status="failed", error="diverged", accuracy=[])
    store = Store(tmp_path / "run")
    for record in (parent, child, bad):
        store.commit(record)
    store.write_plan(make.plan(parent, child, bad, eligible=["a:b"], twins=["a:b"]))
    return SimpleNamespace(out=store.out, store=store, parent=parent, child=child, bad=bad)


def rows(out: Path, name: str) -> list[dict[str, Any]]:
    return tables.read(out, name).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", DESIGN)
def test_pandas_reads_every_column_of_the_design(run: SimpleNamespace, name: str) -> None:
    run.store.write_tables(force=True)
    path = run.out / "tables" / f"{name}.parquet"
    frame = pd.read_parquet(path)
    assert set(DESIGN[name].split()) <= set(frame.columns)
    assert list(frame.columns) == tables.SCHEMAS[name].names
    stamp = pq.read_schema(path).metadata
    assert stamp[b"mapbench.schema_version"] == b"4"
    assert stamp[b"mapbench.writer"].startswith(b"mapbench")
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_generator_has_its_quality_in_cells_and_no_other_rows(run: SimpleNamespace, make: SimpleNamespace) -> None:
    made = make.synth(run.parent)
    run.store.commit(made)
    (row,) = (r for r in rows(run.out, "cells") if r["kind"] == "synth")
    assert json.loads(row["quality"]) == {"judge": 0.9}
    assert row["picture"] == "pictures/x.png"
    assert all(r["key"] != made["key"] for name in ("accuracy", "pairs") for r in rows(run.out, name))


def test_a_pair_joins_before_and_after(run: SimpleNamespace) -> None:
    pairs = {row["target"]: row for row in rows(run.out, "pairs")}
    assert set(pairs) == {"b", "c"}
    expected = {
        "key": run.child["key"], "parent": run.parent["key"], "role": "target", "eligible": True, "twin": True,
        "current": True, "classes": 10, "source": "a", "seed": 0, "score": "test", "split_seed": 0,
        "source_before": 0.9, "source_after": 0.81, "source_drop": pytest.approx(0.1),
        "target_before": 0.7, "target_after": 0.2, "target_drop": pytest.approx(5 / 7), "st_d": pytest.approx(0.14),
        "target_removed": pytest.approx(5 / 6), "target_matched_before": 0.7, "target_matched": 0.4,
        "target_decoded_before": 0.7, "target_decoded": 0.6,
    }  # fmt: skip
    assert {name: pairs["b"][name] for name in expected} == expected
    assert (pairs["c"]["role"], pairs["c"]["eligible"], pairs["c"]["twin"]) == ("bystander", False, False)
    assert (pairs["c"]["target_removed"], pairs["c"]["st_d"]) == (0.0, None)


def test_a_failed_cell_has_a_row_and_no_pairs(run: SimpleNamespace) -> None:
    cells = {row["key"]: row for row in rows(run.out, "cells")}
    assert (cells[run.bad["key"]]["status"], cells[run.bad["key"]]["error"]) == ("failed", "diverged")
    assert run.bad["key"] not in {row["key"] for row in rows(run.out, "pairs")}
    child = cells[run.child["key"]]
    assert json.loads(child["params"]) == {"lam": 0.1}
    assert json.loads(child["spec"]) == run.child["spec"]
    assert (child["device"], child["git_dirty"], child["flags"], child["targets"]) == (
        "cpu",
        False,
        ["not-taken-off"],
        ["b"],
    )
    assert len(rows(run.out, "accuracy")) == 6


@pytest.mark.parametrize(("targets", "role"), [([], "target"), (["b+c"], "target"), (["b", "c"], "target")])
def test_unions_and_target_free_methods_block_several_domains(
    make: SimpleNamespace, targets: list[str], role: str
) -> None:
    parent = make.train()
    pairs = tables.build([parent, make.protect(parent, targets)], None)["pairs"].to_pylist()
    assert {row["target"]: row["role"] for row in pairs} == {"b": role, "c": role}


def test_eligible_is_null_until_the_suite_freezes_a_list(make: SimpleNamespace) -> None:
    parent = make.train()
    child = make.protect(parent, ["b"])
    for plan in (None, make.plan(parent), make.plan(parent, eligible=[])):
        assert tables.build([parent, child], plan)["pairs"]["eligible"].to_pylist() == [None, None]


def test_what_is_undefined_is_null(make: SimpleNamespace) -> None:
    parent = make.train(correct={"a": 0, "b": 0, "c": 8})
    pairs = tables.build([parent, make.protect(parent, ["b"])], None)["pairs"].to_pylist()
    b, c = sorted(pairs, key=lambda row: row["target"])
    assert (b["source_drop"], b["target_drop"], b["st_d"], b["target_removed"]) == (None, None, None, None)
    assert (c["target_drop"], c["target_removed"]) == (0.0, None)


def test_val_cells_use_the_val_part_and_test_cells_the_test_part(make: SimpleNamespace) -> None:
    parent = make.train()
    test, val = (make.protect(parent, ["b"], spec={"score": s}, cell={"score": s}) for s in ("test", "val"))
    for record, shift in ((parent, 0), (test, 1), (val, 1)):
        record["accuracy"] += [
            row | {"part": "val", "correct": row["correct"] // 2 - shift} for row in record["accuracy"]
        ]
    pairs = tables.build([parent, test, val], None)["pairs"].to_pylist()
    seen = {row["score"]: (row["target_before"], row["target_after"]) for row in pairs if row["target"] == "b"}
    assert seen == {"test": (0.7, 0.1), "val": (0.35, 0.04)}


def test_a_domain_that_the_parent_was_not_scored_on_makes_no_pair(make: SimpleNamespace) -> None:
    parent = make.train()
    child = make.protect(parent, ["b"], {"new": make.score("new", 50)})
    assert {row["target"] for row in tables.build([parent, child], None)["pairs"].to_pylist()} == {"b", "c"}


def test_no_pairs_without_an_ok_parent(make: SimpleNamespace) -> None:
    parent = make.train()
    child = make.protect(parent, ["b"])
    assert tables.build([child], None)["pairs"].num_rows == 0
    assert tables.build([parent | {"status": "failed"}, child], None)["pairs"].num_rows == 0


def test_a_child_joins_the_parent_it_was_made_from(make: SimpleNamespace) -> None:
    first = make.train(checkpoint_sha256="1")
    second = make.train(correct={"b": 60}, checkpoint_sha256="2", attempt=2)
    assert first["key"] == second["key"]
    for noted, before in (("1", 0.7), ("2", 0.6), (None, 0.7), ("lost", 0.7)):
        child = make.protect(first, ["b"], parent_checkpoint=noted)
        built = tables.build([second, first, child], None)
        assert {r["target"]: r["target_before"] for r in built["pairs"].to_pylist()}["b"] == before
        assert [r["winner"] for r in built["attempts"].to_pylist()] == [False, True, True]
        assert built["cells"].num_rows == 2


def test_stale_rows_are_marked_in_cells_and_pairs(make: SimpleNamespace) -> None:
    parent = make.train()
    old = make.protect(parent, ["b"])
    new = make.protect(parent, ["b"], spec={"method_version": 2})
    built = tables.build([parent, old, new], None)
    for name in ("cells", "pairs"):
        marks = {row["key"]: row["current"] for row in built[name].to_pylist()}
        assert (marks[old["key"]], marks[new["key"]]) == (False, True)


@pytest.mark.parametrize("harm", ["truncate", "remove", "garbage", "old schema", "folder gone"])
def test_a_damaged_table_is_rebuilt_from_the_records(run: SimpleNamespace, harm: str) -> None:
    run.store.write_tables(force=True)
    expected = {name: rows(run.out, name) for name in tables.SCHEMAS}
    path = run.out / "tables" / "pairs.parquet"
    if harm == "truncate":
        path.write_bytes(path.read_bytes()[:-20])
    elif harm == "remove":
        path.unlink()
    elif harm == "garbage":
        path.write_bytes(b"PAR1")
    elif harm == "old schema":
        pq.write_table(pq.read_table(path).drop_columns(["st_d"]), path)
    else:
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
    assert {name: rows(run.out, name) for name in tables.SCHEMAS} == expected
    assert pq.read_table(path).num_rows == 2  # and mended


def test_a_reader_sees_records_that_the_tables_have_not_caught_up_with(
    run: SimpleNamespace, make: SimpleNamespace
) -> None:
    run.store.write_tables(force=True)
    before = (run.out / "tables" / "pairs.parquet").stat().st_mtime_ns
    assert len(rows(run.out, "pairs")) == 2
    assert (run.out / "tables" / "pairs.parquet").stat().st_mtime_ns == before  # nothing new, nothing rewritten
    run.store.commit(make.protect(run.parent, ["c"], method="other"))  # the driver was killed before it wrote tables
    assert len(rows(run.out, "pairs")) == 4
    run.store.write_plan(make.plan(run.parent, eligible=["a:c"]) | {"written": 2.0})
    assert {row["target"]: row["eligible"] for row in rows(run.out, "pairs")} == {"b": False, "c": True}


def test_refreshed_are_tables_that_are_damaged_or_behind_and_no_others(
    run: SimpleNamespace, make: SimpleNamespace
) -> None:
    path = run.out / "tables" / "attacks.parquet"
    tables.refresh(run.store)
    written = path.stat().st_mtime_ns
    run.store.write_plan((run.store.plan() or {}) | {"written": 2.0})  # the same command again
    tables.refresh(run.store)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:-20])
    tables.refresh(run.store)
    assert pq.read_table(path).num_rows == 0
    run.store.commit(make.protect(run.parent, ["c"], method="other"))
    tables.refresh(run.store)
    assert pq.read_table(run.out / "tables" / "cells.parquet").num_rows == 4


def test_a_damaged_record_costs_its_own_rows_only(run: SimpleNamespace) -> None:
    path = records.files(run.out)[f"{run.bad['key']}.1.{run.bad['uuid']}.json"]
    path.write_text(path.read_text()[:50])
    assert len(rows(run.out, "cells")) == 2
    written = (run.out / "tables" / "cells.parquet").stat().st_mtime_ns
    assert len(rows(run.out, "pairs")) == 2
    assert (run.out / "tables" / "cells.parquet").stat().st_mtime_ns == written  # known to be damaged, no rebuild


def test_several_tables_are_those_read_one_by_one_and_come_with_the_plan(run: SimpleNamespace) -> None:
    run.store.write_tables(force=True)
    names = ("pairs", "cells")
    found, plan = tables.several(run.out, *names)
    assert [table.to_pylist() for table in found] == [rows(run.out, name) for name in names]
    assert plan == run.store.plan() is not None
    path = run.out / "tables" / "cells.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    again, _ = tables.several(run.out, *names)  # one is damaged: both are made anew, from the same records
    assert [table.to_pylist() for table in again] == [table.to_pylist() for table in found]
    assert pq.read_table(path).num_rows == found[1].num_rows


def test_a_directory_that_cannot_be_written_can_be_read(run: SimpleNamespace) -> None:
    (run.out / "tables").write_text("in the way")
    assert len(rows(run.out, "pairs")) == 2


def test_load_joins_pairs_with_their_cells(run: SimpleNamespace) -> None:
    frame = results.load(str(run.out))
    assert len(frame) == 2
    assert list(frame["status"]) == ["ok", "ok"]
    assert set(frame["device"]) == {"cpu"}
    assert frame.loc[frame["target"] == "b", "target_removed"].item() == pytest.approx(5 / 6)
    assert not frame.columns.duplicated().any()


def test_an_empty_run_has_empty_tables_with_their_types(tmp_path: Path) -> None:
    Store(tmp_path).write_plan({"schema": 1, "cells": []})
    frame = results.load(tmp_path)
    assert len(frame) == 0
    assert frame["target_removed"].dtype == "float64"


@pytest.mark.parametrize("where", ["none", "."])
def test_what_is_no_run_directory_is_said_in_one_line(tmp_path: Path, where: str) -> None:
    with pytest.raises(StoreError, match="is not a run directory") as error:
        results.load(tmp_path / where)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_no_utf8_stands_there_as_its_codes(run: SimpleNamespace, make: SimpleNamespace) -> None:
    """As of a file whose name is none: Parquet takes no half of a surrogate pair."""
    run.store.commit(make.protect(run.parent, ["b", "c"], status="failed", error="no \udcff.png", accuracy=[]))
    run.store.write_tables(force=True)
    assert {row["error"] for row in rows(run.out, "cells")} == {None, "diverged", r"no \udcff.png"}
