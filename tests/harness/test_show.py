"""`mapbench show`: in each form, in one line where it cannot; the command that it ends with plans that very cell."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError, expected, numerics
from harness.cards import cards
from harness.cells import Cell
from harness.cli import cli
from harness.forest import expand, imagenet
from harness.grid import read
from harness.options import asked
from harness.show import show
from results import StoreError, rerun
from results.store import Store
from tests.harness.conftest import QUICK
from tests.harness.mirrored import record, seed_of_sweep

F_S = "9a846be6" + "0" * 56  # sha256 of a source model that is given


def planned(command: str) -> tuple[list[Cell], dict[str, Any]]:
    """The cells that a command line of `mapbench run` plans, read by its own options, and plan.json; no data is
    there."""
    words = shlex.split(command)
    assert words[:2] == ["mapbench", "run"]
    typed = dict(cli.commands["run"].make_context("run", words[2:]).params)
    target = typed.pop("target")
    filters, options = asked(typed)
    grid = read(target, filters)
    prints: dict[tuple[str, int], dict[str, str]] = {}
    for part in grid.parts:
        prints.setdefault((part.suite.suite, part.split_seed), {}).update({d: d for d in part.suite.domains})
    given = F_S if options.source_model else None
    weights = dict.fromkeys(imagenet(grid, given is not None), "e" * 64)
    cells = expand(grid, prints, weights, given)
    return cells, json.loads(json.dumps(expected.as_json(grid, cells, command)))


def of_each_kind(cells: list[Cell]) -> list[Cell]:
    """One cell of each suite, kind, method and attack, and with and without a parent, a target and a watermark."""
    found: dict[Any, Cell] = {}
    for cell in cells:
        meta = cell.meta
        facts = (meta["suite"], meta["kind"], meta["method"], meta.get("attack"), bool(meta["parent"]))
        found.setdefault((*facts, len(meta["targets"]), "@" in meta["source"], len(meta["domains"])), cell)
    return list(found.values())


def said_of(cell: Cell) -> dict[str, Any]:
    """A cell as its record tells of it."""
    spec, meta = json.loads(json.dumps(cell.spec)), json.loads(json.dumps(cell.meta))
    return {**spec, **meta, "key": cell.key, "status": "ok"}


SMALL = "-p uci-m:uci -s 1 -b convnet"
EVERY_KIND = "-m sf-map -m df-map -m 'random-mask[settings=tuned]' -m untrained -a 'probe[n=20]' -a from-scratch"
WATERMARKS = """\
grid: mine
grids:
  - {suite: digits-mini, pairs: ['uci:print'], methods: [ntl], seeds: [0], attacks: []}
  - {suite: digits-mini, watermarks: [80], pairs: ['uci:uci@wm80'], methods: [cuti], seeds: [0], attacks: []}
"""
TWO_SUITES = """\
grid: mine
grids:
  - {suite: digits-mini, split_seed: 1, pairs: ['uci:print'], methods: [ntl, continue], seeds: [0], attacks: []}
  - {suite: digits-mini, split: legacy5k, pairs: ['uci:print'], methods: [ntl], seeds: [0]}
  - {suite: digits, pairs: ['mnist:usps'], methods: [ntl], seeds: [0, 1], attacks: [probe]}
"""
MINE = """
from methods.base import Method, Needs


class Mine(Method):
    name = "mine"
    version = 1
    needs = Needs(target="none")

    def step(self, batch):
        return self.model(batch.x_s).square().mean(), {}
