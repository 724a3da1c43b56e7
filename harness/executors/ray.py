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
import faulthandler
import os
import queue
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import UsageError, environment
from harness.executors import Died, Event, NodeLost, OutOfMemory, event, is_sticky, load, log_path, messages

if TYPE_CHECKING:
    from harness.scheduler import Task

START_LIMIT = 300.0  # seconds for the first slot; a loaded machine takes 30
CLOSE_LIMIT = 8.0  # seconds for Ray to end by itself, it takes about 2
SLOT_STARTS = 3  # failed starts in a row after which a slot is given up
ENDINGS: dict[str, type[Died] | type[OutOfMemory] | type[NodeLost]] = {
    "died": Died, "oom": OutOfMemory, "node": NodeLost
}  # fmt: skip


class RayExecutor:
    """The driver's end. `cpus` and `gpus` default to what the machine (or the cluster at `address`) has;
    `memory_mb` limits each CPU slot, by default to its share, so that a failed allocation is an error, not a kill."""

    name = "ray"

    def __init__(
        self,
        *,
        address: str = "local",
        slots_per_gpu: int = 1,
        cpus: int | None = None,
        gpus: int | None = None,
        memory_mb: int | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "address": address, "slots_per_gpu": slots_per_gpu, "cpus": cpus, "gpus": gpus, "memory_mb": memory_mb
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._up: dict[str, int] = {}  # slot -> its number at the broker
        self._busy: dict[int, tuple[str, str, int]] = {}  # number -> slot, key, attempt
        self._seen_up = False
        self._opened = 0.0
        self._log: Path | None = None

    def open(self, context: dict[str, Any]) -> None:
        """Start the broker and return at once; slots come up in `poll`. Ray's texts go to `out`/logs/ray.log."""
        home = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
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
        start = f"from harness.executors.ray import broker; broker({theirs.fileno()})"
        boot = f"import sys; sys.path.insert(0, {root!r}); {start}"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot], pass_fds=[theirs.fileno()], cwd=home / "cwd", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**variables, "PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        theirs.close()
        self._connection = Connection(ours.detach())
        self._connection.send({**self._options, "context": context, "home": str(home), "code": environment.code()})
        self._opened = time.monotonic()

    def slots(self) -> list[str]:
        return list(self._up)

    def submit(self, slot: str, task: Task, attempt: int, alone: bool = False) -> None:
        index = self._up[slot]
        self._busy[index] = (slot, task.key, attempt)
        self._send(("submit", index, task.key, attempt, task.payload, alone))

    def poll(self, timeout: float) -> list[Event]:
        if self._connection is None:
            return []
        happened: list[Event] = []
        try:
            while self._connection.poll(timeout):
                happened += self._take(*self._connection.recv())
                timeout = 0.0
        except (EOFError, OSError):
            raise UsageError(f"Ray ended unexpectedly (see {self._log}); the same command resumes") from None
        if not self._seen_up and time.monotonic() - self._opened > START_LIMIT:
            raise UsageError(f"no Ray worker after {START_LIMIT:g} s (see {self._log}): use --executor inline")
        return happened

    def kill(self, slot: str) -> None:
        index = self._up.pop(slot, None)
        if index is not None and (busy := self._busy.pop(index, None)) is not None:
            self._send(("kill", index, *busy[1:]))

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
        self._process = self._connection = None
        self._up, self._busy = {}, {}

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
            return
        busy = self._busy.get(index)
        if kind == "item":
            key, attempt, message = rest
            if busy and busy[1:] == (key, attempt):
                happened = event(busy[0], key, attempt, message)
                if message["type"] != "progress":
                    del self._busy[index]
                yield happened
        else:  # the slot went down
            self._up = {slot: number for slot, number in self._up.items() if number != index}
            if busy and busy[1:] == rest[:2]:
                del self._busy[index]
                yield ENDINGS[kind](*busy, rest[2])


