"""The MLflow side of the mirror: the runs that a sweep has there, and what brings each of them up to date.

    mapbench mlflow runs/digits-mini

A run is found again by its tag `mapbench.identity` and left alone while `mapbench.content`, the hash of what would be
written, is the same; so are its files by `mapbench.artefacts`. What was cut short anywhere is completed by the next
call, because the tags that vouch for the rest are written after it. A run costs four calls, whatever its numbers are.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.aggregates import Mirrored
from results.place import get, is_local

OURS = {f"mapbench.{name}" for name in ("identity", "sweep", "revision", "content", "artefacts")}
BATCH = 900  # MLflow takes 1,000 metrics a call


@dataclass
class Sweep:
    """The runs of the run directory `out`, called `sweep`, at the tracking URI of `client`."""

    client: Any  # an MlflowClient
    out: Path
    uri: str
    sweep: str
    experiment: str = ""
    known: dict[str, Any] = field(default_factory=dict)  # identity -> MLflow run

    def open(self, grid: str) -> None:
        """Find or make the grid's experiment, and find the runs that are there."""
        name = f"mapbench/{grid}"
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            where = None if self.uri.startswith("http") else self._folder()  # a server knows its own
            self.experiment = self.client.create_experiment(name, artifact_location=where)
        else:
            self.experiment = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self.client.restore_experiment(self.experiment)
        self._find()

    @property
    def per_cell(self) -> bool:
        """Whether cells have runs of their own there: those must not stay behind the rest."""
        return any(identity.startswith(f"{self.sweep}/cell/") for identity in self.known)

    def write(self, runs: list[Mirrored]) -> None:
        """Make MLflow say what `runs` say, parents before children."""
        for run in runs:
            old = self.known.get(run.identity)
            if old is None:
                tags = {"mapbench.identity": run.identity, "mapbench.sweep": self.sweep}
                if run.parent:
                    tags["mlflow.parentRunId"] = self.known[run.parent].info.run_id
                old = self.client.create_run(self.experiment, int(run.started * 1000), tags, run.name)
                self.known[run.identity] = old
            self._update(old, run)
            self._artefacts(old, run.files)

    def _find(self) -> None:
        """The runs of this sweep. A create call whose answer was lost leaves a twin, which goes."""
        token, asked = None, f"tags.`mapbench.sweep` = '{self.sweep}'"
        while token != "":
            page = self.client.search_runs([self.experiment], asked, max_results=1000, page_token=token)
            for run in page:
                identity = run.data.tags["mapbench.identity"]
                keep, twin = self.known.get(identity, run), run
                if "mapbench.content" not in keep.data.tags:
                    keep, twin = run, keep
                if keep is not twin:
                    self.client.delete_run(twin.info.run_id)
                self.known[identity] = keep
            token = page.token or ""

    def _update(self, old: Any, run: Mirrored) -> None:
        """Bring the numbers, params and tags of one MLflow run up to date."""
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

    def _artefacts(self, old: Any, files: dict[str, str]) -> None:
        """Bring the files of one MLflow run up to date, each where it changed; one that is not there is left out."""
        ours = self.uri == f"sqlite:///{self.out}/mlflow.db"
        if not files or (ours and not old.info.artifact_uri.startswith(self._folder())):
            return  # the directory was moved, and MLflow would write to where it was
        before: dict[str, str] = {}
        with contextlib.suppress(ValueError):
            before = json.loads(old.data.tags.get("mapbench.artefacts", "{}"))
        after: dict[str, str] = {}
        with tempfile.TemporaryDirectory() as scratch:
            for name, place in files.items():
                once = place.startswith("pictures/")  # written once, under a name that no other has: no need to read it
                mark = _digest(place.encode()) if once else ""
                if not mark or before.get(name) != mark:
                    try:
                        content = get(self.out / place)
                    except FileNotFoundError:
                        continue
                    mark = mark or _digest(content)
                    folder, _, file = name.rpartition("/")
                    if before.get(name) != mark:
                        local = Path(scratch, file)
                        local.write_bytes(content)
                        self.client.log_artifact(old.info.run_id, str(local), folder or None)
                after[name] = mark
        if before != after:
            self.client.set_tag(old.info.run_id, "mapbench.artefacts", json.dumps(after))

    def _folder(self) -> str:
        """Where a database's artefacts go, as a URI: beside its file, else into the run directory. MLflow's own default
        is the working directory."""
        if self.uri.startswith("sqlite:///"):
            return (Path(self.uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
        folder = self.out / "mlartifacts"
        return folder.as_uri() if is_local(folder) else str(folder)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
