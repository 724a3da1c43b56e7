"""What Ray, or a fault between driver and worker, has to say, as one line.

pytest tests/harness/test_executors.py
"""

from __future__ import annotations

from typing import Any

from harness.executors import is_disk_full


def raised(error: BaseException) -> dict[str, Any]:
    """A fault between driver and worker as a message of the work's."""
    return {
        "type": "raised", "error": last_line(error), "traceback": str(error), "oom": False,
        "disk_full": is_disk_full(error),
    }  # fmt: skip


def last_line(error: BaseException) -> str:
    """What a RayTaskError is about; the traceback of the worker comes before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def explain(error: BaseException) -> str:
    """Ray's page of text on a death as one line."""
    text = " ".join(str(error).split())
    if "exit code" in text:
        return "the process ended with exit code " + text.rpartition("exit code ")[2].split()[0].rstrip(".")
    if "connection error code 2" in text:
        return "the process died: a crash (segmentation fault), os._exit, kill -9 or the kernel's out-of-memory killer"
    if "node has died" in text:
        return "its node has died"
    if "temporarily unavailable" in text:
        return "its worker does not answer: the machine it is on, or the network, went away"
    text = text.rpartition("Worker exit detail: ")[2] or text
    return text[:200]
