"""`mapbench compare DIR published`: the figures and cells that are chosen, what is printed, every mistake's line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError
from harness.compare import compare
from harness.grid import Filters
from results import published
from tests.harness.conftest import Mapbench
from tests.harness.mirrored import seed_of_sweep
from tests.results.beside import cifar, written

ALL = ("published",)


@pytest.fixture
def out(tmp_path: Path) -> str:
    """ntl and cuti with three seeds on CIFAR10 -> STL10, ntl with one on the way back."""
    return str(written(tmp_path / "run", *cifar(3)))


def rows(capsys: Any, out: str, **filters: tuple[str, ...]) -> list[dict[str, Any]]:
    assert compare(out, ALL, Filters(**filters), as_json=True) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return found


def figures(found: list[dict[str, Any]], name: str) -> set[Any]:
    return {row["theirs"][name] for row in found}


def test_only_figures_of_the_run_s_suites_and_of_none_that_is_named(capsys: Any, out: str) -> None:
    found = rows(capsys, out)
    assert figures(found, "suite") == {"cifar-stl", ""}
    assert [row["theirs"]["cite"] for row in found] == sorted(figure["theirs"]["cite"] for figure in found)


def test_figures_keep_their_order(capsys: Any, out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = published.load()[::-1]
    monkeypatch.setattr(published, "load", lambda: backwards)
    assert rows(capsys, out)[0]["theirs"]["cite"] == backwards[0].cite == "NTLBench, IJCAI 2025"


def test_m_chooses_on_both_sides_and_f_s_stays(capsys: Any, out: str) -> None:
    found = rows(capsys, out, methods=("cuti",))
    assert figures(found, "method") == {"cuti", "f_s"}
    assert {row["variant"] for row in found if row["ours"]} == {"cuti", "f_s"}
    assert {row["variant"] for row in rows(capsys, out, methods=("f_s",)) if row["ours"]} == {"f_s"}


def test_p_chooses_figures_all_of_whose_pairs_are_meant(capsys: Any, out: str) -> None:
    found = rows(capsys, out, pairs=("stl10:cifar10",))
    assert {tuple(row["theirs"]["pairs"]) for row in found} == {("stl10:cifar10",)}
    assert "composite" in figures(rows(capsys, out, pairs=("all",)), "metric")


def test_s_and_b_choose_ours(capsys: Any, out: str) -> None:
    of = [row for row in rows(capsys, out, seeds=("1-2",)) if row["ours"] and row["theirs"]["source"] == "cifar10"]
    assert {row["ours"]["seeds"] for row in of} == {2}
    assert not [row for row in rows(capsys, out, backbones=("vgg11",)) if row["ours"]]


@pytest.mark.parametrize(
    ("beside", "filters", "message"),
    [
        (
            ("ntl", "cuti", "cupi"),
            {},
            "cannot compare with ntl cuti cupi: write `mapbench compare {out} published`, `mapbench compare {out} ",
        ),
        ((), {}, "cannot compare with nothing: write `mapbench compare {out} published`"),
        (
            ALL,
            {"methods": ("df-map",)},
            "no published figure of cifar-stl is of df-map; some are of cupi, cuti, f_s, h-ntl, ntl",
        ),
        (ALL, {"pairs": ("cifar10:stl11",)}, "no published figure of cifar-stl is of cifar10:stl11"),
    ],
)
def test_a_mistake_is_one_line(out: str, beside: tuple[str, ...], filters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        compare(out, beside, Filters(**filters), as_json=False)
    assert str(raised.value).startswith(message.format(out=out))
    assert "\n" not in str(raised.value)


def test_a_run_of_other_suites_is_one_line_exit_2(mapbench: Mapbench, tmp_path: Path) -> None:
    out = written(tmp_path / "mini", *seed_of_sweep(0))
    done = mapbench("compare", str(out), "published")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"mapbench: {out}: no published figure is of digits-mini; some are of cifar-stl, digits, visda\n"
    )


def test_a_plan_without_results_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"schema": 1, "grid": "x", "written": 1.0, "suites": {}, "cells": []}')
    with pytest.raises(UsageError, match="no cell has ended yet; `mapbench status"):
        compare(str(tmp_path), ALL, Filters(), as_json=False)


def test_the_command_as_typed(mapbench: Mapbench, out: str) -> None:
    done = mapbench("compare", out, "published", "-m", "ntl", "-p", "cifar10:stl10")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert lines[0].endswith("/run beside published figures")
    assert "MAP: a re-implementation from the public description" in lines[1]
    row = next(line.split() for line in lines if "source_after" in line and "within" in line)
    assert row == ["ntl", "source_after", "0.856", "0.856±0.005", "+0.000", "3/3", "within", "3", "4"]
    assert json.loads(mapbench("compare", out, "published", "--json").stdout)["rows"]


def test_it_loads_neither_torch_nor_ray(out: str) -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"try:\n    main(['compare', {out!r}, 'published', '--json'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*({'torch', 'ray', 'mlflow'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == ""
