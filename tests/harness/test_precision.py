"""A precision in keys and names: other cells, other rows, one backbone to ask for; and what a user sees of it.

.venv/bin/pytest tests/harness/test_precision.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import UsageError, api, numerics
from harness.forest import expand
from harness.grid import Filters, read
from results import records, tables
from suites import strict
from tests.harness.conftest import QUICK, Mapbench

PRINTS = {("quick", 0): {"uci": "a", "uci-m": "b"}}
WHAT = (
    "suite: digits-mini, methods: [sf-map, constant], attacks: [probe, from-scratch], pairs: ['uci:print'], seeds: [0]"
)
TWO = f"grid: two\ngrids:\n  - {{{WHAT}}}\n  - {{{WHAT}, precision: bf16}}\n"
UNKNOWN = "command line: unknown precision {!r}: did you mean bf16? There are fp32, tf32, bf16"


def test_keys_differ_by_precision_and_the_default_is_what_it_was(tmp_path: Path) -> None:
    methods = ("sf-map", "constant", "untrained")
    asked = {
        p: expand(read(QUICK, Filters(methods, attacks=("probe", "from-scratch"), precision=p)), PRINTS)
        for p in (None, *numerics.PRECISIONS)
    }
    keys = {precision: {c.key for c in made} for precision, made in asked.items()}
    assert keys[None] == keys["fp32"]
    assert len(set.union(*keys.values())) == 3 * len(keys["fp32"])
    for precision, made in asked.items():
        assert {c.spec["precision"] for c in made} == {precision or "fp32"}
        assert {c.meta["backbone"] for c in made} == {numerics.called("convnet", precision or "fp32")}
        assert {c.spec["backbone"] for c in made} == {"convnet"}
    (tmp_path / "own.yaml").write_text(Path(QUICK).read_text() + "  precision: bf16\n")
    own = expand(read(str(tmp_path / "own.yaml"), Filters(methods, attacks=("probe", "from-scratch"))), PRINTS)
    assert {c.key for c in own} == keys["bf16"]


def test_a_grid_may_hold_two_precisions_and_the_command_line_is_of_all_its_parts(tmp_path: Path) -> None:
    prints = {("digits-mini", 0): {d: d for d in ("uci", "uci-m", "print", "street")}}
    (tmp_path / "two.yaml").write_text(TWO)
    made = expand(read(str(tmp_path / "two.yaml")), prints)
    by_key = {c.key: c for c in made}
    names = [c.meta["backbone"] for c in made]
    assert names.count("convnet") == names.count("convnet@bf16") == len(made) / 2
    for cell in made:  # a tree has one precision
        for above in filter(None, cell.above):
            assert by_key[above].spec["precision"] == cell.spec["precision"]
    typed = expand(read(str(tmp_path / "two.yaml"), Filters(precision="tf32")), prints)
    assert {c.spec["precision"] for c in typed} == {"tf32"} and len(typed) == len(made) / 2


def test_a_given_f_s_and_a_precision_are_both_in_its_name() -> None:
    given = "9a846be6" + "0" * 56
    bf16, tf32 = (expand(read(QUICK, Filters(precision=p)), PRINTS, None, given) for p in ("bf16", "tf32"))
    assert {c.meta["backbone"] for c in bf16} == {"convnet@9a846be6@bf16"}
    assert len({c.key for c in (*bf16, *tf32)}) == 2 * len(bf16)  # f_s as well, though the file is the same


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("convnet", ["convnet", "convnet@bf16", "convnet@9a846be6", "convnet@9a846be6@bf16"]),
        ("convnet@fp32", ["convnet", "convnet@9a846be6"]),
        ("convnet@bf16", ["convnet@bf16", "convnet@9a846be6@bf16"]),
        ("convnet@9a846be6", ["convnet@9a846be6", "convnet@9a846be6@bf16"]),
        ("convnet@9a846be6@bf16", ["convnet@9a846be6@bf16"]),
        ("conv", []),
        ("vgg11", ["vgg11"]),
        ("vgg11@tf32", []),
    ],
)
def test_a_backbone_is_asked_for_with_or_without_its_marks(asked: str, meant: list[str]) -> None:
    names = ["convnet", "convnet@bf16", "convnet@9a846be6", "convnet@9a846be6@bf16", "vgg11"]
    assert [name for name in names if numerics.is_called(name, asked)] == meant


def test_a_wrong_word_is_one_line_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as typed:
        read(QUICK, Filters(precision="bf61"))
    assert str(typed.value) == UNKNOWN.format("bf61")
    path = tmp_path / "two.yaml"
    path.write_text(TWO.replace("precision: bf16", "precision: fp23"))
    with pytest.raises(strict.SuiteError) as error:
        read(str(path))
    line = f"{path}:4: grids.1.precision: input should be 'fp32', 'tf32' or 'bf16', not 'fp23'; did you mean 'fp32'?"
    assert str(error.value) == line


def test_python_says_the_same_by_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(api, "execute", lambda target, filters, options: told.extend((filters, options)))
    api.run(QUICK, precision="bf16", deterministic=True)
    assert (told[0].precision, told[1].deterministic) == ("bf16", True)


@pytest.mark.slow
def test_two_precisions_share_a_directory_and_no_row(mapbench: Mapbench, tmp_path: Path) -> None:
    out = tmp_path / "here" / "runs" / "quick"
    asked = ("run", QUICK, "-m", "constant", "-a", "from-scratch[n=20]", "--executor", "inline", "--no-mlflow")
    for more in ((), ("--precision", "bf16", "--deterministic")):
        done = mapbench(*asked, *more)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "quick · convnet@bf16 ·" in done.stdout and "quick · convnet ·" in done.stdout
    cells = tables.read(out, "cells").to_pandas().set_index("key")
    assert sorted(cells.backbone) == ["convnet"] * 3 + ["convnet@bf16"] * 3 and set(cells.status) == {"ok"}
    made = {r["cell"]["backbone"]: r["environment"]["deterministic"] for r in records.read_all(out)[0]}
    assert made == {"convnet": False, "convnet@bf16": True}
    pairs = tables.read(out, "pairs").to_pandas()
    assert sorted(pairs.backbone) == ["convnet", "convnet@bf16"]
    assert list(pairs.backbone) == [cells.backbone[parent] for parent in pairs.parent]
    assert mapbench(*asked, "--precision", "bf16").stdout.startswith("nothing to do: 3 cells done")

    shown = mapbench("leaderboard", str(out), "-b", "convnet@bf16", "--latex").stdout
    assert "convnet@bf16" in shown and "convnet " not in shown
    both = mapbench("leaderboard", str(out), "-b", "convnet", "--csv").stdout
    assert both.count("convnet,") and both.count("convnet@bf16,")
    assert '"ok": 3' in mapbench("status", str(out), "-b", "convnet@fp32", "--json").stdout

    done = mapbench(*asked, "--precision", "pf16")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mapbench: {UNKNOWN.format('pf16')}\n"
