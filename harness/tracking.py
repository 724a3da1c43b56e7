"""The MLflow mirror of a run directory: one writer, after the fact, from the records; MLflow down costs no result.

    python -m harness.tracking runs/digits-mini [--uri URI] [--per-cell]

Experiment `mapbench/<grid>`; one parent run per run directory (counts; plan.json, tables and board as artefacts); under
it one run per (suite, split_seed, score, backbone, variant, start, source:targets), its metrics the means over seeds
with `_sd` and `n`; the same for the unprotected models, variant `f_s`; with --per-cell each cell too, with its curves.
A run in which a cell failed is FAILED and carries the error.

Re-syncing is free: a run is found again by its tag `mapbench.identity` and left alone while `mapbench.content`, the
hash of what would be written, is the same. Every timestamp comes from a record; a metric's step counts the revisions
of its aggregate, because to MLflow the latest value is the one of the highest step.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import environment
from harness.aggregates import METRICS, Mirrored, aggregate
from results.place import exists, get, is_local, place

__all__ = ["METRICS", "Mirror", "Mirrored", "aggregate", "failed", "mirror_in_subprocess", "pending", "resolve", "sync"]

STATE = "mlflow.json"
QUIET = {
    "MLFLOW_LOGGING_LEVEL": "ERROR", "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # by default it tries for 4 minutes
}  # fmt: skip
OURS = {f"mapbench.{name}" for name in ("identity", "sweep", "revision", "content", "artefacts")}
BATCH = 900  # MLflow takes 1,000 metrics a call


class Mirror:
    """A low-priority child process that loads MLflow and creates its database while cells train, then syncs once.

    It ends with its parent, whose end closes its stdin. No fault of MLflow's raises here."""

    def __init__(self, out: Path, uri: str | None = None, per_cell: bool = False) -> None:
        _state(out, pending=True)
        path = os.pathsep.join(filter(None, (str(environment.ROOT), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        if uri:
            env["MLFLOW_TRACKING_URI"] = uri  # not an argument: it may hold a password, and arguments are public
        # -P: a harness.py in the user's working directory is not ours.
        command = [sys.executable, "-P", "-m", "harness.tracking", str(out), "--wait", *(["--per-cell"] * per_cell)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
            start_new_session=True,  # Ctrl-C is the driver's to answer
        )  # fmt: skip

    def sync(self, timeout: float = 300.0) -> str:
        """Mirrors what the records say now; returns the one line for the user. Call it once, at the end."""
        try:
            said, _ = self._child.communicate(f"{math.ceil(timeout)}\n".encode(), timeout)
        except subprocess.TimeoutExpired:
            return failed(f"not done within {timeout:g} s")
        finally:
            self.close()
        lines = said.decode(errors="replace").split("\n")
        reason = f"its process ended with code {self._child.returncode}"
        return next((line for line in reversed(lines) if line), failed(reason))

    def close(self) -> None:
        """Ends the child, whatever it is doing. Safe to call twice."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def mirror_in_subprocess(out: Path, uri: str | None = None, timeout: float = 300.0, per_cell: bool = False) -> str:
    """`sync` in a process of its own: MLflow is not loaded here, and nothing it does takes the caller down."""
    return Mirror(out, uri, per_cell).sync(timeout)


def pending(out: Path) -> bool:
    """Whether a sync of this directory was begun and not completed: the next run tries again. Loads no MLflow."""
    return bool(_state(out)["pending"])


def unmirrored(out: Path) -> str | None:
    """The one line where a run directory is not mirrored: a URL has no file that could be MLflow's default database."""
    if is_local(out) or os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return f"MLflow is not mirrored: {out} is a URL; set MLFLOW_TRACKING_URI to a server or database to mirror it"


def failed(reason: str) -> str:
    """The one line for a mirror that failed."""
    return f"results complete, MLflow sync failed: {reason}; the next run tries again"


def resolve(out: Path, uri: str | None = None) -> str:
    """The tracking URI, always explicit: MLflow's own default depends on what lies in the working directory."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out.absolute()}/mlflow.db"


def sync(out: Path, uri: str | None = None, per_cell: bool = False) -> str:
    """Mirrors a run directory to `uri`; returns one line that says what was mirrored, or why it failed. Never raises.

    Default: MLFLOW_TRACKING_URI, else sqlite:///<out>/mlflow.db with its artefacts in <out>/mlartifacts."""
    out = out.absolute()
    uri = resolve(out, uri)
    try:
        from results.store import Store

        store = Store(out)
        read, plan = store.records(), store.plan() or {}
        if not read:
            return f"MLflow: nothing to mirror, no records in {out}"
        earliest = min(read, key=lambda record: (record["finished"], record["uuid"]))
        sweep = _state(out, pending=True, sweep=earliest["uuid"])["sweep"]
        runs = aggregate(read, plan, sweep, per_cell)
        _Writer(_connect(out, uri), out, uri, sweep).write(plan.get("grid") or out.name, runs)
        _state(out, pending=False)
        return f"MLflow: {len(runs)} runs in {_redact(uri, uri)}"
    except Exception as error:  # whatever it is, the results are complete
        return failed(_redact(_reason(error), uri))


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


@dataclass
class _Writer:
    client: Any
    out: Path
    uri: str
    sweep: str

    def write(self, grid: str, runs: list[Mirrored]) -> None:
        """Makes MLflow say what `runs` say."""
        name = f"mapbench/{grid}"
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            where = None if self.uri.startswith("http") else self._folder()  # a server knows its own
            number = self.client.create_experiment(name, artifact_location=where)
        else:
            number = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self.client.restore_experiment(number)
        known, ids = self._known(number), dict[str, str]()
        for run in runs:
            tags = {"mapbench.identity": run.identity, "mapbench.sweep": self.sweep}
            if run.parent:
                tags["mlflow.parentRunId"] = ids[run.parent]
            old = known.get(run.identity)
            if old is None:
                old = self.client.create_run(number, int(run.started * 1000), tags, run.name)
            self._update(old, run)
            ids[run.identity] = old.info.run_id
        self._artefacts(ids[self.sweep])

    def _known(self, experiment: str) -> dict[str, Any]:
        """identity -> MLflow run of this sweep. A create call whose answer was lost leaves a twin, which goes."""
        known: dict[str, Any] = {}
        token, asked = None, f"tags.`mapbench.sweep` = '{self.sweep}'"
        while token != "":
            page = self.client.search_runs([experiment], asked, max_results=1000, page_token=token)
            for run in page:
                identity = run.data.tags["mapbench.identity"]
                keep, twin = known.get(identity, run), run
                if "mapbench.content" not in keep.data.tags:
                    keep, twin = run, keep
                if keep is not twin:
                    self.client.delete_run(twin.info.run_id)
                known[identity] = keep
            token = page.token or ""
        return known

    def _update(self, old: Any, run: Mirrored) -> None:
        """Brings one MLflow run up to date. Cut short anywhere, the next call completes it."""
        from mlflow.entities import Metric, Param, RunTag

        number, data, stamp, content = old.info.run_id, old.data, int(run.finished * 1000), run.content()
        if data.tags.get("mapbench.content") != content:
            revision = int(data.tags.get("mapbench.revision", -1)) + 1
            gone = dict.fromkeys(data.metrics.keys() - run.metrics.keys() - run.curves.keys(), math.nan)
            metrics = [Metric(name, value, stamp, revision) for name, value in (run.metrics | gone).items()]
            metrics += [Metric(name, v, stamp, i) for name, line in run.curves.items() for i, v in enumerate(line)]
            for start in range(0, len(metrics), BATCH):
                self.client.log_batch(number, metrics[start : start + BATCH])
            # A param cannot change in MLflow: the new value of one that did is a tag.
            changed = {name for name, value in run.params.items() if data.params.get(name, value) != value}
            params = [Param(name, value) for name, value in run.params.items() if name not in changed]
            tags = run.tags | {f"mapbench.param.{name}": run.params[name] for name in changed}
            for name in data.tags.keys() - tags.keys() - OURS:
                if name.startswith("mapbench."):
                    self.client.delete_tag(number, name)
            tags |= {"mapbench.revision": str(revision), "mapbench.content": content}  # after the rest they vouch for
            self.client.log_batch(number, params=params, tags=[RunTag(*tag) for tag in tags.items()])
        if (old.info.status, old.info.end_time) != (run.status, stamp):
            self.client.set_terminated(number, run.status, stamp)

    def _artefacts(self, number: str) -> None:
        """plan.json, the board and the tables on the parent run, each where its bytes changed."""
        run = self.client.get_run(number)
        ours = self.uri == f"sqlite:///{self.out}/mlflow.db"
        if ours and not run.info.artifact_uri.startswith(self._folder()):
            return  # the directory was moved, and MLflow would write to where it was
        before = json.loads(run.data.tags.get("mapbench.artefacts", "{}"))
        files = (self.out / "plan.json", self.out / "leaderboard.html", *sorted(self.out.glob("tables/*.parquet")))
        after = {file.name: hashlib.sha256(get(file)).hexdigest()[:16] for file in files if exists(file)}
        with tempfile.TemporaryDirectory() as scratch:
            for file in files:
                if before.get(file.name) != after.get(file.name):
                    local = file if is_local(file) else Path(scratch, file.name)
                    if local is not file:
                        local.write_bytes(get(file))
                    self.client.log_artifact(number, str(local), "tables" if file.suffix == ".parquet" else None)
        if before != after:
            self.client.set_tag(number, "mapbench.artefacts", json.dumps(after))

    def _folder(self) -> str:
        """Where a database's artefacts go, as a URI: beside its file, else into the run directory. MLflow's own default
        is the working directory."""
        if self.uri.startswith("sqlite:///"):
            return (Path(self.uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
        folder = self.out / "mlartifacts"
        return folder.as_uri() if is_local(folder) else str(folder)


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
    found = re.search(r"\[Errno -?\d+\] [^'\")]*", text)  # requests buries it under its retries
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
    print(sync(given.directory, given.uri, given.per_cell), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
