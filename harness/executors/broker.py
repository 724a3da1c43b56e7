"""The broker: the process that holds Ray for `harness.executors.ray`, and the actor that it runs on every slot.

One thread per slot makes its actor, feeds it cells and replaces it when it died; what happens is told to the driver
over the socket, as (kind, slot's number, ...). The process ends, and Ray with it, when the driver's end closes.

    pytest tests/harness/test_executors.py
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from harness import environment
from harness.executors import is_sticky, load, log_path, messages

CLOSE_LIMIT = 8.0  # seconds for Ray to end by itself, it takes about 2
SLOT_STARTS = 3  # failed starts in a row after which a slot is given up


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
            if self.options["address"] != "local":  # a cluster is left as it was found
                ray.shutdown()
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            self.send("fatal", -1, f"Ray cannot start: {type(error).__name__}: {said[0]}; use --executor inline")
            self.closing.wait(CLOSE_LIMIT)
        self.end()

    def end(self) -> None:
        """Ray's processes go with this one, whatever state they are in, and then their folder."""
        import psutil

        for _ in range(20):  # what was being started meanwhile goes in the next round
            # by session, not by descent alone: agents outlive their raylet, and are nobody's children then
            rest = [p for p in psutil.process_iter(["status"]) if _in_session(p.pid) and p.info["status"] != "zombie"]
            for process in rest:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not rest:
                break
            psutil.wait_procs(rest, timeout=0.5)
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


def _in_session(pid: int) -> bool:
    """Whether a process is of this one's session, which it leads (the driver starts it so)."""
    with contextlib.suppress(OSError):
        return pid != os.getpid() and os.getsid(pid) == os.getpid()
    return False


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
