"""A plan knows every part of its grid, and which cells are new versions of others and which are others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.grid import read
from harness.plan import Plan, make
from results.store import Store
from suites import cache

PART = "  - {suite: digits-mini, WATERMARKS pairs: ['uci:print'], methods: [ntl], seeds: [0], attacks: []}\n"


def planned(folder: Path, *watermarks: str) -> Plan:
    text = "".join(PART.replace("WATERMARKS", mark and f"watermarks: {mark},") for mark in watermarks)
    (folder / "mine.yaml").write_text("grid: mine\ngrids:\n" + text)
    return make(read(str(folder / "mine.yaml")), Store(folder / "run"), folder, folder)


@pytest.fixture(autouse=True)
def prints(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The domains' fingerprints by name; one that is not here is the name itself. No image is built."""
    held: dict[str, str] = {}

    def fingerprints(suite: Any, *_: Any) -> dict[str, str]:
        return {domain: held.get(domain, domain) for domain in suite.domains}

    monkeypatch.setattr(cache, "fingerprints", fingerprints)
    return held


def test_parts_of_one_suite_may_differ_in_their_watermarks(tmp_path: Path) -> None:
    sizes = [len(cell.spec["domains"]) for cell in planned(tmp_path, "[80, 20]", "", "[80]").cells]
    assert sizes == [12, 12, 4, 4, 8, 8]


def test_a_cell_scored_on_more_domains_is_new_and_one_with_other_pixels_stale(
    tmp_path: Path, prints: dict[str, str]
) -> None:
    done, store = planned(tmp_path, ""), Store(tmp_path / "run")
    for number, cell in enumerate(done.cells):
        store.commit({
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}", "status": "ok", "spec": cell.spec,
            "cell": cell.meta, "finished": 1.0, "accuracy": [],
        })  # fmt: skip
    assert [len(cells) for cells in planned(tmp_path, "[80]").by_status.values()] == [2, 0, 0, 0, 0, 0]
    prints["street"] = "redrawn"
    again = planned(tmp_path, "")
    assert [again.stale[cell.key] for cell in again.cells] == [["domains"], ["domains", "parent"]]
