"""The MLflow mirror of a run directory: one writer, after the fact, from the records; MLflow down costs no result.

    mapbench mlflow runs/digits-mini [--uri URI] [--per-cell]

Experiment `mapbench/<grid>`; one parent run per run directory (counts; plan.json, tables and board as artefacts); under
it one run per (suite, split_seed, score, backbone, variant, start, source:targets), its metrics the means over seeds
with `_sd`, 95 % t-intervals (`_low`, `_high`) and `n`; the same for the unprotected models, variant `f_s`, and for
synthesisers, with their pictures; with --per-cell each cell too, with its curves, and from then on always. A run in
which a cell failed is FAILED and carries the error.

Re-syncing is free, see harness/mlruns.py. Every timestamp comes from a record; a metric's step counts the revisions
of its aggregate, because to MLflow the latest value is the one of the highest step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import UsageError, environment
from harness.aggregates import METRICS, Mirrored, aggregate
from harness.mlruns import Sweep
from results.place import get, is_local, place

__all__ = [
    "METRICS", "Mirror", "Mirrored", "aggregate", "failed", "mirror", "mirror_in_subprocess", "pending", "resolve",
    "sync",
]  # fmt: skip

STATE = "mlflow.json"
FAILED = "results complete, MLflow sync failed: "
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "ERROR", "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # by default it tries for 4 minutes
}  # fmt: skip


class Mirror:
    """A low-priority child process that loads MLflow and creates its database while cells train, then syncs once.

    It ends with its parent, whose end closes its stdin. No fault of MLflow's raises here. `uri`: where else than a run
    would mirror to."""

    def __init__(self, out: Path, uri: str | None = None, per_cell: bool = False) -> None:
        self._aside = bool(uri) and uri != resolve(out)
        if not self._aside:
            _state(out, pending=True)
        path = os.pathsep.join(filter(None, (str(environment.ROOT), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        if uri:
            env["MLFLOW_TRACKING_URI"] = uri  # not an argument: it may hold a password, and arguments are public
        # -P: a harness.py in the user's working directory is not ours.
        command = [sys.executable, "-P", "-m", "harness.tracking", str(out), "--wait"]
        command += ["--per-cell"] * per_cell + ["--aside"] * self._aside
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
            start_new_session=True,  # Ctrl-C is the driver's to answer
        )  # fmt: skip

    def sync(self, timeout: float | None = 300.0) -> str:
        """Mirrors what the records say now; returns the one line for the user. Call it once, at the end. No timeout: as
        long as it takes, while the server answers each call."""
        try:
            said, _ = self._child.communicate(f"{math.ceil(timeout or 0)}\n".encode(), timeout)
        except subprocess.TimeoutExpired:
            return failed(f"not done within {timeout:g} s", self._aside)
        finally:
            self.close()
        lines = said.decode(errors="replace").split("\n")
        reason = f"its process ended with code {self._child.returncode}"
        return next((line for line in reversed(lines) if line), failed(reason, self._aside))

    def close(self) -> None:
        """Ends the child, whatever it is doing. Safe to call twice."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def mirror_in_subprocess(
    out: Path, uri: str | None = None, timeout: float | None = 300.0, per_cell: bool = False
) -> str:
    """`sync` in a process of its own: MLflow is not loaded here, and nothing it does takes the caller down."""
    return Mirror(out, uri, per_cell).sync(timeout)


def mirror(directory: str, uri: str | None, per_cell: bool) -> int:
    """`mapbench mlflow`: sync now and say so; the exit code, 3 where MLflow did not take it.

    UsageError where `directory` is no run, or there is no place to mirror it to."""
    from harness.panel import say
    from harness.views import opened

    out = opened(directory).out
    if uri and "://" not in uri and uri.partition(":")[0] != "databricks":
        raise UsageError(f"--uri {uri} is no tracking URI: write http://HOST:PORT, or sqlite:///FILE for a database")
    if not uri and (line := unmirrored(out)):
        raise UsageError(f"{line}, or give --uri")
    said = mirror_in_subprocess(out, uri, None, per_cell)
    say(said)
    return 3 if said.startswith(FAILED) else 0


def pending(out: Path) -> bool:
    """Whether a sync of this directory was begun and not completed: the next run tries again. Loads no MLflow."""
    return bool(_state(out)["pending"])


def unmirrored(out: Path) -> str | None:
    """The one line where a run directory is not mirrored: a URL has no file that could be MLflow's default database."""
    if is_local(out) or os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return f"MLflow is not mirrored: {out} is a URL; set MLFLOW_TRACKING_URI to a server or database to mirror it"


def failed(reason: str, aside: bool = False) -> str:
    """The one line for a mirror that failed; `aside`: one that was asked for, where no run would try again."""
    return f"{FAILED}{reason}; the {'same command' if aside else 'next run'} tries again"


