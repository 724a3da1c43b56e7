"""Where cells run: the small interface between the driver and whatever executes its cells.

An executor holds *slots*, each busy with one cell at most, and reports what happened as events. It decides nothing:
order, retries and deadlines are the scheduler's (`harness/scheduler.py`). `inline.py` runs in this process, `ray.py`
in a pool of warm Ray actors. Both call the work function named in `context["entry"]` ("module:function") as
`work(context, payload, attempt)` and step through what it yields: {"type": "progress", "done", "note"} and, last,
{"type": "record", "record": {...}}, a record which the work has already committed to disk.

    pytest tests/harness/test_executors.py
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness import UsageError
from harness.executors import memory

if TYPE_CHECKING:
    from harness.executors.probe import Shape
    from harness.tasks import Task

Work = Callable[[dict[str, Any], Mapping[str, Any], int], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Event:
    """Something happened to attempt `attempt` of cell `key` on `slot`, the first of those that were given to it. After
    all but Progress it is the next one's turn; after Died, OutOfMemory and NodeLost none of the others runs."""

    slot: str
    key: str
    attempt: int


@dataclass(frozen=True)
class Progress(Event):
    """`done` is the fraction in 0..1, `note` a few words for the panel."""

    done: float
    note: str


@dataclass(frozen=True)
class Finished(Event):
    """The work ended with its own record (of any status), which it has committed: of it, status, error and log."""

    record: dict[str, Any]


@dataclass(frozen=True)
class Raised(Event):
    """The work function itself raised, or broke its contract; it has committed nothing."""

    error: str
    traceback: str
    oom: bool = False
    disk_full: bool = False


@dataclass(frozen=True)
class Died(Event):
    """The process of the slot died under the cell. The executor replaces it by itself."""

    reason: str


@dataclass(frozen=True)
class OutOfMemory(Event):
    """The machine ran out of memory and the process was ended for it."""

    reason: str


@dataclass(frozen=True)
class NodeLost(Event):
    """The machine of the slot is gone, or does not answer."""

    reason: str


class Executor(Protocol):
    """What the driver asks of whatever runs its cells."""

    name: str

    def open(self, context: dict[str, Any]) -> None:
        """Begin to start up; may return before any slot is there."""

    def slots(self) -> list[str]:
        """Slots that are up, busy or not, as `device/index`; those that share a device share its memory."""

    def submit(self, slot: str, task: Task, attempt: int, alone: bool = False) -> None:
        """Start an attempt on a slot that is up, after those that were given to it before. `alone`: it may have the
        memory of the whole device."""

    def poll(self, timeout: float) -> list[Event]:
        """Events since the last call, waiting at most `timeout` seconds for the first (inline: one step of the work).
        Raises UsageError when no cell can ever run."""

    def notes(self) -> list[str]:
        """Lines for the user since the last call: a node that is not used, say."""

    def kill(self, slot: str) -> None:
        """End the attempt on a slot without an event; the slot leaves `slots()` until it is replaced."""

    def close(self) -> None:
        """End all processes and wait until they are gone. May be called twice."""


def device(slot: str) -> str:
    """The device of a slot: `cuda:0` of `cuda:0/3`, `cuda:0@10.0.0.1` of `cuda:0@10.0.0.1/3`."""
    return slot.rpartition("/")[0]


def node(slot: str) -> str:
    """The node of a slot: `10.0.0.1` of `cuda:0@10.0.0.1/3`; empty for a machine on its own."""
    return device(slot).partition("@")[2]


def load(entry: str) -> Work:
    """Import the work function `module:function`; where that brought torch in, hold it to one thread and its memory."""
    module, _, name = entry.partition(":")
    work: Work = getattr(importlib.import_module(module), name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
        memory.keep()
    return work


def is_oom(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the host or on a GPU. Loads no torch."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an exception, or what it was raised from, says that the disk is full."""
    while error is not None and getattr(error, "errno", None) != errno.ENOSPC:
        error = error.__cause__
    return error is not None


def is_sticky(text: str) -> bool:
    """Whether an error's text is a CUDA error after which every later call of its process fails too."""
    return "CUDA error" in text and "out of memory" not in text


def one_line(error: BaseException) -> str:
    """`ValueError: what it said`, cut to its first line."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def messages(
    work: Work, context: dict[str, Any], payload: Mapping[str, Any], attempt: int
) -> Generator[dict[str, Any], None, None]:
    """Step through the work and hold it to its contract: exactly one record, last. Whatever it raises (SystemExit too)
    becomes a last message {"type": "raised", ...}, so that no exotic exception has to cross a process border."""
    try:
        for message in work(context, payload, attempt):
            kind = message.get("type") if isinstance(message, dict) else None
            if kind == "record" and isinstance(message.get("record"), dict) and message["record"].get("status"):
                yield message
                return
            if kind != "progress":
                raise TypeError(f"{context['entry']} yielded {str(message)[:80]!r}, neither progress nor a record")
            yield message
        raise TypeError(f"{context['entry']} ended without a record")
    except (Exception, SystemExit) as error:
        yield {
            "type": "raised",
            "error": one_line(error),
            "traceback": traceback.format_exc(),
            "oom": is_oom(error),
            "disk_full": is_disk_full(error),
        }


def event(slot: str, key: str, attempt: int, message: dict[str, Any]) -> Event:
    """One of `messages` as an event."""
    if message["type"] == "progress":
        return Progress(slot, key, attempt, float(message.get("done") or 0.0), str(message.get("note", "")))
    if message["type"] == "record":
        return Finished(slot, key, attempt, message["record"])
    return Raised(slot, key, attempt, *(message[name] for name in ("error", "traceback", "oom", "disk_full")))


def log_path(context: dict[str, Any], key: str, attempt: int) -> Path | None:
    """Where the log of an attempt is; None when the run directory is not a local folder."""
    out = str(context.get("out", ""))
    return Path(out) / "logs" / f"{key}.{attempt}.log" if out and "://" not in out else None


def make(
    name: str | None = None, *, address: str | None = None, slots_per_gpu: int | None = None,
    peak_mb: float | None = None, shapes: Sequence[Shape] = (), quiet: bool = False,
) -> Executor:  # fmt: skip
    """The executor called `ray` or `inline`; None stands for Ray where it is installed, else inline, said in one line.
    `slots_per_gpu` None fits as many as the memory takes at `peak_mb`, or where that is None at what `shapes` take.

    Raises UsageError for another name, for `ray` where it is not installed and for an address given to `inline`."""
    if name not in (None, "ray", "inline"):
        raise UsageError(f"unknown executor {name!r}: it is ray or inline")
    installed = importlib.util.find_spec("ray") is not None
    if name == "ray" and not installed:
        raise UsageError("Ray is not installed: pip install 'ray>=2.59', or use --executor inline")
    if name == "inline" or not installed:
        if address is not None:
            raise UsageError("--address needs Ray: leave --executor inline out, or the address")
        if name is None and not quiet:
            print("Ray is not installed: cells run one after the other in this process", flush=True)
        from harness.executors.inline import InlineExecutor

        return InlineExecutor()
    from harness.executors.ray import RayExecutor

    return RayExecutor(address=address or "local", slots_per_gpu=slots_per_gpu, peak_mb=peak_mb, shapes=shapes)
