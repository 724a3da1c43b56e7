"""`mapbench compare DIR A B` and `mapbench compare DIR OTHER_DIR` as typed: what is chosen, each mistake's line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from results import tables
from tests.results.duel import grid, wavy, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run`: cut and ntl on sources a and b, three seeds; df, which has no source, and a tuned cut beside them; and
    `other`, which has cut and another method. Tables written."""
    folder = tmp_path_factory.mktemp("runs")
    free = grid(wavy, ("df",), scenario="no source, no target")
    tuned = grid(wavy, ("cut[lam=1]",), tuned=True)
    written(folder / "run", [*grid(wavy), *free, *tuned])
    written(folder / "other", grid(wavy, ("cut", "new")))
    for name in ("run", "other"):
        tables.read(folder / name, "cells")
    return folder


@pytest.fixture
def out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The run as typed, in the folder that holds it."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(folder)
    return "run"


def typed(capsys: Any, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `mapbench compare ...`."""
    with pytest.raises(SystemExit) as end:
        main(["compare", *words])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def comparisons(capsys: Any, *words: str) -> list[dict[str, Any]]:
    code, said, error = typed(capsys, *words, "--json")
    assert (code, error) == (0, "")
    found: list[dict[str, Any]] = json.loads(said)["comparisons"]
    return found


def test_two_variants(capsys: Any, out: str) -> None:
    code, said, error = typed(capsys, out, "cut", "ntl")
    assert (code, error) == (0, "")
    assert said.split("\n")[0] == "mapbench compare: run, cut beside ntl"
    assert "toy, net, labelled source and target, against an attacker who takes the model's answers" in said
    (one,) = comparisons(capsys, out, "cut", "ntl")
    assert (one["a"], one["b"], one["variant"]) == ("cut", "ntl", "")


def test_two_runs_a_folder_or_a_url(capsys: Any, out: str, folder: Path) -> None:
    for other in ("other", f"file://{folder}/other"):
        code, said, error = typed(capsys, out, other)
        assert (code, error) == (0, "")
        assert said.split("\n")[0] == f"mapbench compare: run beside {other}"
        (one,) = comparisons(capsys, out, other)
        assert (one["variant"], one["a"], one["b"]) == ("cut", "run", other)


def test_filters_choose_on_both_sides(capsys: Any, out: str) -> None:
    (one,) = comparisons(capsys, out, "cut", "ntl", "-s", "1-2", "-p", "a:b")
    assert {(m["source"], m["target"], m["seed"]) for m in one["answers"]["models"]} == {("a", "b", 1), ("a", "b", 2)}
    assert {line["difference"]["pairs"] for line in one["lines"]} == {1}
    found = comparisons(capsys, out, "other", "-m", "cut", "-s", "0")
    assert [(one["variant"], one["lines"][0]["seeds"]) for one in found] == [("cut", 1)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run",), "cannot compare with nothing: write `mapbench compare run published`, `mapb"),
        (("run", "cut"), "cannot compare with cut: it is neither `published` nor a run directory; two variants are "),
        (("run", "cut", "published"), "cannot compare with cut published: published stands alone, as in `mapbench "),
        (("run", "run", "ntl"), "cannot compare with run ntl: run stands alone, as in `mapbench compare run "),
        (("run", "cut", "ntl", "df"), "cannot compare with cut ntl df: write `mapbench compare run published`, "),
        (("run", "run"), "run and run are the same run directory: name another"),
        (("run", "./run/"), "run and ./run/ are the same run directory: name another"),
        (("none", "cut", "ntl"), "none is not a run directory: it has neither records nor plan.json; "),
        (("run", "cut", "nlt"), "run has no variant 'nlt': did you mean 'ntl'? there are cut, cut[lam=1], ntl, df"),
        (("run", "cut", "cut[lam=0.1]"), "cut and cut are the same variant: name another"),
        (("run", "cut", "df"), "cut may touch labelled source, labelled target, df no source, no target: methods are "),
        (("run", "ntl", "cut[tuned]"), "ntl is not tuned and cut[lam=1] is tuned: settings that were searched for "),
        (("run", "cut", "ntl", "-m", "cut"), "-m is not for two variants: cut and ntl say which; leave it out"),
        (("run", "cut", "ntl", "-b", "vgg11"), "run: no protected model is of what -b, -m, -p and -s ask for"),
        (("run", "cut", "ntl", "-s", "x"), "cannot read seeds 'x': write 0, 0,1,2 or 0-4"),
    ],
)
def test_a_mistake_is_one_line_exit_2(capsys: Any, out: str, words: tuple[str, ...], message: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    code, said, error = typed(capsys, *words)
    assert (code, said) == (2, "")
    assert error.startswith(f"mapbench: {message}") and error.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_a_name_that_stands_for_several_says_which(capsys: Any, out: str, tmp_path: Path) -> None:
    written(tmp_path / "two", grid(wavy, ("ntl[lam=1]", "ntl[lam=2]", "cut"), seeds=1))
    code, said, error = typed(capsys, f"{tmp_path}/two", "ntl", "cut")
    assert (code, said) == (2, "")
    assert error == (
        f"mapbench: 'ntl' stands for several variants of {tmp_path}/two: write one of 'ntl[lam=1]', 'ntl[lam=2]'\n"
    )


def test_it_loads_neither_torch_nor_ray(out: str) -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"try:\n    main(['compare', {out!r}, 'cut', 'ntl'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*({'torch', 'ray', 'mlflow'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == ""
