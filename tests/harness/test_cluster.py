"""A run on a Ray cluster whose nodes come and go, and one that the cluster does not let in.

pytest tests/harness/test_cluster.py
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import environment
from results import tables
from tests.harness import runs
from tests.harness.conftest import QUICK
from tests.harness.runs import FOREST, Running, slow


class Nodes:
    """A cluster of a head without cores and two nodes of one core each."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mbc-", dir="/tmp"))
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_TMPDIR": str(self.folder)}
        self.log = (self.folder / "said").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.cluster"], cwd=environment.ROOT,
            env={**os.environ, "PYTHONPATH": str(environment.ROOT), "HOME": str(self.folder), **self.token, **own},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        self.raylets: list[int] = []
        self.address = self._answer()

    def order(self, word: str) -> int:
        """`add` or `remove` a node; the pid of its raylet."""
        assert self.process.stdin is not None
        before = self.raylets
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        self._answer()
        (changed,) = set(before) ^ set(self.raylets)
        return changed

    def _answer(self) -> str:
        assert self.process.stdout is not None
        while not (line := self.process.stdout.readline()).startswith("{"):
            assert line, (self.folder / "said").read_text()
        told = json.loads(line)
        self.raylets = told["raylets"]
        return str(told["address"])

    def cells(self, raylet: int) -> set[str]:
        """The keys of the cells that run on a node at this moment: the logs that its workers have open."""
        found = set()
        try:
            for worker in psutil.Process(raylet).children(recursive=True):
                found |= {Path(file.path).name[:64] for file in worker.open_files() if "/logs/" in file.path}
        except (psutil.Error, OSError):
            pass
        return {name for name in found if len(name) == 64 and set(name) <= set("0123456789abcdef")}

    def workers(self) -> list[psutil.Process]:
        """The cluster's processes that are somebody's slots."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in found if process.is_running() and process.name().startswith("ray::Slot")]

    def end(self) -> None:
        assert self.process.stdin is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            for process in [*family, self.process]:
                try:
                    process.kill()
                except (psutil.Error, OSError):
                    continue
            self.process.wait()
            self.log.close()
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    try:
        yield cluster
    finally:
        cluster.end()


def start(nodes: Nodes, folder: Path, data: Path, *more: str, **token: str) -> Running:
    arguments = ("run", QUICK, *more, "--no-mlflow", "--out", "run", "--address", nodes.address)
    return Running(*arguments, cwd=folder, data=data, **(token or nodes.token))


@slow
def test_a_wrong_token_is_one_line_and_soon(nodes: Nodes, tmp_path: Path, data: Path) -> None:
    wrong = {**nodes.token, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    run = start(nodes, tmp_path, data, "-m", "untrained", **wrong)
    try:
        code, seconds = run.wait(120), run.seconds
    finally:
        run.end()
    print(f"refused after {seconds:.1f} s: {run.said}")
    assert code == 2
    assert len(run.said.strip().split("\n")) == 1, run.said
    assert nodes.address in run.said and "Traceback" not in run.said
    assert seconds < 60  # Ray tries for some ten seconds, and a loaded machine doubles that
    assert not list((tmp_path / "run").glob("records/*/*"))


@slow
def test_a_node_that_dies_costs_the_attempts_on_it_and_nothing_else(
    nodes: Nodes, tmp_path: Path, data: Path, undisturbed: Path
) -> None:
    lose_a_node(nodes, tmp_path, data, undisturbed, wait=2.0)


@slow
@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("wait", [0.0, 0.3, 5.0])
def test_a_node_that_dies_at_any_moment(
    nodes: Nodes, tmp_path: Path, data: Path, undisturbed: Path, wait: float
) -> None:
    while len(nodes.raylets) < 2:
        nodes.order("add")
    lose_a_node(nodes, tmp_path, data, undisturbed, wait)


def lose_a_node(nodes: Nodes, folder: Path, data: Path, undisturbed: Path, wait: float) -> None:
    """Take a node away `wait` seconds after it began a cell that is not the run's first; see what that costs."""
    out, victim = folder / "run", nodes.raylets[-1]
    run = start(nodes, folder, data, *FOREST)
    try:
        run.until(lambda: nodes.cells(victim) and len(runs.records(out)) >= 1)
        first = nodes.cells(victim)
        run.until(lambda: nodes.cells(victim) - first)
        time.sleep(wait)
        inflight = nodes.cells(victim)
        at, done = run.seconds, runs.finished(out)
        assert nodes.order("remove") == victim
        code = run.wait(150)
    finally:
        run.end()
    print(f"a node with {len(inflight)} cell in flight removed at {at:.1f} s of {run.seconds:.1f} s")
    assert code == 0, run.said
    assert set(runs.statuses(out).values()) == {"ok"}
    assert runs.counts(out) == runs.counts(undisturbed)
    found = list(runs.records(out).values())
    assert set(Counter(r["key"] for r in found if r["status"] == "ok").values()) == {1}
    lost = [r for r in found if r["status"] != "ok"]
    assert {r["status"] for r in lost} <= {"lost"}, [(r["status"], r["error"]) for r in lost]
    assert {r["key"] for r in lost} == inflight or not wait  # it may have ended in the same moment
    assert {key: files for key, files in runs.finished(out).items() if key in done} == done
    attempts = tables.read(out, "attempts").to_pylist()
    assert Counter(row["status"] for row in attempts) == Counter(r["status"] for r in found)
    end = time.monotonic() + 10
    while left := nodes.workers():
        assert time.monotonic() < end, f"workers on the cluster outlived the run: {left}"
        time.sleep(0.2)


@slow
@pytest.mark.soak
def test_a_node_that_joins_gets_cells(nodes: Nodes, tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    while len(nodes.raylets) > 1:
        nodes.order("remove")
    run = start(nodes, tmp_path, data, *FOREST)
    seen: set[str] = set()
    try:
        run.until(lambda: len(runs.records(out)) >= 1)
        joined = nodes.order("add")

        def worked() -> Any:
            time.sleep(0.1)
            seen.update(nodes.cells(joined))
            return seen or run.process.poll() is not None

        run.until(lambda: worked() or run.process.poll() is not None)
        at = run.seconds
        code = run.wait()
    finally:
        run.end()
    print(f"the first cell on the node that joined began at {at:.1f} s of {run.seconds:.1f} s")
    assert seen
    assert code == 0, run.said
    assert set(runs.statuses(out).values()) == {"ok"}
    assert {r["status"] for r in runs.records(out).values()} == {"ok"}