class Slot:
    """The actor: one process, one cell at a time, warm between them."""

    def __init__(self, host: str, slots: int) -> None:
        self.host, self.slots = host, min(slots, environment.cores())  # the driver's; those that share this machine

    def ready(self, context: dict[str, Any], code: dict[str, tuple[str, str]], memory_mb: int | None) -> dict[str, Any]:
        """Import the work and say where this is; `problem` holds why this process must not be used: our packages must
        be the driver's own files or, elsewhere, equal to them."""
        import ray

        self.context = context
        for name, (digest, folder) in environment.code().items():
            if (socket.gethostname(), folder) != (self.host, code[name][1]) and digest != code[name][0]:
                where = ray.util.get_node_ip_address()
                problem = f"`{name}` on {where} comes from {folder} and differs from the driver's at {code[name][1]}"
                return {"problem": f"{problem}: install the same mapbench there, and start where nothing shadows it"}
        self.memory_mb = memory_mb
        self.entry = load(context["entry"])
        gpus = ray.get_gpu_ids()
        return {"device": f"cuda:{gpus[0]}" if gpus else "cpu", "node": ray.util.get_node_ip_address()}

    def work(self, key: str, payload: dict[str, Any], attempt: int, alone: bool) -> Iterator[dict[str, Any]]:
        """Run one cell; should the process crash, the stack goes to the cell's log."""
        if self.memory_mb is not None:
            import resource

            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (self.memory_mb * (self.slots if alone else 1) * 2**20, hard))
        path = log_path(self.context, key, attempt)
        with contextlib.ExitStack() as stack:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                faulthandler.enable(stack.enter_context(path.open("a")))
                stack.callback(faulthandler.disable)
            yield from messages(self.entry, self.context, payload, attempt)


def broker(descriptor: int) -> None:
    """Entry point of the process between the driver and Ray."""
    connection = Connection(descriptor)
    _Broker(connection, connection.recv()).run()


