"""Tables that stand are told from those that do not without reading them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from results.fresh import fresh
from results.store import Store


@pytest.fixture
def store(tmp_path: Path, make: SimpleNamespace) -> Store:
    """Two records, a plan, and their tables."""
    made = Store(tmp_path / "run")
    parent = make.train()
    for record in (parent, make.protect(parent, ["b"])):
        made.commit(record)
    made.write_plan(make.plan(parent))
    made.write_tables(force=True)
    return made


def test_tables_stand_until_there_is_a_record_more(store: Store, make: SimpleNamespace) -> None:
    assert fresh(store)
    store.commit(make.train(source="b"))
    assert not fresh(store)


def test_tables_of_another_plan_do_not_stand(store: Store) -> None:
    plan = store.plan()
    assert plan is not None
    store.write_plan(plan | {"written": 2.0})
    assert not fresh(store)


@pytest.mark.parametrize("harm", ["gone", "cut", "another's"])
def test_one_table_that_cannot_be_used_is_enough(store: Store, harm: str) -> None:
    path = store.tables_dir / "pairs.parquet"
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_bytes((store.tables_dir / "cells.parquet").read_bytes())
    assert not fresh(store)