"""


@pytest.mark.parametrize(
    ("command", "most"),
    [
        (f"mapbench run digits-mini {SMALL} {EVERY_KIND}", 14),
        (f"mapbench run digits-mini {SMALL} -m 'sa-map[cap=sample,lam=0.123456789]' -m 'cuti[tuned]' -a none", 2),
        (f"mapbench run digits-mini {SMALL} -m 'cuti[fidelity=paper]' -m 'ntl[start=init]' -m 'sa-map[tuned]'", 8),
        ("mapbench run digits-mini -p 'uci:*' -p uci:print+street -s 0 -b convnet -m ntl -m gate -a 'probe[n=9]'", 11),
        (f"mapbench run digits-mini {SMALL} -m ntl -a probe --precision bf16", 8),
        (f"mapbench run {QUICK} -s 0", 4),
        (f"mapbench run {QUICK} -s 2 --source-model my.pt -m sf-map -m continue -a from-scratch -a probe", 9),
        ("mapbench run map-paper -m ntl -m df-map -s 2", 4),
        ("mapbench run digits-legacy5k -m ntl -s 0", 8),
        ("mapbench run digits-mini-search -m ntl", 2),
        ("mapbench run ownership -m ntl -s 0", 7),
        ("mapbench run authorisation -m cuti -s 0", 20),
        ("mapbench run digits-mini --methods mine.py -m mine -p uci:print -s 0 -a none", 2),
        ("mapbench run watermarks.yaml", 4),
        ("mapbench run two-suites.yaml", 12),
    ],
)
def test_the_command_plans_the_cell_and_little_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, most: int
) -> None:
    for name, text in (("watermarks.yaml", WATERMARKS), ("two-suites.yaml", TWO_SUITES), ("mine.py", MINE)):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    cells, plan = planned(command)
    for cell in of_each_kind(cells):
        again = rerun.command(said_of(cell), plan)
        assert again is not None, cell.label
        found, _ = planned(again)
        by_key = {c.key: c for c in found}
        assert cell.key in by_key, f"{cell.label}: {again}"
        # a given f_s has no seed
        assert {c.meta["seed"] for c in found if c.own} == {cell.meta["seed"]}
        assert len(found) <= most, [c.label for c in found]


def test_a_cell_of_an_earlier_grid_is_asked_for_by_its_suite() -> None:
    """Two grids went into one directory: plan.json is of the last."""
    cells, _ = planned(f"mapbench run digits-mini {SMALL} -m ntl -a none")
    _, later = planned("mapbench run digits-mini-search -m cuti")
    for cell in cells:
        again = rerun.command(said_of(cell), later) or ""
        assert again.startswith("mapbench run digits-mini -m ")
        assert cell.key in {c.key for c in planned(again)[0]}


def test_python_says_no_command_and_the_suite_is_found_by_its_name() -> None:
    cells, plan = planned("mapbench run digits-mini -p uci:print -s 0 -m ntl -a none")
    for cell in cells:
        again = rerun.command(said_of(cell), {**plan, "command": None}) or ""
        assert cell.key in {c.key for c in planned(again)[0]}


def test_what_the_command_takes_for_granted_of_run() -> None:
    options = cli.commands["run"].params
    assert {name for o in options if getattr(o, "is_flag", False) for name in o.opts} == set(rerun.FLAGS)
    assert {name for o in options for name in o.opts} >= set(rerun.WHERE)
    assert rerun.PRECISIONS == numerics.PRECISIONS
    assert cards()[rerun.CHEAPEST].target == "none" and cards()[rerun.CHEAPEST].smallest_tap == 0


@pytest.fixture
def out(tmp_path: Path) -> str:
    store = Store(tmp_path / "run")
    made = seed_of_sweep(0)
    for one in made:
        store.commit(one)
    suite = {"eligible": [], "twins": [], "classes": 10, "domains": made[0]["cell"]["domains"], "version": 1}
    cells = [{"key": r["key"], **r["cell"]} for r in made]
    store.write_plan({"schema": 1, "grid": "demo", "written": 1.0, "suites": {"digits-mini": suite}, "cells": cells})
    return str(store.out)


KEY = record("ntl", 0, ["uci-m"], {})["key"]


def test_every_form_is_of_the_same_cell(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(out, KEY[:10], None, False) == 0
    assert capsys.readouterr().out.startswith("ntl convnet uci:uci-m s0  ok\n")
    assert show(out, KEY[:10], None, True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["key"], facts["directory"]) == (KEY, out)
    assert facts["curves"] == {"loss": [3.0, 2.0, 1.5]}
    page = tmp_path / "cell.html"
    assert show(out, KEY[:10], str(page), False) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert KEY in page.read_text()


def test_a_failed_cell_shows_the_end_of_its_log(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = record("cuti", 0, ["print"], {}, status="failed", error="diverged")
    Store(out).commit(broken)
    log = Path(out) / broken["log"]
    log.parent.mkdir()
    log.write_text("".join(f"line {n}\n" for n in range(40)))
    show(out, broken["key"], None, False)
    said = capsys.readouterr().out
    assert "  line 39\n" in said and "  line 28\n" in said and "line 27" not in said


def test_mistakes_are_one_line_and_nothing_is_written(out: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two forms of the same"):
        show(out, KEY, "x.html", True)
    with pytest.raises(UsageError, match="is not a run directory"):
        show(str(tmp_path / "none"), KEY, None, False)
    with pytest.raises(StoreError, match="no cell whose key begins with 00000000; the nearest are"):
        show(out, "00000000", str(tmp_path / "x.html"), False)
    with pytest.raises(StoreError, match="cannot write"):
        show(out, KEY, f"{out}/plan.json/x.html", False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("form", [(), ("--html", "cell.html")])
def test_it_is_quick_torch_and_pandas_are_not_loaded(out: str, tmp_path: Path, form: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['show', *sys.argv[1:]])\n"
        "finally:\n    print(*{'torch', 'pandas', 'pyarrow', 'ray', 'mlflow'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, out, KEY, *form],
        cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == ""
    assert done.stdout == "cell.html\n" if form else KEY in done.stdout
