"""What a disk does to a run: damaged files, no space, no right to write, wrong checksums. One clear line each, what is
healthy stays readable, and once it is mended the same command completes.

    pytest tests/harness/test_disks.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from results import tables
from tests.harness import runs
from tests.harness.conftest import QUICK, Mapbench

INLINE = ("--executor", "inline", "--no-mlflow")
ASKED = ("-m", "constant", "-m", "untrained")  # with f_s: 3 cells, each with a checkpoint of 776 kB
RUN = ("run", QUICK, *INLINE, *ASKED, "--out", "run")
DONE = (0, "nothing to do: 3 cells done\n", "")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run directory of three cells, made once."""
    folder = tmp_path_factory.mktemp("healthy")
    run = runs.Running(*RUN, cwd=folder, data=data)
    assert run.wait() == 0, run.said
    return folder / "run"


@pytest.fixture
def out(template: Path, tmp_path: Path, mapbench: Mapbench) -> Path:
    """A copy of it, where the command is typed."""
    return shutil.copytree(template, tmp_path / "here" / "run")


class Disk:
    """A small disk of the test's own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def size(self, size: str) -> None:
        self._mount(f"remount,size={size}")

    def may_write(self, may: bool) -> None:
        self._mount(f"remount,{'rw' if may else 'ro'}")

    def fill(self) -> None:
        """To the last byte."""
        with (self.place / "others.bin").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-o", options, str(self.place)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path, mapbench: Mapbench) -> Iterator[Disk]:
    """A file system in memory below the folder where the command is typed; skipped where one may not mount."""
    place = tmp_path / "here" / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "mapbench-test", str(place)]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no small disk to fill: {error}")
    if made.returncode:
        pytest.skip(f"no small disk to fill, mounting one needs root: {made.stderr.strip()}")
    yield Disk(place)
    subprocess.run(["umount", "-l", str(place)], check=True)


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one line, before anything else was said or trained."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "" and len(done.stderr.strip().split("\n")) == 1, done.stdout + done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def record_of(out: Path, variant: str) -> Path:
    return next(p for p in out.glob("records/*/*.json") if json.loads(p.read_bytes())["cell"]["variant"] == variant)


def cut(path: Path) -> bytes:
    """Half of the file goes; what it was is returned."""
    was = path.read_bytes()
    path.write_bytes(was[: len(was) // 2])
    return was


def flip(path: Path) -> bytes:
    """One bit goes wrong; what it was is returned."""
    was = path.read_bytes()
    path.write_bytes(was[:-9] + bytes([was[-9] ^ 1]) + was[-8:])
    return was


def test_damaged_tables_are_made_again_from_the_records(mapbench: Mapbench, out: Path) -> None:
    board, had = mapbench("leaderboard", "run", "--csv").stdout, runs.counts(out)
    for name in tables.SCHEMAS:
        cut(out / "tables" / f"{name}.parquet")
    assert said(mapbench("leaderboard", "run", "--csv")) == (0, board, "")
    runs.whole_tables(out)
    (out / "tables" / "cells.parquet").write_bytes(b"")
    (out / "tables" / "accuracy.parquet").unlink()
    assert said(mapbench(*RUN)) == DONE
    runs.whole_tables(out)
    assert runs.counts(out) == had


@pytest.mark.slow
def test_a_truncated_record_costs_its_own_cell(mapbench: Mapbench, out: Path) -> None:
    had, bad = runs.counts(out), record_of(out, "constant")
    cut(bad)
    status = mapbench("status", "run")
    assert status.returncode == 0
    assert status.stdout.startswith("run: 2 ok, 1 missing")
    assert mapbench("leaderboard", "run").returncode == 0
    assert set(runs.statuses(out).values()) == {"ok"}
    assert runs.counts(out).items() <= had.items()  # tables of before may still know what it said
    again = mapbench(*RUN)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "[1/1] ok" in again.stdout
    assert runs.counts(out) == had
    bad.unlink()
    assert said(mapbench(*RUN)) == DONE


@pytest.mark.parametrize("verb", [("status", "run"), ("plan", *RUN[1:2], *ASKED, "--out", "run"), RUN])
def test_a_damaged_record_is_named(mapbench: Mapbench, out: Path, verb: tuple[str, ...]) -> None:
    bad = record_of(out, "untrained")
    cut(bad)
    done = mapbench(*verb)
    assert done.returncode == 0
    named = [line for line in (done.stdout + done.stderr).split("\n") if bad.name in line]
    assert len(named) == 1 and "damaged" in named[0], done.stdout + done.stderr


def test_a_disk_that_is_full_is_said_before_anything_is_trained(mapbench: Mapbench, disk: Disk) -> None:
    disk.fill()
    refused(mapbench("run", QUICK, *INLINE, *ASKED, "--out", "disk/run"), "disk", "No space left")
    assert [path.name for path in disk.place.iterdir()] == ["others.bin"]
    refused(mapbench("run", QUICK, *INLINE, *ASKED, "--data", "disk/data"), "disk/data", "No space left")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "fit"), [("700k", 0), pytest.param("1100k", 1, marks=pytest.mark.soak), ("1700k", 2)])
def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(
    mapbench: Mapbench, disk: Disk, out: Path, size: str, fit: int
) -> None:
    disk.size(size)
    asked = ("run", QUICK, *INLINE, *ASKED, "--out", "disk/run")
    full = mapbench(*asked)
    assert full.returncode == 1, full.stdout + full.stderr
    told = [line for line in full.stdout.strip().split("\n") if not line.count(" ok ")]
    assert len(told) == 1 and "No space left on device: free some space and run the same command again" in told[0]
    assert str(disk.place / "run") in told[0]
    had = runs.finished(disk.place / "run")
    assert len(had) == fit
    assert set(runs.statuses(disk.place / "run").values()) <= {"ok"}
    status = mapbench("status", "disk/run")
    assert status.returncode == 0 and f"{3 - fit} missing" in status.stdout
    assert mapbench("leaderboard", "disk/run").returncode == 0

    disk.size("64m")
    again = mapbench(*asked)
    assert again.returncode == 0, again.stdout + again.stderr
    assert runs.counts(disk.place / "run") == runs.counts(out)
    now = runs.finished(disk.place / "run")
    assert {key: now[key] for key in had} == had


FULL_ONCE = '''
"""A method that writes on the way, to a disk that is full while the file `full` is there."""
import pathlib

from methods.base import Method, Needs


class Writes(Method):
    name = "writes"
    needs = Needs(target="none")

    def step(self, batch):
        if pathlib.Path({full!r}).exists():
            pathlib.Path("/dev/full").write_text("a note")
        return self.model(batch.x_s).square().mean(), {{}}
'''


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_space_in_a_cell_is_not_that_cells_failure(mapbench: Mapbench, tmp_path: Path, out: Path) -> None:
    """The artefact is large and the record small: the one may find no space where the other does."""
    full = tmp_path / "full"
    full.touch()
    (tmp_path / "mine.py").write_text(FULL_ONCE.format(full=str(full)))
    asked = (*RUN, "-m", "writes", "--methods", str(tmp_path / "mine.py"))
    done = mapbench(*asked)
    assert done.returncode == 1 and "free some space and run the same command again" in done.stdout
    full.unlink()
    assert mapbench(*asked).returncode == 0


@runs.slow
@pytest.mark.soak
def test_a_disk_that_fills_up_under_ray(mapbench: Mapbench, disk: Disk, out: Path) -> None:
    disk.size("1100k")
    asked = ("run", QUICK, "--no-mlflow", *ASKED, "--out", "disk/run")
    full = mapbench(*asked)
    assert full.returncode == 1, full.stdout + full.stderr
    assert full.stdout.count("free some space and run the same command again") == 1
    assert set(runs.statuses(disk.place / "run").values()) <= {"ok"}
    disk.size("64m")
    again = mapbench(*asked)
    assert again.returncode == 0, again.stdout + again.stderr
    assert runs.counts(disk.place / "run") == runs.counts(out)


@pytest.mark.slow
def test_a_read_only_run_can_be_read_and_is_not_begun(mapbench: Mapbench, disk: Disk, out: Path) -> None:
    shutil.copytree(out, disk.place / "run")
    board = mapbench("leaderboard", "run", "--csv").stdout
    cut(disk.place / "run" / "tables" / "pairs.parquet")  # and cannot be written anew
    disk.may_write(False)
    refused(mapbench(*RUN[:-1], "disk/run", "-s", "0-1"), "disk/run", "Read-only file system")
    refused(mapbench(*RUN[:-1], "disk/other"), "disk/other", "Read-only file system")
    assert mapbench("status", "disk/run").stdout.startswith("disk/run: 3 ok")
    assert said(mapbench("leaderboard", "disk/run", "--csv")) == (0, board, "")
    disk.may_write(True)
    assert said(mapbench(*RUN[:-1], "disk/run")) == DONE


@pytest.mark.slow
def test_a_wrong_bit_in_the_image_cache_is_said_before_anything_is_trained(
    mapbench: Mapbench, out: Path, data: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(data, tmp_path / "mine")
    bad = next(mine.glob("prepared/uci-32px*/test.images.npy"))
    was, more = flip(bad), (*RUN, "-s", "0-1", "--data", str(mine))
    refused(mapbench(*more), str(bad), "damaged", "delete the folder")
    assert len(runs.records(out)) == 3
    assert mapbench("status", "run").stdout == "run: 3 ok\n"
    assert mapbench("leaderboard", "run").returncode == 0
    bad.write_bytes(was)
    assert mapbench(*more).returncode == 0
    flip(bad)  # the other way to mend it, the one that is advised
    shutil.rmtree(bad.parent)
    assert said(mapbench(*more)) == (0, "nothing to do: 6 cells done\n", "")


@pytest.mark.slow
def test_a_wrong_bit_in_a_parents_checkpoint_costs_the_cells_that_need_it(mapbench: Mapbench, out: Path) -> None:
    had, parent = runs.counts(out), json.loads(record_of(out, "").read_bytes())
    bad = out / parent["checkpoint"]
    was, more = flip(bad), (*RUN, "-m", "continue")
    done = mapbench(*more)
    assert done.returncode == 3, done.stdout + done.stderr
    told = [line for line in done.stdout.split("\n") if line.startswith("failed: ")]
    assert len(told) == 1 and f"{bad} is damaged: delete its record" in told[0]
    assert runs.counts(out) == had
    status = mapbench("status", "run").stdout
    assert "3 ok" in status and "1 failed" in status and str(bad) in status
    bad.write_bytes(was)
    mended = mapbench("retry", "run", *INLINE)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert said(mapbench(*more)) == (0, "nothing to do: 4 cells done\n", "")


@pytest.mark.slow
def test_a_damaged_checkpoint_whose_record_is_deleted_is_trained_again(mapbench: Mapbench, out: Path) -> None:
    """What the line advises, to the letter: the record goes, the same command trains the parent and goes on."""
    had, path = runs.counts(out), record_of(out, "")
    flip(out / json.loads(path.read_bytes())["checkpoint"])
    path.unlink()
    done = mapbench(*RUN, "-m", "continue")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[2/2] ok" in done.stdout  # f_s and the new cell; the other two stand
    assert had.items() < runs.counts(out).items()
