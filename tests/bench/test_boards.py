"""The benchmark of boards measures what it says: whole runs as they are left, and a bound that is missed is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import results
from results import leaderboard
from tests.bench import boards


def test_the_made_up_run_is_whole_and_its_tables_are_those_of_its_records(tmp_path: Path) -> None:
    boards.make(str(tmp_path / "run"), backbones=2, variants=5, seeds=2)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "tables").iterdir()}
    assert len(results.load(tmp_path / "run")) == 2 * 5 * 12 * 2 * 3
    board = leaderboard.load(tmp_path / "run")
    assert (len(board.frame), len(list(board.groups())), board.missing, board.failed) == (10, 2, [], [])
    assert board.frame["control"].sum() == 2
    assert {path: path.stat().st_mtime_ns for path in written} == written  # read, not built anew


def test_a_figure_above_its_bound_is_named_and_one_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    nan = float("nan")
    figures = [
        ("load", 1.9, 2.0, "s"),
        ("board", 3.1, 3.0, "s"),
        ("page", 500.0, 500.0, "kB"),
        ("memory", nan, 1.0, "MB"),
    ]
    assert boards.missed(figures) == ["board", "memory"]
    assert "3.10 s   at most 3" in capsys.readouterr().out


def test_a_cost_is_of_a_process_that_a_small_one_began_and_its_failure_is_an_error() -> None:
    """In a process of its own: what is counted of a child begins with what its parent had."""
    code = """
from tests.bench import boards
little = boards.cost("-S", "-c", "print('said')")
much = boards.cost("-S", "-c", "held = bytearray(10**8); held[::4096] = held[::4096]")
assert little.said == "said\\n" and little.seconds > 0
assert much.megabytes > little.megabytes + 80
boards.cost("-S", "-c", "raise SystemExit('no such thing')")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("AssertionError: no such thing"), done.stderr
