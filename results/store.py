"""A run directory: what is in it, who else writes to it, and the few rules for writing (design 7).

    mapbench status runs/digits-mini

Reading never fails on a damaged record: those are listed by `damaged()`. Writing raises StoreError, one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import place, records
from results.child import Child
from results.errors import StoreError
from results.records import Damaged

FOLDERS = ("records", "tables", "predictions", "checkpoints", "logs")
TABLES_EVERY = 60.0  # seconds between rewrites of the tables while a run goes on, at least
TABLES_SHARE = 20  # and at least so many times what the last one took: of a huge grid too they cost 5 % of a core
HEARTBEAT_STALE = 120.0  # seconds after which a driver that says nothing is taken for dead; drivers write every few
_PROBE = bytes(65536)  # enough that a full disk refuses it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run must know of a key: how many attempts there were, and whether one of them is ok."""

    attempts: int
    ok: bool


class Store:
    """One run directory, a folder or a URL (see results.place). Opening it creates nothing; `out` need not exist."""

    def __init__(self, out: str | Path) -> None:
        self.out = place.place(out)
        self.plan_path = self.out / "plan.json"
        self.tables_dir = self.out / "tables"
        # A running driver writes this name only, so several may share a directory.
        self.heartbeat_path = self.out / f"driver.{socket.gethostname()}.{os.getpid()}.json"
        self._damaged: list[Damaged] = []
        self._told: set[str] = set()  # names of the records that `news` has read
        self._child: Child | None = None  # builds the tables now, or did last
        self._next_tables = time.monotonic() + TABLES_EVERY

    def check_writable(self) -> None:
        """Raise StoreError where a run could not write here; leaves nothing behind either way.

        Tried by writing, not by permission bits: those stop neither root nor a full disk nor a read-only mount.
        """
        if not place.is_local(self.out):
            trial = self.out / f".mapbench-{uuid.uuid4().hex[:8]}"
            try:
                place.put(trial, b"mapbench")
                place.remove(trial)
            except StoreError as error:
                raise StoreError(f"cannot write to {self.out}: {place.reason(error.__cause__ or error)}") from error
            return
        for path in (self.out, *(self.out / folder for folder in FOLDERS)):
            existing = path
            try:
                while not existing.exists() and not existing.is_symlink():
                    existing = existing.parent
                if not existing.is_dir():
                    raise StoreError(f"cannot write to {self.out}: {existing} is in the way, it is not a directory")
                with tempfile.TemporaryFile(dir=existing, prefix=".mapbench-") as probe:
                    probe.write(_PROBE)
                    probe.flush()
            except OSError as error:
                reason = error.strerror or str(error)
                raise StoreError(f"cannot write to {self.out}: {existing} is not writable ({reason})") from error

    def commit(self, record: dict[str, Any]) -> Path:
        """Write one attempt's record (see records.write); from then on it exists."""
        return records.write(self.out, record)

    def committed(self, key: str, attempt: int) -> dict[str, Any] | None:
        """The record of an attempt, if it is there."""
        return next((r for r in records.read_key(self.out, key) if r["attempt"] == attempt), None)

    def each(self) -> Iterator[dict[str, Any]]:
        """Every readable record, in the order of their names, one at a time."""
        self._damaged = []
        for record in records.each(self.out):
            if isinstance(record, Damaged):
                self._damaged.append(record)
            else:
                yield record

    def records(self) -> list[dict[str, Any]]:
        """Every readable record, read afresh: nothing is kept."""
        return list(self.each())

    def damaged(self) -> list[Damaged]:
        """Record files that cannot be used, as of the last `each()` or `records()`."""
        return self._damaged

    def outcomes(self, keys: Container[str] | None = None) -> dict[str, Outcome]:
        """What became of each key, or of each of `keys`, so far; one record at a time is held."""
        found: dict[str, Outcome] = {}
        for record in self.each():
            if keys is not None and record["key"] not in keys:
                continue
            known = found.get(record["key"], Outcome(0, False))
            ok = known.ok or record["status"] == "ok"
            found[record["key"]] = Outcome(max(known.attempts, record["attempt"]), ok)
        return found

    def news(self) -> dict[str, str]:
        """Keys of the cells that were settled for good since the last call, with how they ended; the first call tells
        of all. A driver looks here for what others did; of a retried attempt (`lost`, `oom`) nothing is said."""
        found = records.files(self.out)
        told = (records.read(path) for name, path in found.items() if name not in self._told)
        news = {r["key"]: r["status"] for r in told if isinstance(r, dict) and r["status"] in records.FINAL}
        self._told = set(found)
        return news

    def winners(self) -> dict[str, dict[str, Any]]:
        """The record that stands for each key, see records.winners."""
        return records.winners(self.records())

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Put down the expanded grid as last asked for."""
        records.atomic_write(self.plan_path, records.dump(plan))

    def plan(self) -> dict[str, Any] | None:
        """What `write_plan` wrote, or None. A damaged plan.json raises StoreError."""
        try:
            content = place.get(self.plan_path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self.plan_path} is damaged ({error}): delete it and run again") from error
        try:
            plan = json.loads(content)
        except ValueError as error:
            raise StoreError(f"{self.plan_path} is damaged ({error}): delete it and run again") from error
        if not isinstance(plan, dict):
            raise StoreError(f"{self.plan_path} is damaged (no JSON object): delete it and run again")
        return plan

    def write_tables(self, force: bool = False) -> bool:
        """Have a child process rewrite the Parquet tables from all records; True if one was started.

        Unforced it is left to itself, at most one at a time, a minute apart or more. Forced: the tables are written
        when this returns. Raises StoreError where this child failed or, unforced, the last one.
        """
        if place.is_private(self.out):  # a child would find nothing there
            if force:
                from results import tables

                tables.rewrite(self)
            return force
        child, self._child = self._child, None
        if child is not None:
            if force:
                child.wait()  # two at once would write the same files
            elif not child.ended:
                self._child = child
                return False
            else:
                self._next_tables += max(0.0, TABLES_SHARE * child.seconds - TABLES_EVERY)
                child.check()
        if not force and time.monotonic() < self._next_tables:
            return False
        child = Child(str(self.out))
        self._next_tables = time.monotonic() + TABLES_EVERY
        if force:
            child.wait()
            child.check()
        else:
            self._child = child
        return True

    def heartbeat(self, running: list[dict[str, Any]]) -> None:
        """Say that this driver lives and what it runs, for `status` and for noticing a second driver."""
        beat = {"host": socket.gethostname(), "pid": os.getpid(), "written": time.time(), "running": running}
        records.atomic_write(self.heartbeat_path, records.dump(beat), durable=False)

    def end_heartbeat(self) -> None:
        """Take the heartbeat away: this driver is done."""
        if place.is_local(self.out):
            self.heartbeat_path.unlink(missing_ok=True)
            return
        with contextlib.suppress(StoreError):  # it goes stale by itself, and this may be the end of a failed run
            place.remove(self.heartbeat_path)

    def other_drivers(self) -> list[dict[str, Any]]:
        """Heartbeats of other living drivers: {host, pid, written, running}.

        Left out are files older than HEARTBEAT_STALE and those of processes of this host that are gone (kill -9).
        """
        alive, local = [], place.is_local(self.out)
        if local:
            paths = sorted(self.out.glob("driver.*.json"))
        else:
            names = place.names(self.out, deep=False)
            paths = [self.out / name for name in names if name.startswith("driver.") and name.endswith(".json")]
        for path in paths:
            if path == self.heartbeat_path:
                continue
            try:
                beat = json.loads(place.get(path))
                # The file's own time, not the `written` in it: one clock, that of the file system, for all hosts. An
                # object store's is not asked for: it would be a call more, and clocks that matter are minutes apart.
                age = time.time() - (path.stat().st_mtime if local else float(beat["written"]))
                here = beat["host"] == socket.gethostname()
                if age < HEARTBEAT_STALE and not (here and _gone(int(beat["pid"]))):
                    alive.append(beat)
            except (OSError, ValueError, KeyError, TypeError):
                continue  # ended, or not a heartbeat
        return alive


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, but there
    return False