class _Broker:
    def __init__(self, connection: Connection, options: dict[str, Any]) -> None:
        self.connection, self.options = connection, options
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.started = False
        self.queues: list[queue.SimpleQueue[tuple[str, int, dict[str, Any], bool]]] = []
        self.current: dict[int, tuple[str, int, Any, str]] = {}  # slot -> key, attempt, actor, device
        self.entry = options["context"]["entry"]
        self.alive = 0

    def run(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            import ray

            self.start(ray)
            self.started = True
            self.closing.wait()
            ray.shutdown(wait_for_processes=True)
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            self.send("fatal", -1, f"Ray cannot start: {type(error).__name__}: {said[0]}; use --executor inline")
            self.closing.wait(CLOSE_LIMIT)
        self.end()

    def end(self) -> None:
        """Ray's own processes are bound to this one and go with it, whatever state they are in."""
        shutil.rmtree(self.options["home"], ignore_errors=True)
        os._exit(0)

    def start(self, ray: Any) -> None:
        options = self.options
        local = options["address"] == "local"
        own = {
            "num_cpus": options["cpus"] or environment.cores(), "num_gpus": options["gpus"], "include_dashboard": False,
            "object_store_memory": 100 * 2**20, "_temp_dir": options["home"],
        } if local else {}  # fmt: skip
        ray.init(address=options["address"], logging_level="ERROR", log_to_driver=False, **own)
        total = ray.cluster_resources()
        share = options["slots_per_gpu"]
        if gpus := int(total.get("GPU", 0)) if options["gpus"] is None else options["gpus"]:
            count, memory = gpus * share, None
            # rounded down to Ray's precision, or the last slot of a GPU would wait for ever
            needs = {"num_cpus": 0, "num_gpus": 10_000 // share / 10_000}
        else:
            count = int(options["cpus"] or total.get("CPU", 1))
            needs = {"num_cpus": 1}
            memory = options["memory_mb"] or max(2048, int(total.get("memory", 0) / count / 2**20))
        if not local:
            needs["scheduling_strategy"] = "SPREAD"
        actor = ray.remote(Slot).options(max_restarts=0, max_task_retries=0, **needs)
        self.queues = [queue.SimpleQueue() for _ in range(count)]
        self.alive = count
        for index in range(count):
            threading.Thread(target=self.serve, args=(ray, actor, memory, index), daemon=True).start()

    def listen(self) -> None:
        """Take the driver's orders until it closes, or is gone."""
        with contextlib.suppress(EOFError, OSError):
            while (order := self.connection.recv())[0] != "close":
                kind, index, key, attempt, *payload = order
                if kind == "submit":
                    self.queues[index].put((key, attempt, *payload))
                else:
                    self.kill(index, key, attempt)
        self.closing.set()
        if not self.started:
            self.end()
        time.sleep(CLOSE_LIMIT)
        self.end()

    def kill(self, index: int, key: str, attempt: int) -> None:
        import ray

        current = self.current.get(index)
        if current and current[:2] == (key, attempt):
            ray.kill(current[2])
        elif current:  # it has just ended by itself: the slot is as good as before
            self.send("up", index, current[3])

    def send(self, kind: str, index: int, *rest: Any) -> None:
        with self.lock, contextlib.suppress(OSError):
            self.connection.send((kind, index, *rest))

    def serve(self, ray: Any, factory: Any, memory: int | None, index: int) -> None:
        """The life of one slot: make its actor, feed it, replace it when it died."""
        reason, failed = "", 0
        while failed < SLOT_STARTS and not self.closing.is_set():
            actor = factory.remote(socket.gethostname(), len(self.queues))
            try:
                found = ray.get(actor.ready.remote(self.options["context"], self.options["code"], memory))
            except ray.exceptions.RayTaskError as error:  # the work cannot be imported: the same everywhere
                self.send("fatal", index, f"workers cannot load {self.entry}: {_last_line(error)}")
                return
            except ray.exceptions.RayError as error:
                reason, failed = _reason(error), failed + 1
                continue
            if problem := found.get("problem"):
                self.send("fatal", index, problem)
                return
            failed = 0
            device = found["device"] if self.options["address"] == "local" else f"{found['node']}:{found['device']}"
            self.send("up", index, device)
            self.feed(ray, actor, device, index)
        self.alive -= 1
        if self.alive == 0 and not self.closing.is_set():
            self.send("fatal", index, f"no worker stays up: {reason}")

    def feed(self, ray: Any, actor: Any, device: str, index: int) -> None:
        """Run cells on one actor until it is gone."""
        while True:
            self.current[index] = ("", 0, actor, device)
            key, attempt, payload, alone = self.queues[index].get()
            self.current[index] = (key, attempt, actor, device)
            ending = None
            try:
                for reference in actor.work.options(num_returns="streaming").remote(key, payload, attempt, alone):
                    message = ray.get(reference)
                    error = str(message.get("error") or message.get("record", {}).get("error") or "")
                    if is_sticky(error):  # every later CUDA call of this process would fail too
                        ending = ("died", error.splitlines()[0])
                    if message["type"] != "raised" or ending is None:
                        self.send("item", index, key, attempt, message)
            except ray.exceptions.OutOfMemoryError as error:
                ending = ("oom", _reason(error))
            except ray.exceptions.ActorUnavailableError as error:
                ending = ("node", _reason(error))
            except ray.exceptions.ActorDiedError as error:
                lost = error.preempted or "node has died" in str(error)
                ending = ("node" if lost else "died", _reason(error))
            except ray.exceptions.RayError as error:  # a message that cannot be pickled, for one
                raised = {"error": _last_line(error), "traceback": str(error), "oom": False, "disk_full": False}
                self.send("item", index, key, attempt, {"type": "raised", **raised})
            if ending is not None:
                with contextlib.suppress(Exception):
                    ray.kill(actor)
                self.send(ending[0], index, key, attempt, ending[1])
                return


def _last_line(error: BaseException) -> str:
    """What a RayTaskError is about; the traceback of the worker comes before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _reason(error: BaseException) -> str:
    """Ray's page of text on a death as one line."""
    text = " ".join(str(error).split())
    if "exit code" in text:
        return "the process ended with exit code " + text.rpartition("exit code ")[2].split()[0].rstrip(".")
    if "connection error code 2" in text:
        return "the process died: a crash (segmentation fault), kill -9 or the kernel's out-of-memory killer"
    text = text.rpartition("Worker exit detail: ")[2] or text
    return text[:200]
