"""The actor on a slot of `harness.executors.ray`: one process, one cell at a time, warm between them.

pytest tests/harness/test_executors.py
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from harness import environment
from harness.executors import load, log_path, memory, messages
from harness.executors.parcels import Marker, Piece

Sent = tuple[str, int, dict[str, Any], bool, list[tuple[Piece, Any]]]  # the broker's order, and what it reads
HEARD = ("status", "error", "log")  # of a record, by the driver
TOGETHER = 0.05  # seconds that the messages of short cells are kept to be sent together
Code = dict[str, tuple[str, str]]  # package -> its hash, and where it is


class Slot:
    """`host` is the driver's. Made by the broker, which feeds it."""

    def __init__(self, host: str, share: memory.Share) -> None:
        self.host, self.share = host, share

    def ready(self, context: dict[str, Any], code: Code, marker: Marker | None) -> dict[str, Any]:
        """Import the work and say where this is; `problem` holds why this process must not be used: our packages must
        be the driver's own files or, elsewhere, equal to them. `marker` is None where this is the driver's machine."""
        import ray

        self.context, where = context, ray.util.get_node_ip_address()
        for name, (digest, folder) in environment.code().items():
            if (socket.gethostname(), folder) != (self.host, code[name][1]) and digest != code[name][0]:
                problem = f"`{name}` on {where} comes from {folder} and differs from the driver's at {code[name][1]}"
                return {"problem": f"{problem}: install the same mapbench there, and start where nothing shadows it"}
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm sends it to all, Ray raises SystemExit within the cell
        self.receiver = None if marker is None else marker.receiver()
        self.entry = load(context["entry"])
        gpus = ray.get_gpu_ids()
        return {"device": f"cuda:{gpus[0]}" if gpus else "cpu", "node": where}

    def lacks(self, pieces: list[Piece]) -> list[bool]:
        """Which of the files that a cell reads have to be sent here."""
        return self.receiver.lacks(pieces) if self.receiver else [False] * len(pieces)

    def work(self, orders: list[Sent]) -> Iterator[list[tuple[str, int, dict[str, Any]]]]:
        """Run cells, one after the other; what they say comes as (key, attempt, message), that of several short ones
        together. Where the run directory is not shared a record comes with the files that it names."""
        said: list[tuple[str, int, dict[str, Any]]] = []
        told = time.monotonic()
        for order in orders:
            key, attempt = order[:2]
            for message in self._cell(*order):
                said.append((key, attempt, message))
                if len(orders) == 1 or time.monotonic() - told > TOGETHER:
                    yield said
                    said, told = [], time.monotonic()
        if said:
            yield said

    def _cell(
        self, key: str, attempt: int, payload: dict[str, Any], alone: bool, parcel: list[tuple[Piece, Any]]
    ) -> Iterator[dict[str, Any]]:
        """Run one cell; should the process crash, the stack goes to the cell's log."""
        import ray

        self.share.hold(alone)
        context = self.context
        if self.receiver is not None:
            context, payload = self.receiver.unpack(context, payload, parcel, ray.get)
        path = log_path(context, key, attempt)
        with contextlib.ExitStack() as stack:
            stack.callback(memory.release)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                faulthandler.enable(stack.enter_context(path.open("a")))
                stack.callback(faulthandler.disable)
            for message in messages(self.entry, context, payload, attempt):
                if message["type"] != "record":
                    yield message
                elif self.receiver is not None and not self.receiver.shared:
                    yield {**message, "files": self.receiver.made(message["record"])}
                else:  # it is on disk: of its ten kilobytes the driver asks for these
                    yield {"type": "record", "record": {name: message["record"].get(name) for name in HEARD}}

    def clean(self) -> None:
        """Remove what was sent here."""
        if self.receiver is not None:
            self.receiver.clean()
