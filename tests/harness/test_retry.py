"""What is run again is the cell that failed: scored on its own domains, whatever else its grid has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import api
from harness.expected import as_json
from harness.forest import expand
from harness.grid import Filters, read
from harness.retry import retry
from results.store import Store

GRID = """grid: mine
grids:
  - {suite: digits-mini, pairs: ['uci:print'], methods: [ntl], seeds: [0], attacks: []}
  - {suite: digits-mini, watermarks: [80], pairs: ['uci:*'], methods: [ntl], seeds: [0], attacks: []}
"""


def test_a_cell_keeps_its_domains_with_and_without_watermarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text(GRID)
    grid, store = read(str(tmp_path / "mine.yaml")), Store(tmp_path / "run")
    plain = ("uci", "uci-m", "print", "street")
    cells = expand(grid, {("digits-mini", 0): {d + mark: d + mark for d in plain for mark in ("", "@wm80")}})
    store.write_plan(as_json(grid, cells, None))
    for number, cell in enumerate(cells):
        store.commit({
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}", "status": "failed", "spec": cell.spec,
            "cell": cell.meta, "finished": 1.0, "accuracy": [], "error": "no luck", "log": None,
        })  # fmt: skip
    ran: list[Any] = []
    monkeypatch.setattr(api, "complete", lambda made, store, tasks, options: ran.extend(tasks) or 0)
    assert retry(str(store.out), Filters(), api.Options()) == 0
    assert {task.key for task in ran} == {cell.key for cell in cells}
    for task in ran:
        assert set(task.payload["suite"]["domains"]) == set(task.payload["spec"]["domains"])
    assert sorted(len(task.payload["suite"]["domains"]) for task in ran) == [4, 4, 8, 8]
