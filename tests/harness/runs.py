"""A run seen from outside, as tests that kill, starve or compare runs need it: its processes, its files, its counts.

pytest tests/harness/test_kills.py
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from results import tables

MARK = "MAPBENCH_TEST_RUN"  # in the environment of a run, and so of all that it starts
COMMAND = Path(sys.executable).with_name("mapbench")
# 22 cells of all four kinds on two seeds, 40 s on two cores
FOREST = (
    *("-m", "sf-map", "-m", "sa-map", "-m", "constant", "-m", "untrained"),
    *("-s", "0-1", "-a", "bn-reestimate+probe[n=20]"),
)  # fmt: skip
CELLS = 22


def slow(test: Any) -> Any:
    """A real Ray: seconds to start, and never two at once on two cores."""
    return pytest.mark.slow(pytest.mark.xdist_group("ray")(test))


class Running:
    """`mapbench ...` in the background; a kill of it leaves nothing that would wait for a pipe."""

    def __init__(self, *arguments: str, cwd: Path, data: Path, **more: str) -> None:
        self.mark, self.out = uuid.uuid4().hex, cwd / f".said.{uuid.uuid4().hex[:8]}"
        home = cwd / ".home"
        home.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "HOME": str(home), "MAPBENCH_DATA": str(data), "COLUMNS": "120", MARK: self.mark, **more}
        env.pop("MLFLOW_TRACKING_URI", None)
        self.began, self.process_time = time.monotonic(), time.time()
        with self.out.open("wb") as said:
            self.process = subprocess.Popen(
                [COMMAND, *arguments], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    @property
    def said(self) -> str:
        """Both streams so far."""
        return self.out.read_text()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def wait(self, limit: float = 250.0) -> int:
        """Its exit code; a traceback is a failure whatever the code."""
        code = self.process.wait(limit)
        assert "Traceback" not in self.said, self.said
        return code

    def until(self, condition: Callable[[], Any], limit: float = 200.0) -> float:
        """Wait for something to happen while it runs; the seconds since its start."""
        end = time.monotonic() + limit
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode} first: {self.said}"
            assert time.monotonic() < end, f"not within {limit:g} s: {self.said}"
            time.sleep(0.003)
        return self.seconds

    def family(self) -> set[psutil.Process]:
        """Every process that it started and that is there: by descent, and by the mark (those without parent too)."""
        found = set()
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.add(process)
            except (psutil.Error, OSError):
                continue
        try:
            return found | set(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.Error:
            return found

    def homes(self) -> set[Path]:
        """Where its Ray keeps its files."""
        places = set()
        for process in self.family():
            try:
                if "/mb-" in (place := process.cwd()):
                    places.add(Path(place.removesuffix(" (deleted)").removesuffix("/cwd")))
            except (psutil.Error, OSError):
                continue
        return places

    def kill(self, limit: float = 10.0) -> float:
        """kill -9 of the driver alone; the seconds until the last of its processes, and Ray's folder, were gone."""
        family, homes, begun = self.family(), self.homes(), time.monotonic()
        sessions = {os.getsid(p.pid) for p in family if _alive(p)} - {os.getsid(0)}
        self.process.kill()
        self.process.wait()
        while left := {
            *(p for p in family | self.family() | _of_sessions(sessions) if _alive(p)),
            *(home for home in homes if home.exists()),
        }:
            assert time.monotonic() - begun < limit, f"{limit:g} s after the kill: {[_told(one) for one in left]}"
            time.sleep(0.1)
        return time.monotonic() - begun

    def end(self) -> None:
        """For a `finally`: nothing of it outlives the test."""
        for process in {*self.family(), psutil.Process(self.process.pid)} if self.process.poll() is None else ():
            try:
                process.kill()
            except psutil.Error:
                continue
        self.process.wait()


def _of_sessions(sessions: set[int]) -> set[psutil.Process]:
    """Processes that lost parent and mark, which Ray's agents do, and were not there yet before the kill."""
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions:
                found.add(process)
        except OSError:
            continue
    return found


def _told(left: psutil.Process | Path) -> str:
    """What is still there, so that one can find out why."""
    try:
        return str(left) if isinstance(left, Path) else f"{left} {' '.join(left.cmdline())[:200]}"
    except psutil.Error:
        return str(left)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


# -- what is in a run directory


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Every record by its file's name; each must be whole, and what it points to must be on disk."""
    found = {}
    for path in sorted(out.glob("records/*/[!.]*.json")):
        record = json.loads(path.read_bytes())
        assert path.name == f"{record['key']}.{record['attempt']}.{record['uuid']}.json"
        for field in ("checkpoint", "predictions", "picture"):
            assert record.get(field) is None or (out / record[field]).is_file(), (path.name, field)
        if record["checkpoint"]:
            digest = hashlib.sha256((out / record["checkpoint"]).read_bytes()).hexdigest()
            assert digest == record["checkpoint_sha256"], path.name
        found[path.name] = record
    return found


def finished(out: Path) -> dict[str, list[str]]:
    """For each key with an ok record: the records and logs it has. Both must stay as they are from then on."""
    ok = {record["key"] for record in records(out).values() if record["status"] == "ok"}
    files = [p.name for p in (*out.glob("records/*/[!.]*.json"), *out.glob("logs/*.log"))]
    return {key: sorted(name for name in files if name.startswith(key)) for key in ok}


def begun(out: Path) -> set[str]:
    """Attempts that began: their logs."""
    return {path.name for path in out.glob("logs/*.log") if re.match(r"[0-9a-f]{64}\.", path.name)}


def whole_tables(out: Path) -> None:
    """Every table that is there can be read as it is, without a look at the records."""
    for path in out.glob("tables/[!.]*.parquet"):
        pq.read_table(path, partitioning=None)


def counts(out: Path) -> dict[tuple[str, str, str], Any]:
    """What was counted, for each cell, domain and part."""
    return {
        (row["key"], row["domain"], row["part"]): (row["correct"], row["total"], row["confusion"])
        for row in tables.read(out, "accuracy").to_pylist()
    }


def statuses(out: Path) -> dict[str, str]:
    """Every cell's status; a key that stands twice is a fault."""
    rows = tables.read(out, "cells").to_pylist()
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: row["status"] for row in rows}
