"""The process that builds the tables of a run directory beside the run: whoever drives a grid holds no records.

    python -m results.tables runs/digits-mini

A driver's memory then stays flat in the number of cells, and its loop never waits for tables. The child has the lowest
priority, lives in a session of its own (Ctrl-C is the driver's to answer) and ends with its parent, however that dies:
it watches its stdin, whose other end nobody else holds.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from results.errors import StoreError

ROOT = Path(__file__).resolve().parent.parent
CHILD = "--child"  # results.tables: a parent watches over this process


class Child:
    """One rebuild of the tables of `out`, begun. `seconds` it took, once it has `ended`."""

    def __init__(self, out: str) -> None:
        self.out, self.seconds = out, 0.0
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            # -P: a results.py in the user's working directory is not ours
            [sys.executable, "-P", "-m", "results.tables", CHILD, out],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        self._said = b""
        self._begun = time.monotonic()
        # A thread takes what it says and sees it end: its length is its own, however seldom the driver looks.
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        assert self._process.stdout is not None and self._process.stdin is not None
        self._said = self._process.stdout.read()
        self._process.wait()
        self.seconds = time.monotonic() - self._begun
        self._process.stdout.close()
        self._process.stdin.close()

    @property
    def ended(self) -> bool:
        """Whether it is done, well or not. Never waits."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Wait until it is done, well or not."""
        self._thread.join()

    def check(self) -> None:
        """Of one that ended: raise StoreError where it failed; from an OSError where it met a full disk."""
        if self._process.returncode == 0:
            return
        lines = self._said.decode(errors="replace").strip().splitlines()
        line = lines[-1] if lines else f"its process ended with code {self._process.returncode}"
        error = StoreError(line if self.out in line else f"cannot write the tables of {self.out}: {line}")
        full = os.strerror(errno.ENOSPC)
        raise error from (OSError(errno.ENOSPC, full) if full in line else None)


def end_with_parent() -> None:
    """In the child: have the lowest priority, and end when stdin does."""
    os.nice(19)

    def watch() -> None:
        # not sys.stdin: its lock, held by a thread that waits, is a fatal error when the interpreter ends
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
