"""Cells in a fixed pool of warm Ray actors: k per GPU, or one per core with one torch thread each.

Ray is held by a process of its own, the broker, between the driver and the actors:

    driver --socket--> broker (started in an empty folder; one thread per slot) --Ray--> one actor per slot

so that the driver stays free while Ray starts (about ten seconds), Ray's texts go to the run's logs/ray.log and not to
the user's terminal, Ctrl-C reaches the driver alone, and a user's own `methods.py` in the working directory (which Ray
would put first on its workers' path) shadows nothing. The broker ends, and Ray with it, when the driver's end of the
socket closes, however the driver died. Retries are the scheduler's: Ray's own are off.

    pytest tests/harness/test_executors.py
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import UsageError, environment
from harness.executors import Died, Event, NodeLost, OutOfMemory, door, event, log_path
from harness.executors.broker import CLOSE_LIMIT
from harness.executors.parcels import Marker

if TYPE_CHECKING:
    from harness.executors.probe import Shape
    from harness.tasks import Task

START_LIMIT = 300.0  # seconds for the first slot; a loaded machine takes 30
ENDINGS: dict[str, type[Died] | type[OutOfMemory] | type[NodeLost]] = {
    "died": Died, "oom": OutOfMemory, "node": NodeLost
}  # fmt: skip


class RayExecutor:
    """The driver's end. `cpus` and `gpus` (of each node) default to what there is; `memory_mb` limits each CPU slot, by
    default to its share, so that a failed allocation is an error, not a kill. `slots_per_gpu` None fits as many as the
    memory takes at `peak_mb`, the most that a cell needed so far, or where that is None at what `shapes` are found to
    need (probe.py)."""

    name = "ray"

    def __init__(
        self,
        *,
        address: str = "local",
        slots_per_gpu: int | None = 1,
        peak_mb: float | None = None,
        shapes: Sequence[Shape] = (),
        cpus: int | None = None,
        gpus: int | None = None,
        memory_mb: int | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "address": address, "slots_per_gpu": slots_per_gpu, "peak_mb": peak_mb, "shapes": shapes, "cpus": cpus,
            "gpus": gpus, "memory_mb": memory_mb,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._up: dict[str, int] = {}  # slot -> its number at the broker
        self._busy: dict[int, deque[tuple[str, str, int]]] = {}  # number -> slot, key, attempt, in their order
        self._lives: dict[int, int] = {}  # number -> which of the processes that the slot has had is up
        self._seen_up = False
        self._opened = 0.0
        self._log: Path | None = None
        self._marker: Path | None = None
        self._notes: list[str] = []
        self._home: Path | None = None
        self._context: dict[str, Any] = {}
        self._again = False  # started a second time: the first one ended before any slot was up

    def open(self, context: dict[str, Any]) -> None:
        """Start the broker and return at once; slots come up in `poll`. Ray's texts go to `out`/logs/ray.log."""
        _check_address(self._options["address"])
        self._context = context
        self._home = home = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
        (home / "cwd").mkdir()  # sockets live in `home`, and their paths have 107 characters at most
        place = log_path(context, "ray", 0)
        self._log = place.parent / "ray.log" if place else home / "ray.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        variables = environment.ray_variables(self._options["address"])
        root = str(environment.ROOT)
        paths = [os.path.abspath(p) for p in variables.get("PYTHONPATH", "").split(os.pathsep) if p]  # noqa: PTH100
        # A checkout must be found by the workers too; site-packages must not go before the standard library.
        paths = paths if root in site.getsitepackages() else [root, *paths]
        start = f"from harness.executors.broker import broker; broker({theirs.fileno()})"
        boot = f"import sys; sys.path.insert(0, {root!r}); {start}"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot], pass_fds=[theirs.fileno()], cwd=home / "cwd", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**variables, "PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        theirs.close()
        self._connection = Connection(ours.detach())
        self._connection.send({
            **self._options, "context": context, "home": str(home), "code": environment.code(),
            "marker": self._mark(str(context.get("out", ""))),
        })  # fmt: skip
        self._opened = time.monotonic()

    def slots(self) -> list[str]:
        return list(self._up)

    def submit(self, slot: str, task: Task, attempt: int, alone: bool = False) -> None:
        index = self._up[slot]
        self._busy.setdefault(index, deque()).append((slot, task.key, attempt))
        self._send(("submit", index, self._lives[index], task.key, attempt, task.payload, alone))

    def poll(self, timeout: float) -> list[Event]:
        if self._connection is None:
            return []
        happened: list[Event] = []
        try:
            while self._connection.poll(timeout):
                happened += self._take(*self._connection.recv())
                timeout = 0.0
        except (EOFError, OSError):
            if self._seen_up or self._again:
                raise UsageError(f"Ray ended unexpectedly (see {self._log}); the same command resumes") from None
            self.close()  # on a busy machine its own processes may be too late for one another
            self._again = True
            self.open(self._context)
        if self._up:
            self._opened = time.monotonic()
        elif time.monotonic() - self._opened > START_LIMIT:
            what = "none is left" if self._seen_up else "none came up"
            local = self._options["address"] == "local"
            how = "use --executor inline" if local else "the same command goes on when the cluster has room"
            raise UsageError(f"no Ray worker for {START_LIMIT:g} s, {what} (see {self._log}): {how}")
        return happened

    def notes(self) -> list[str]:
        """Lines for the user since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def kill(self, slot: str) -> None:
        index = self._up.pop(slot, None)
        if index is not None:
            self._busy.pop(index, None)
            self._send(("kill", index, self._lives[index]))

    def close(self) -> None:
        import psutil

        if self._process is None or self._connection is None:
            return
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._send(("close",))
            self._connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_LIMIT + 2)
            self._process.kill()
            _, alive = psutil.wait_procs(family, timeout=3)  # workers notice by themselves that Ray is gone
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(alive, timeout=3)
        self._process.wait()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
        if self._marker is not None:
            self._marker.unlink(missing_ok=True)
        self._process = self._connection = None
        self._up, self._busy = {}, {}

    def _mark(self, out: str) -> Marker | None:
        """What workers on other machines look for, to see whether the run directory is theirs as well."""
        if self._options["address"] == "local" or not out:
            return None
        text = secrets.token_hex(16)
        if "://" not in out:
            self._marker = Path(out) / f".{text}.shared"
            self._marker.write_text(text)
        return Marker(str(self._marker or ""), text, str(environment.ROOT))

    def _send(self, message: tuple[Any, ...]) -> None:
        with contextlib.suppress(OSError):  # the next poll finds out and says so
            assert self._connection is not None
            self._connection.send(message)

    def _take(self, kind: str, index: int, *rest: Any) -> Iterator[Event]:
        """A message of the broker's as events, of which there may be none."""
        if kind == "fatal":
            raise UsageError(f"{rest[0]} (Ray's log: {self._log})")
        if kind == "up":
            self._seen_up = True
            self._up[f"{rest[0]}/{index}"] = index
            self._lives[index] = rest[1]
            return
        if kind == "note":
            self._notes.append(rest[0])
            return
        busy = self._busy.get(index, deque())
        if kind == "items":
            for key, attempt, message in rest[0]:
                if busy and busy[0][1:] == (key, attempt):
                    yield event(busy[0][0], key, attempt, message)
                    if message["type"] != "progress":
                        busy.popleft()
        else:  # the slot went down
            self._up = {slot: number for slot, number in self._up.items() if number != index}
            if busy:
                del self._busy[index]
                yield NodeLost(*busy[0], "its node left") if kind == "gone" else ENDINGS[kind](*busy[0], rest[0])


def _check_address(address: str) -> None:
    """Ray itself would try a wrong address for minutes, and say little."""
    if address == "local":
        return
    door.check_token()
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdigit()):
        raise UsageError(f"cannot use Ray at {address!r}: give HOST:PORT as `ray start` printed it, auto or local")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(f"no Ray cluster answers at {address} ({error.strerror or error})") from None