def resolve(out: Path, uri: str | None = None) -> str:
    """The tracking URI, always explicit: MLflow's own default depends on what lies in the working directory."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out.absolute()}/mlflow.db"


def sync(out: Path, uri: str | None = None, per_cell: bool = False, aside: bool = False) -> str:
    """Mirrors a run directory to `uri`; returns one line that says what was mirrored, or why it failed. Never raises.

    Default: MLFLOW_TRACKING_URI, else sqlite:///<out>/mlflow.db with its artefacts in <out>/mlartifacts. `aside`: it
    settles nothing of what the next run has to mirror."""
    out = out.absolute()
    uri = resolve(out, uri)
    try:
        from results.store import Store

        store = Store(out)
        read, plan = store.records(), store.plan() or {}
        if not read:
            return f"MLflow: nothing to mirror, no records in {out}"
        earliest = min(read, key=lambda record: (record["finished"], record["uuid"]))
        begun: dict[str, bool] = {} if aside else {"pending": True}
        sweep = _state(out, sweep=earliest["uuid"], **begun)["sweep"]
        held = Sweep(_connect(out, uri), out, uri, sweep)
        held.open(plan.get("grid") or out.name)
        runs = aggregate(read, plan, sweep, per_cell or held.per_cell)
        held.write(runs)
        if not aside:
            _state(out, pending=False)
        return f"MLflow: {len(runs)} runs in {_redact(uri, uri)}"
    except Exception as error:  # whatever it is, the results are complete
        return failed(_redact(_reason(error), uri), aside)


def _connect(out: Path, uri: str) -> Any:
    """An MlflowClient. The default database is made elsewhere and moved in: a killed migration cannot be resumed."""
    environment.quiet()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    file = out / "mlflow.db"
    if uri == f"sqlite:///{file}" and not file.exists():
        with tempfile.TemporaryDirectory() as scratch:
            made = f"sqlite:///{scratch}/mlflow.db"
            MlflowClient(made, registry_uri=made).search_experiments(max_results=1)
            part = file.with_name(f".mlflow.db.{os.getpid()}")
            shutil.copyfile(f"{scratch}/mlflow.db", part)
            if not file.exists():  # another driver's mirror may have been faster
                part.replace(file)
            part.unlink(missing_ok=True)
    return MlflowClient(uri, registry_uri=uri)


def _state(out: Path, **change: Any) -> dict[str, Any]:
    """The mirror's memory: `sweep` (set once), the parent run's name wherever the directory moves, and `pending`."""
    from results import records

    state: dict[str, Any] = {"pending": False}
    with contextlib.suppress(OSError, ValueError):
        state |= json.loads(get(out / STATE))
    new = {**change, **state, "pending": change.get("pending", state["pending"])}
    if new != state:
        with contextlib.suppress(ValueError):  # a StoreError: even a read-only directory can be mirrored
            records.atomic_write(out / STATE, records.dump(new))
    return new


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    found = re.search(r"\[Errno -?\d+\] [^'\")]*|Read timed out", text)  # requests buries it under its retries
    return found[0].strip() if found and "HTTPConnectionPool" in text else text[:200]


def _redact(text: str, uri: str) -> str:
    """`text` without the password that `uri` may hold."""
    password = urlsplit(uri).password
    return text.replace(password, "***") if password else text


def _listen(orders: queue.SimpleQueue[str]) -> None:
    """Wait for the parent's word from the first moment: to get ready takes long, and once it is gone is for nobody."""
    line = sys.stdin.readline()
    if not line.strip():
        os._exit(0)
    orders.put(line)


def main(arguments: list[str] | None = None) -> int:
    """Prints one line; exit code 0 whether or not MLflow was there."""
    parser = argparse.ArgumentParser(prog="python -m harness.tracking", description="Mirror a run directory to MLflow.")
    parser.add_argument("directory", type=place)
    parser.add_argument("--uri", help="default: MLFLOW_TRACKING_URI, else mlflow.db in the directory")
    parser.add_argument("--per-cell", action="store_true", help="mirror every cell as a run of its own too")
    parser.add_argument("--aside", action="store_true", help="leave alone what the next run has to mirror")
    parser.add_argument("--wait", action="store_true", help="get ready, then sync when stdin says for how many seconds")
    given = parser.parse_args(arguments)
    if given.wait:
        os.nice(19)
        orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(orders,), daemon=True).start()
        out, uri = given.directory.absolute(), resolve(given.directory, given.uri)
        with contextlib.suppress(Exception):  # sync will meet the same fault, and say it
            client = _connect(out, uri)
            if not uri.startswith("http"):
                client.search_experiments(max_results=1)
        signal.alarm(int(orders.get()))
    print(sync(given.directory, given.uri, given.per_cell, given.aside), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
