"""The reading verbs answer for the cells that the filters choose, unions among them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError, views
from harness.grid import Filters
from results.store import Store
from tests.harness.mirrored import record, seed_of_sweep

OTHERS = ["print", "street", "uci-m"]


@pytest.fixture
def out(tmp_path: Path) -> str:
    """f_s, ntl and sa-map on uci:uci-m, a target-free method, and cuti on all three others at once."""
    store = Store(tmp_path / "run")
    made = [*seed_of_sweep(0), record("cuti", 0, OTHERS, {"uci": 95, "uci-m": 12, "print": 10, "street": 11})]
    for one in made:
        store.commit(one)
    suite = {"eligible": [], "twins": [], "classes": 10, "domains": made[0]["cell"]["domains"], "version": 1}
    cells = [{"key": r["key"], **r["cell"]} for r in made]
    store.write_plan({"schema": 1, "grid": "demo", "written": 1.0, "suites": {"digits-mini": suite}, "cells": cells})
    return str(store.out)


def shown(capsys: Any, out: str, pairs: tuple[str, ...], by_pair: bool = False) -> list[dict[str, str]]:
    views.board(out, Filters(pairs=pairs), "test", None, "csv", by_pair)
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


@pytest.mark.parametrize(
    ("pair", "variants"),
    [
        ("uci:uci-m", {"ntl", "sa-map[cap=sample]", "cuti", "df-map"}),
        ("uci:print", {"cuti", "df-map"}),
        ("uci:street+print", {"cuti", "df-map"}),
        ("uci:*", {"cuti", "df-map"}),
        ("all-at-once", {"cuti", "df-map"}),
    ],
)
def test_a_board_of_chosen_pairs(capsys: Any, out: str, pair: str, variants: set[str]) -> None:
    assert {row["variant"] for row in shown(capsys, out, (pair,))} == variants


def test_a_pair_that_is_not_there_is_one_line(out: str) -> None:
    with pytest.raises(ValueError, match="no protected model scored on test"):
        views.board(out, Filters(pairs=("print:uci",)), "test", None, None)


def test_by_pair_has_a_row_for_each_domain_of_a_union(capsys: Any, out: str) -> None:
    rows = [row for row in shown(capsys, out, ("uci:*",), by_pair=True) if row["variant"] == "cuti"]
    assert [(row["pair"], row["target"]) for row in rows] == [("uci:*", d) for d in ("", "uci-m", "print", "street")]
    views.board(out, Filters(), "test", None, "json", by_pair=True)
    assert len(json.loads(capsys.readouterr().out)) == 2 + 4 + 4  # two pairs alone, and two unions with their means


def test_by_pair_has_no_page(out: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--by-pair has no page: leave out --html"):
        views.board(out, Filters(), "test", str(tmp_path / "x.html"), None, by_pair=True)
    assert not (tmp_path / "x.html").exists()


def test_by_pair_prints_the_papers_tables(capsys: Any, out: str) -> None:
    views.board(out, Filters(pairs=("uci:*",)), "test", None, "latex", by_pair=True)
    latex = capsys.readouterr().out
    assert "{}uci:* at once & source & " in latex and "digits-mini" in latex
    views.board(out, Filters(), "test", None, "markdown", by_pair=True)
    assert "| → uci-m | " in capsys.readouterr().out


def test_status_names_a_union_of_all_others_by_a_star(tmp_path: Path) -> None:
    broken = record("cuti", 0, OTHERS, {}, status="failed", error="diverged", log=None)
    Store(tmp_path).commit(broken)
    facts = views.status(str(tmp_path), Filters(pairs=("uci:*",)))
    assert [failure["label"] for failure in facts["failures"]] == ["cuti convnet uci:* s0"]


def test_status_shows_what_an_error_and_a_log_hold_and_does_nothing_of_it(tmp_path: Path) -> None:
    odd = "ValueError: \x1b[2J a\u202eb\nsecond line"
    Store(tmp_path).commit(record("cuti", 0, OTHERS, {}, status="failed", error=odd, log="logs/x.log"))
    (tmp_path / "logs").mkdir()
    bar = "\r".join(f"step {i}/9 \x1b[32m#\x1b[0m" for i in range(10))
    (tmp_path / "logs" / "x.log").write_text(f"begun\n{bar}\r\nfailed\n", newline="")
    facts = views.status(str(tmp_path), Filters())
    assert facts["failures"][0]["tail"] == ["begun", "step 9/9 \x1b[32m#\x1b[0m"]
    said = views.status_text(facts)
    assert all(line.isprintable() for line in said.split("\n"))
    assert r"failed: cuti convnet uci:* s0: ValueError: \x1b[2J a\u202eb second line" in said.split("\n")
    assert r"    step 9/9 \x1b[32m#\x1b[0m" in said.split("\n")
