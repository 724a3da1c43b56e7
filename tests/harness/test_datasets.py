"""`mapbench data`, and what plan and run do where data is missing: said, blocked, and taken up when it is there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision
import yaml
from PIL import Image
from scipy import ndimage

from harness import datasets
from results import tables
from suites.backbones import weights
from suites.domains.uci import digits
from tests.harness.conftest import Mapbench

RECIPE = {"optimizer": "adam", "lr": 1e-3, "batch": 16, "epochs": 3, "schedule": "linear"}


def suite(name: str, domains: list[object], **more: object) -> str:
    """A user's own suite file."""
    return yaml.safe_dump(
        {
            "suite": name, "version": 1, "classes": 10, "image_size": 16, "domains": domains,
            "backbones": ["convnet"], "recipes": {"convnet": {"train": RECIPE, "protect": RECIPE}},
            "grid": {"methods": ["cuti", "constant"], "backbones": ["convnet"], "pairs": "all", "seeds": [0]},
        } | more,
        sort_keys=False,
    )  # fmt: skip


def handwriting(root: Path, degrees: float, count: int = 600) -> None:
    """digits-mini's handwriting turned by so many degrees, a folder of PNG files per digit."""
    images, labels = digits()
    for i in range(count):
        turned = ndimage.rotate(images[i] * (255 / 16), degrees, reshape=False, order=1)
        path = root / str(labels[i]) / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(turned.clip(0, 255).round().astype(np.uint8)).save(path)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a suite file of two folders, `upright` (there) and `turned` (not yet), below `raw`."""
    handwriting(tmp_path / "raw" / "upright", 0)
    (tmp_path / "own.yaml").write_text(suite("own", ["folder:upright", {"turned": "folder:rotated/by-45"}]))
    return tmp_path


def test_rotated_handwriting_in_folders_of_a_users_own_runs_end_to_end(here: Path, mapbench: Mapbench) -> None:
    """The whole way: data is missing and said so, is put there, prepared, planned, run, changed, and run anew."""
    typed = ("--data", str(here / "raw"))
    run = ("run", "own.yaml", *typed, "--executor", "inline", "--no-mlflow")
    missing = mapbench("data", "own.yaml", *typed, cwd=here)
    assert missing.returncode == 2
    assert [line.split()[:4] for line in missing.stdout.split("\n")[1:3]] == [
        ["upright", "your", "own", "'upright'"], ["turned", "your", "own", "'turned'"],
    ]  # fmt: skip
    assert "prepared" in missing.stdout.split("\n")[1] and "missing" in missing.stdout.split("\n")[2]
    assert "rotated/by-45/CLASS/IMAGE" in missing.stdout
    refused = mapbench(*run, cwd=here)
    assert refused.returncode == 2 and not (here / "runs").exists()
    (line,) = refused.stderr.strip().split("\n")
    assert line.startswith("mapbench: your own 'turned' is not there: no ") and "rotated/by-45" in line
    planned = mapbench("plan", "own.yaml", *typed, cwd=here)
    assert planned.returncode == 0 and "blocked: 6 cells: the data of own is not there" in planned.stdout
    assert "waiting for data: 6 cells" in planned.stdout and "to do: 0 cells" in planned.stdout

    handwriting(here / "raw" / "rotated" / "by-45", 45)
    said = mapbench("data", "own.yaml", *typed, cwd=here)
    assert said.returncode == 0 and "next     mapbench run own.yaml" in said.stdout
    assert said.stdout.count(" prepared ") == 1 and said.stdout.count(" ready ") == 1
    again = mapbench("data", "own.yaml", *typed, "--json", cwd=here)
    rows = json.loads(again.stdout)["domains"]
    assert again.stderr == "" and [row["state"] for row in rows] == ["ready", "ready"]
    assert rows[0]["parts"] == {"train": 432, "attacker": 48, "val": 60, "test": 60}
    done = mapbench(*run, cwd=here)
    assert done.returncode == 0, done.stdout + done.stderr
    assert mapbench(*run, cwd=here).stdout == "nothing to do: 6 cells done\n"
    board = json.loads(mapbench("leaderboard", "runs/own", "--json", "--by-pair", cwd=here).stdout)
    knew = {(row["source"], row["target"]): row["source_before"] for row in board}
    assert min(knew.values()) > 0.7  # it has learned to read, upright and turned

    accuracy = tables.read(here / "runs" / "own", "accuracy").to_pandas()
    kinds = tables.read(here / "runs" / "own", "cells").to_pandas().set_index("key").kind
    # which pairs count is chosen by f_s's val accuracy, as long as the suite file has no list
    scored = {(kinds[key], part) for key, part in zip(accuracy.key, accuracy.part, strict=True)}
    assert scored == {("train", "test"), ("train", "val"), ("protect", "test")}
    pairs = tables.read(here / "runs" / "own", "pairs").to_pandas()
    assert pairs.target_before_val.notna().all() and (pairs.target_before_val != pairs.target_before_balanced).any()

    handwriting(here / "raw" / "upright", 3, count=30)  # other pixels under the same names
    changed = mapbench("plan", "own.yaml", *typed, cwd=here)
    assert "stale: 2 cells: domains changed" in changed.stdout, changed.stdout


def test_a_mistake_in_the_data_is_one_line_and_nothing_is_written(here: Path, mapbench: Mapbench) -> None:
    typed = ("--data", str(here / "raw"))
    handwriting(here / "raw" / "rotated" / "by-45", 45)
    broken = here / "raw" / "rotated" / "by-45" / "3" / "truncated.png"
    broken.write_bytes(next(broken.parent.glob("0*.png")).read_bytes()[:60])
    for verb in (("run", "own.yaml", "--executor", "inline"), ("plan", "own.yaml")):
        refused = mapbench(*verb, *typed, cwd=here)
        (line,) = [line for line in refused.stderr.split("\n") if line.startswith("mapbench: ")]
        assert refused.returncode == 2 and f"{broken} cannot be decoded" in line
        assert not (here / "runs").exists()
    told = mapbench("data", "own.yaml", *typed, cwd=here)
    assert told.returncode == 2 and "broken" in told.stdout and f"{broken} cannot be decoded" in told.stdout
    broken.unlink()
    shutil.rmtree(broken.parent)
    (here / "raw" / "rotated" / "by-45" / "three").mkdir()
    shutil.copy(here / "raw" / "rotated" / "by-45" / "4" / "0004.png", here / "raw" / "rotated" / "by-45" / "three")
    odd = mapbench("plan", "own.yaml", *typed, cwd=here)
    assert odd.returncode == 2 and "only upright has '3'" in odd.stderr, odd.stderr


def test_check_prepares_nothing_and_verify_reads_all(here: Path, mapbench: Mapbench) -> None:
    typed = ("data", "own.yaml", "--data", str(here / "raw"))
    handwriting(here / "raw" / "rotated" / "by-45", 45)
    said = mapbench(*typed, "--check", cwd=here)
    assert said.returncode == 0 and said.stdout.count(" there ") == 2 and not (here / "raw" / "prepared").exists()
    assert mapbench(*typed, cwd=here).returncode == 0
    (path,) = (here / "raw" / "prepared").glob("upright*/val.images.npy")
    state = path.stat()
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert mapbench(*typed, cwd=here).returncode == 0  # states only: no byte of a large set is read for nothing
    found = mapbench(*typed, "--verify", cwd=here)
    assert found.returncode == 2 and f"{path}: missing or damaged" in found.stdout


def test_looking_removes_nothing(here: Path, mapbench: Mapbench) -> None:
    typed = ("data", "own.yaml", "--data", str(here / "raw"))
    handwriting(here / "raw" / "rotated" / "by-45", 45)
    assert mapbench(*typed, cwd=here).returncode == 0
    os.utime(here / "raw" / "upright" / "4" / "0004.png", (1, 1))
    before = sorted(path.name for path in (here / "raw" / "prepared").rglob("*"))
    said = mapbench(*typed, "--check", cwd=here)
    assert said.stdout.count(" there ") == 1 and said.stdout.count(" ready ") == 1
    assert sorted(path.name for path in (here / "raw" / "prepared").rglob("*")) == before


def test_a_backbone_that_is_not_there_is_one_line(here: Path, mapbench: Mapbench) -> None:
    (here / "g.yaml").write_text("grid: g\ngrids: [{suite: digits-mini, backbones: [vgg99]}]\n")
    refused = mapbench("data", "g.yaml", cwd=here)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "vgg99" in refused.stderr


def test_what_cannot_be_fetched_is_a_line_each_and_the_rest_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No network: each data set that torchvision has, and the weights; what is expected of all is said too."""
    nowhere = "http://127.0.0.1:9/"
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", [nowhere])
    for name in ("USPS", "SVHN"):
        held = getattr(torchvision.datasets, name).split_list
        monkeypatch.setitem(held, "train", [nowhere, *held["train"][1:]])
    monkeypatch.setattr(weights, "url", lambda backbone: nowhere)
    survey = datasets.data("digits", str(tmp_path / "data"), str(tmp_path / "weights"), download=True)
    said = datasets.text(survey, tmp_path / "data", "digits")
    starts = ("MNIST cannot", "USPS cannot", "SVHN cannot", "vgg11-8a719046.pth, the ImageNet weights of vgg11, cannot")
    assert len(survey.failed) == len(starts) and not survey.complete
    for start, line in zip(starts, survey.failed, strict=True):
        assert line.startswith(start) and "\n" not in line and line in said
    assert "MNIST-M: expected below" in said


