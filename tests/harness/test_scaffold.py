"""A method of one's own, from `mapbench new method` or an installed package: found, checked and run, with no edit."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from results import tables
from tests.harness.conftest import QUICK, Mapbench

INLINE = ("--executor", "inline", "--no-mlflow")
ROOT = Path(__file__).resolve().parents[2]
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "mine-plugin"
version = "0.1"

[project.entry-points."mapbench.methods"]
mine = "mine_plugin.mine"

[tool.hatch.build.targets.wheel]
packages = ["mine_plugin"]
"""


def ran(out: Path) -> dict[str, str]:
    return dict(tables.read(out, "cells").to_pandas().set_index("variant").status)


@pytest.mark.slow
def test_a_new_method_passes_check_and_runs_from_its_folder(mapbench: Mapbench, tmp_path: Path) -> None:
    here = tmp_path / "here"
    said = mapbench("new", "method", "my-way")
    assert said.returncode == 0, said.stderr
    assert said.stdout.split("\n")[1:3] == [
        "check   mapbench check my-way --methods my_way.py",
        "run     mapbench run demo --methods my_way.py -m my-way",
    ]
    assert [p.name for p in here.iterdir()] == ["my_way.py"]
    assert "\nmy-way\n    `my-way`: " in mapbench("list", "methods", "--methods", ".").stdout
    checked = mapbench("check", "my-way", "--methods", ".")
    assert checked.returncode == 0, checked.stdout
    assert "FAIL" not in checked.stdout
    done = mapbench("run", QUICK, *INLINE, "--methods", ".", "-m", "my-way[upper=2]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(here / "runs" / "quick") == {"": "ok", "my-way[upper=2]": "ok"}


def test_what_is_written_is_clean_python_that_teaches(mapbench: Mapbench, tmp_path: Path) -> None:
    written = tmp_path / "here" / "ours.py"
    assert mapbench("new", "method", "mine", "--out", "ours.py").returncode == 0
    text = written.read_text()
    assert "$" not in text
    for word in ("needs", "version", "Params", "setup", "optimizers", "step", "finish", "--methods ours.py"):
        assert word in text
    ruff = Path(sys.executable).with_name("ruff")
    for verb in (["check"], ["format", "--check"]):  # by the house's own rules, as if the file lay in methods/
        linted = subprocess.run(
            [ruff, *verb, "--no-cache", "--stdin-filename", ROOT / "methods" / "ours.py", "-"],
            input=text, capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_file_that_is_there_is_left_alone(mapbench: Mapbench, tmp_path: Path) -> None:
    (tmp_path / "here" / "mine.py").write_text("precious = True\n")
    done = mapbench("new", "method", "mine")
    assert done.returncode == 2
    assert "mine.py is there already: choose another file with --out" in done.stderr
    assert (tmp_path / "here" / "mine.py").read_text() == "precious = True\n"


@pytest.mark.slow
def test_a_method_of_an_installed_package_is_found_checked_and_run(mapbench: Mapbench, tmp_path: Path) -> None:
    package, site = tmp_path / "package", tmp_path / "site"
    (package / "mine_plugin").mkdir(parents=True)
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "mine_plugin" / "__init__.py").write_text("")
    assert mapbench("new", "method", "mine", "--out", str(package / "mine_plugin" / "mine.py")).returncode == 0
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=package, check=True)
    zipfile.ZipFile(next((package / "dist").glob("*.whl"))).extractall(site)  # what installing a pure wheel is

    assert "\nmine\n" not in mapbench("list", "methods").stdout
    listed = mapbench("list", "methods", PYTHONPATH=str(site))
    assert "\nmine\n" in listed.stdout
    checked = mapbench("check", "mine", PYTHONPATH=str(site))
    assert checked.returncode == 0, checked.stdout
    done = mapbench("run", QUICK, *INLINE, "-m", "mine", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(tmp_path / "here" / "runs" / "quick") == {"": "ok", "mine": "ok"}
    taken = mapbench("new", "method", "mine", PYTHONPATH=str(site))
    assert taken.returncode == 2
    assert "method name 'mine' is taken" in taken.stderr


def test_an_entry_point_without_its_module_is_one_line(mapbench: Mapbench, tmp_path: Path) -> None:
    info = tmp_path / "site" / "gone-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gone\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[mapbench.methods]\ngone = gone_plugin.mine\n")
    done = mapbench("list", "methods", PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 2
    assert done.stderr == "mapbench: entry point gone = gone_plugin.mine: no such module; mend its package\n"
