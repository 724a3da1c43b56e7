"""The broker: the process that holds Ray for `harness.executors.ray`.

Slots are made node by node, also on nodes that join while the run goes on. One thread per slot makes its actor
(slot.py), feeds it cells and replaces it when it died; what happens is told to the driver over the socket, as (kind,
slot's number, ...). The process ends, and Ray with it, when the driver's end closes.

    pytest tests/harness/test_executors.py
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from harness import environment
from harness.executors import door, is_sticky
from harness.executors.parcels import Piece, Sender
from harness.executors.places import Place, places, waiting
from harness.executors.reasons import explain, last_line, raised
from harness.executors.slot import Slot

CLOSE_LIMIT = 8.0  # seconds for Ray to end by itself, it takes about 2
SLOT_STARTS = 3  # failed starts in a row after which a slot is given up
Order = tuple[str, int, dict[str, Any], bool]  # a cell's key, attempt, payload, and whether it may have all the memory
WATCH = 2.0  # seconds between two looks at the nodes of a cluster; Ray itself takes 3 to notice a crash
PATIENCE = 20.0  # seconds without any slot after which a cluster's free resources are told; a slot takes about 5


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
        self.local = options["address"] == "local"
        self.actor: Any = None
        self.sender: Sender | None = None
        self.nodes: dict[str, list[int]] = {}  # node -> the numbers of its slots
        self.refused: set[str] = set()  # nodes with other code
        self.told: set[str] = set()  # lines about slots: many nodes are alike
        self.working = False  # whether any slot has been up
        self.queues: list[queue.SimpleQueue[tuple[int, Order] | None]] = []
        self.lives: dict[int, int] = {}  # slot -> how many processes it has had: an order is for one of them
        self.done: dict[int, int] = {}  # slot -> how many of the cells that were handed to it together have ended
        self.current: dict[int, Any] = {}  # slot -> its actor
        self.entry = options["context"]["entry"]
        self.alive = 0

    def run(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            import ray

            self.start(ray)
            self.started = True
            self.closing.wait()
            if not self.local:  # a cluster is left as it was found; our own is ended below
                self.clean(ray)
                ray.shutdown()
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            self.send("fatal", -1, f"Ray cannot start: {type(error).__name__}: {said[0]}; use --executor inline")
            self.closing.wait(CLOSE_LIMIT)
        self.end()

    def clean(self, ray: Any) -> None:
        """Have other machines remove what was sent to them."""
        if self.sender is not None:
            actors = list(self.current.values())
            with contextlib.suppress(Exception):  # one that works or died answers late or never
                ray.wait([actor.clean.remote() for actor in actors], num_returns=len(actors), timeout=2.0)

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
        own = {
            "num_cpus": options["cpus"] or environment.cores(), "num_gpus": options["gpus"], "include_dashboard": False,
            "object_store_memory": 100 * 2**20, "_temp_dir": options["home"],
        } if self.local else {}  # fmt: skip
        if not self.local and (problem := door.refused(options["address"])):
            self.send("fatal", -1, problem)
            return
        ray.init(address=options["address"], logging_level="ERROR", log_to_driver=False, **own)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm sends it to all; the driver ends this process
        if not self.local:
            self.sender = Sender(options["context"], ray.put)
        self.actor = ray.remote(Slot)
        self.look(ray)
        if not self.local:
            threading.Thread(target=self.watch, args=(ray,), daemon=True).start()

    def watch(self, ray: Any) -> None:
        """Nodes come and go: slots are made on new ones, and those of a node that is gone are closed."""
        patient = time.monotonic() + PATIENCE
        if door.is_open(address := ray.get_runtime_context().gcs_address):
            who = "whoever reaches its ports can run code on it (docs/cluster.md)"
            self.send("note", -1, f"warning: the Ray cluster at {address} asks for no token: {who}")
        while not self.closing.wait(WATCH):
            with contextlib.suppress(Exception):  # the cluster's head may be gone: then every slot says so itself
                self.look(ray)
                if not self.working and time.monotonic() > patient:
                    patient = float("inf")
                    self.send("note", -1, waiting(ray))

    def look(self, ray: Any) -> None:
        """Make the slots of nodes that are new, end those of nodes that are gone."""
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        graphic = any(node["Resources"].get("GPU") for node in nodes.values())  # then the GPUs work, and nothing else
        for name, node in nodes.items():
            if name not in self.nodes:
                made = places(ray, node, graphic, self.options, self.note)
                self.nodes[name] = [self.add(ray, place) for place in made]
        for name in self.nodes.keys() - nodes.keys():
            for index in self.nodes.pop(name):
                self.send("gone", index)  # not left to its thread: a call to a node that dies may never return
                self.queues[index].put(None)

    def add(self, ray: Any, place: Place) -> int:
        """A new slot, looked after by a thread of its own; its number."""
        index = len(self.queues)
        self.queues.append(queue.SimpleQueue())
        self.alive += 1
        threading.Thread(target=self.guard, args=(ray, place, index), daemon=True).start()
        return index

    def guard(self, ray: Any, place: Place, index: int) -> None:
        """A fault of ours in a slot's thread ends the run with a line, where the driver would wait for ever."""
        try:
            self.serve(ray, place, index)
        except Exception as error:
            self.send("fatal", index, f"the broker failed: {type(error).__name__}: {last_line(error)}")
            raise

    def listen(self) -> None:
        """Take the driver's orders until it closes, or is gone."""
        with contextlib.suppress(EOFError, OSError):
            while (order := self.connection.recv())[0] != "close":
                kind, index, life, *given = order
                if kind == "submit":
                    self.queues[index].put((life, tuple(given)))
                else:
                    self.kill(index, life)
        self.closing.set()
        if not self.started:
            self.end()
        time.sleep(CLOSE_LIMIT)
        self.end()

    def kill(self, index: int, life: int) -> None:
        """End the process of a slot with all that it was given, unless it is another by now."""
        import ray

        if index in self.current and self.lives[index] == life:
            ray.kill(self.current[index])

    def note(self, line: str) -> None:
        """Tell the user, once."""
        if line not in self.told:
            self.told.add(line)
            self.send("note", -1, line)

    def send(self, kind: str, index: int, *rest: Any) -> None:
        with self.lock, contextlib.suppress(OSError):
            self.connection.send((kind, index, *rest))

    def serve(self, ray: Any, place: Place, index: int) -> None:
        """The life of one slot: make its actor, feed it, replace it when it died, as long as its node is there."""
        reason, failed = "", 0
        while failed < SLOT_STARTS and not self.closing.is_set() and place.node in self.alive_nodes(ray):
            made = self.actor.options(max_restarts=0, max_task_retries=0, **place.needs)
            actor, options = made.remote(socket.gethostname(), place.share), self.options
            try:
                found = ray.get(actor.ready.remote(options["context"], options["code"], options["marker"]))
            except ray.exceptions.RayTaskError as error:  # the work cannot be imported: the same everywhere
                self.send("fatal", index, f"workers cannot load {self.entry}: {last_line(error)}")
                return
            except ray.exceptions.RayError as error:
                reason, failed = explain(error), failed + 1
                self.closing.wait(1.0)
                continue
            if problem := found.get("problem"):
                self.refuse(index, place, problem)
                break
            failed = 0
            self.working = True
            self.current[index] = actor
            self.lives[index] = self.lives.get(index, 0) + 1
            device = found["device"] if self.local else f"{found['device']}@{found['node']}-{place.node[:4]}"
            self.send("up", index, device, self.lives[index])
            if not self.feed(ray, actor, index):
                break
        self.alive -= 1
        here = self.local or (not self.working and place.node in self.alive_nodes(ray))  # else another may join
        if self.alive == 0 and not self.closing.is_set() and here:
            self.send("fatal", index, f"no worker stays up: {reason}")

    def alive_nodes(self, ray: Any) -> set[str]:
        return {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def refuse(self, index: int, place: Place, problem: str) -> None:
        """A node with other code: no run begins with it, and none that is under way uses it."""
        if not self.working:
            self.send("fatal", index, problem)
        elif place.node not in self.refused:
            self.refused.add(place.node)
            self.send("note", index, f"{problem}; this node is not used")

    def feed(self, ray: Any, actor: Any, index: int) -> bool:
        """Run cells on one actor until it is gone; False when its node is, and the slot with it."""
        while (orders := self.orders(index)) is not None:
            ending = None
            try:
                ending = self.work(ray, actor, index, orders)
            except ray.exceptions.OutOfMemoryError as error:
                ending = ("oom", explain(error))
            except ray.exceptions.ActorUnavailableError as error:
                ending = ("node", explain(error))
            except ray.exceptions.ActorDiedError as error:
                lost = error.preempted or "node has died" in str(error)
                ending = ("node" if lost else "died", explain(error))
            except (ray.exceptions.RayError, OSError, ValueError) as error:
                # a message that cannot be pickled, for one, or a file that was to be sent and is gone
                rest = orders[self.done[index] :]
                self.send("items", index, [(*order[:2], raised(error)) for order in rest])
            if ending is not None:
                with contextlib.suppress(Exception):
                    ray.kill(actor)
                self.send(ending[0], index, ending[1])
                return True
        return False

    def orders(self, index: int) -> list[Order] | None:
        """What has been given to a slot, waiting for the first; None when its node is gone. What was meant for a
        process that died is dropped: the driver has taken it back."""
        waiting, found = self.queues[index], list[Order]()
        while not found:
            given = waiting.get()
            with contextlib.suppress(queue.Empty):
                while given is not None:
                    life, order = given
                    if life == self.lives[index]:
                        found.append(order)
                    given = waiting.get_nowait()
            if given is None:
                return None
        return found

    def work(self, ray: Any, actor: Any, index: int, orders: list[Order]) -> tuple[str, str] | None:
        """Have the actor run cells, one after the other, and tell the driver; returns how its process ended, if so."""
        self.done[index] = 0
        sent = [(*order, self.parcel(ray, actor, order[2])) for order in orders]
        for reference in actor.work.options(num_returns="streaming").remote(sent):
            items: list[tuple[str, int, dict[str, Any]]] = []
            for key, attempt, message in ray.get(reference):
                error = str(message.get("error") or message.get("record", {}).get("error") or "")
                if is_sticky(error):  # every later CUDA call of this process would fail too
                    told = [] if message["type"] == "raised" else [(key, attempt, message)]
                    self.send("items", index, items + told)
                    return "died", error.splitlines()[0]
                files = message.pop("files", None)
                items.append((key, attempt, message if files is None else self.keep(message, files)))
                self.done[index] += message["type"] != "progress"
            self.send("items", index, items)
        return None

    def parcel(self, ray: Any, actor: Any, payload: dict[str, Any]) -> list[tuple[Piece, Any]]:
        """What the cell reads and the worker's machine does not have."""
        if self.sender is None:
            return []
        pieces = self.sender.pieces(payload)
        return self.sender.parcel(pieces, ray.get(actor.lacks.remote(pieces)))

    def keep(self, message: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
        """A record from a machine without our run directory, written down here; or why it could not be."""
        assert self.sender is not None
        try:
            self.sender.keep(message["record"], files)
        except ValueError as error:  # results.StoreError: a full disk, say
            return raised(error)
        return message


def _in_session(pid: int) -> bool:
    """Whether a process is of this one's session, which it leads (the driver starts it so)."""
    with contextlib.suppress(OSError):
        return pid != os.getpid() and os.getsid(pid) == os.getpid()
    return False