def test_a_set_that_was_half_there_when_it_was_prepared_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYND, of which nobody says how many images it has."""
    root = tmp_path / "data" / "synthetic_digits" / "imgs_train"
    for digit in range(10):
        (root / str(digit)).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (12, 12), (digit, i, 0)).save(root / str(digit) / f"{i}.jpg")
    (tmp_path / "own.yaml").write_text(suite("own", ["synd", "uci"]))
    monkeypatch.chdir(tmp_path)
    assert datasets.data("own.yaml", str(tmp_path / "data")).complete
    Image.new("RGB", (12, 12)).save(root / "3" / "more.jpg")
    survey = datasets.data("own.yaml", str(tmp_path / "data"))
    (one,) = (seen for seen in survey.found if seen.state == "broken")
    assert "was prepared from 80 images, and now there are 81; delete that folder" in one.why
    shutil.rmtree(root)
    assert datasets.data("own.yaml", str(tmp_path / "data")).complete  # what was prepared needs its files no more


def test_a_build_that_did_not_end_is_named(here: Path, mapbench: Mapbench) -> None:
    (here / "raw" / "prepared" / ".mnist-64px-v1-ntlbench-split0.partial").mkdir(parents=True)
    said = mapbench("data", "own.yaml", "--data", str(here / "raw"), cwd=here)
    assert "raw/prepared/.mnist-64px-v1-ntlbench-split0.partial" in said.stdout


def test_progress_is_a_line_now_and_then_or_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(datasets.time, "monotonic", lambda: float(next(clock)))
    with datasets.Bar() as bar:
        for done in range(0, 600, 100):
            bar("mnist", done, 500)
    assert capsys.readouterr().err == "preparing mnist: 300 of 500 images\n"  # after six of ten seconds
    monkeypatch.undo()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with datasets.Bar() as bar:
        bar("mnist", 250, 500)
        shown = bar._progress.get_renderable()
        table = "".join(str(cell) for column in shown.renderables[0].columns for cell in column.cells)
    assert "preparing mnist" in table and "250" in table and "500" in table
