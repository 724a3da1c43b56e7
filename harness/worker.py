"""Runs one cell in a worker process: data, parent, training, scoring, artefacts, and last the record.

    mapbench run digits-mini --executor inline

The order of writing is what makes a run safe to kill: artefacts first, the record last and atomically, so that a record
exists if and only if everything it points to does.
"""

from __future__ import annotations

import hashlib
import math
import time
import traceback
import uuid
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import torch
from torch import Tensor, nn

from harness import attacking, environment, numerics, quality, source_model
from harness.access import DataAccess
from harness.cards import card_of, load
from harness.cells import key_of, stable_seed
from harness.checkpoints import checkpoint, keep, trained
from harness.drawn import Shared
from harness.evaluation import Evaluation
from harness.executors import is_disk_full, is_oom, is_sticky
from harness.graphs import Cuda
from harness.scoring import on_val, parquet, part_of, score
from harness.training import Diverged, Fitted, TimedOut, fit
from methods.base import REAL, Method
from results import records
from results.place import is_local, place
from suites import backbones, cache, schema
from suites.backbones import weights

PROGRESS_EVERY = 1.0  # seconds; more often would only make the driver busy

_drawn = Shared()


def run_cell(context: dict[str, Any], payload: dict[str, Any], attempt: int) -> Iterator[dict[str, Any]]:
    """Train and score one cell; yields progress at most once a second, then its committed record.

    `context` has `out`, `data` and `weights` (directories), `source_model` (a file, or ""), `timeout` (seconds that a
    cell may take, or None) and, perhaps, `deterministic`; `payload` has `label`, `spec`, `cell`, `suite`, `method` (a
    card), `synthesisers` (the cards of its inputs) and `timeout`, its own. A failure of the cell is a record too; only
    a failure to write the record is raised."""
    out, key = place(context["out"]), key_of(payload["spec"])
    log_name = f"logs/{key}.{attempt}.log"
    record: dict[str, Any] = {
        "schema": 1, "key": key, "attempt": attempt, "uuid": uuid.uuid4().hex[:8], "status": "ok",
        "spec": payload["spec"], "cell": payload["cell"], "parent_checkpoint": None, "input_checkpoints": [],
        "flags": [], "error": None, "started": time.time(),
        "environment": {**environment.provenance(), "device": _device_name()}, "accuracy": [], "curves": {},
        "checkpoint": None, "checkpoint_sha256": None, "predictions": None, "quality": {}, "picture": None,
        "log": log_name,
    }  # fmt: skip
    deterministic = bool(context.get("deterministic"))
    record["environment"] |= {"method_sha256": payload["method"]["sha256"], "deterministic": deterministic}
    if deterministic:
        environment.deterministic()
    with _log(out / log_name) as log:
        log.write(f"{payload['label']}\nkey {key}, attempt {attempt}\nspec {payload['spec']}\n")
        try:
            with numerics.stated(numerics.FP32, deterministic):
                yield from _attempt(context, payload, record, log)
        except Exception as error:
            log.write(traceback.format_exc())
            if is_sticky(str(error)) or is_disk_full(error):
                raise  # CUDA is broken in this process: it is replaced. A full disk is no cell's failure: the run stops
            record.update(accuracy=[], checkpoint=None, checkpoint_sha256=None, predictions=None)
            record.update(_failure(error, limit_of(context, payload)))
        record["finished"] = time.time()
        record["seconds"] = record["finished"] - record["started"]
        record["peak_memory_mb"] = _peak_memory_mb()
        log.write(f"{record['status']} {record['error'] or ''}\n")
    records.write(out, record)
    yield {"type": "record", "record": record}


@contextmanager
def _log(path: Path) -> Iterator[IO[str]]:
    """A cell's log. Of a URL it is a local file until the cell ends, in whatever way, and then put there whole."""
    if is_local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", buffering=1, errors="backslashreplace") as log:
            yield log
        return
    with TemporaryFile("w+", buffering=1, errors="backslashreplace") as log:
        try:
            yield log
        finally:
            log.seek(0)
            records.atomic_write(path, log.read().encode())


@contextmanager
def _said(log: IO[str]) -> Iterator[None]:
    """What is printed goes to the cell's log, and so does every warning once, though another cell had it before."""
    with warnings.catch_warnings(), redirect_stdout(log), redirect_stderr(log):
        yield


def _attempt(
    context: dict[str, Any], payload: dict[str, Any], record: dict[str, Any], log: IO[str]
) -> Iterator[dict[str, Any]]:
    """The work itself; fills `record`. Prints of the method go to the cell's log."""
    spec, out, data = payload["spec"], place(context["out"]), Path(context["data"])
    suite = schema.Suite(**payload["suite"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    given = spec["kind"] == "train" and "source_model" in spec  # the user's own f_s: read, not trained
    model = backbones.build(
        spec["backbone"], spec["classes"], spec["image_size"],
        0 if given else stable_seed("init", spec["backbone"], spec["seed"]),
    )  # fmt: skip
    if given:
        source_model.load(model, Path(context["source_model"]), spec)
    elif (above := _starts_from(spec)) is not None:
        state, winner = trained(out, above)
        record["parent_checkpoint"] = winner["checkpoint_sha256"]
        model.load_state_dict(state)
    elif spec["init"] != "random":
        weights.load(model, spec["backbone"], Path(context["weights"]), spec["init"].removeprefix("imagenet:"))
    model.to(device)
    fitted = Fitted(model, {}, []) if given else (yield from _learn(context, payload, record, model, device, log))
    record["curves"] = fitted.curves
    flags = [*fitted.flags, *weights.flags(spec["backbone"], spec.get("init", "random"))]
    record["flags"] = list(dict.fromkeys(flags))
    stem = f"{record['key']}.{record['attempt']}.{record['uuid']}"
    with _said(log):
        if spec["kind"] == "synth":
            record["quality"], picture = quality.measure(fitted.model, model, data, suite, spec, device)
            if picture:
                record["picture"] = keep(out, f"pictures/{stem}.png", picture)
        else:
            record["accuracy"], table = score(fitted.model, data, suite, spec, device)
            if spec["kind"] == "train" and spec["score"] == "test" and not suite.eligible:
                # nobody has frozen which pairs count: that is chosen on val, never on what is reported
                record["accuracy"] += score(fitted.model, data, suite, spec, device, "val")[0]
            record["predictions"] = keep(out, f"predictions/{stem}.parquet", parquet(table))
    blob = checkpoint(fitted.model)
    if spec["kind"] != "attack":  # nothing hangs on it, and its parent and a second give it again
        record["checkpoint"] = keep(out, f"checkpoints/{stem}.safetensors", blob)
    record["checkpoint_sha256"] = hashlib.sha256(blob).hexdigest()


def _learn(
    context: dict[str, Any], payload: dict[str, Any], record: dict[str, Any], model: nn.Module, device: torch.device,
    log: IO[str],
) -> Generator[dict[str, Any], None, Fitted]:  # fmt: skip
    """Trains `model` by the cell's method on what the method may see; notes in `record` which inputs it had."""
    until = time.monotonic() + (limit_of(context, payload) or math.inf) - (time.time() - record["started"])
    spec, out, data = payload["spec"], place(context["out"]), Path(context["data"])
    suite, recipe = schema.Suite(**payload["suite"]), schema.Recipe(**spec["recipe"])
    attack = spec["kind"] == "attack"
    given = {} if spec["kind"] == "train" else spec["attack_params" if attack else "params"]
    method = load(card_of(payload["method"]), given)
    parts, union = _parts(method, data, suite, spec, device)
    inputs, record["input_checkpoints"], flags = _inputs(out, payload, device)
    home = spec["target"] if attack else spec["source"]
    # The same stream for every method on one pair and seed: differences between methods are then paired.
    seed = stable_seed(spec["kind"], home, [] if attack else spec.get("targets", []), spec["seed"])
    torch.manual_seed(seed)
    # how many images f_s was trained on: whoever has the model may know that much
    count = cache.manifest(suite, data, spec["split_seed"], home)["parts"]["train"]["count"]
    if attack:
        recipe = attacking.budget(recipe, given["n"], count)
    # what decides which images are drawn: by whom, how many, near which, by which stream, and how exactly
    drawing = (*record["input_checkpoints"], seed, count, method.needs, spec["domains"][home], str(device))
    drawn = _drawn.of((*drawing, spec["precision"]))
    access = DataAccess(method, parts, recipe, spec["classes"], spec["image_size"], seed, inputs, count, union, drawn)
    precision, lacks = numerics.able(spec["precision"], device)
    # a cell that died is tried again step by step, should it be the capture that killed it
    first = record["attempt"] == 1
    recorder = Cuda() if device.type == "cuda" and context.get("graphs", True) and first else None
    evaluation = None
    if (every := context.get("evaluate_every")) and spec["kind"] != "synth":
        evaluation = Evaluation(every, partial(on_val, data=data, suite=suite, spec=spec, device=device))
    with _said(log):
        fitted, last = None, 0.0
        for event in fit(method, model, access, recipe, until, precision, recorder, evaluation):
            if isinstance(event, Fitted):
                fitted = event
                continue
            log.write(f"{event['note']}\n")
            if time.time() - last >= PROGRESS_EVERY:
                last = time.time()
                yield {"type": "progress", **event}
    assert fitted is not None
    return replace(fitted, flags=[*flags, *lacks, *fitted.flags])


def _starts_from(spec: dict[str, Any]) -> str | None:
    """The key of the model that a cell begins with; None: it begins with the initial weights."""
    if spec["kind"] == "attack":
        return spec["parent"]
    return spec["parent"] if spec["kind"] != "train" and spec["params"]["start"] == "source" else None


def _parts(
    method: Method, data: Path, suite: schema.Suite, spec: dict[str, Any], device: torch.device
) -> tuple[dict[str, tuple[Tensor, Tensor]], list[int]]:
    """What a cell trains on: the train parts that its method needs, and how many images of the target each domain of a
    union has; an attack, its n images and nothing else."""
    if spec["kind"] == "attack":
        return {"target": attacking.images(data, suite, spec, device)}, []
    parts, pieces = {}, []
    if method.needs.source in REAL:
        parts["source"] = part_of(data, suite, spec, spec["source"], "train", device)
    if spec.get("targets"):  # a method that needs no target has none
        pieces = [part_of(data, suite, spec, d, "train", device) for d in spec["targets"]]
        parts["target"] = pieces[0]
    if len(pieces) > 1:  # side by side; on the host where one of them is
        place = torch.device("cpu") if any(not x.is_cuda for x, _ in pieces) else device
        parts["target"] = torch.cat([x.to(place) for x, _ in pieces]), torch.cat([y for _, y in pieces])
    return parts, [len(images) for images, _ in pieces]


def _inputs(
    out: Path, payload: dict[str, Any], device: torch.device
) -> tuple[dict[str, nn.Module], list[str], list[str]]:
    """The synthesisers, and the net beside it, that a cell hangs on, frozen; their checkpoints' sha256; their flags."""
    spec, found, sums, flags = payload["spec"], {}, [], []
    for key, said in zip(spec.get("inputs", ()), payload["synthesisers"], strict=True):
        card = card_of(said)
        state, winner = trained(out, key)
        maker = load(card, winner["spec"]["params"])
        if card.kind == "synth":
            module = maker.blank(spec["classes"], spec["image_size"])
        else:
            module = maker.skeleton(backbones.build(spec["backbone"], spec["classes"], spec["image_size"], 0))
        module.load_state_dict(state)
        found[card.name] = module.to(device).eval().requires_grad_(False)
        sums.append(winner["checkpoint_sha256"])
        flags += winner["flags"]
    return found, sums, flags


def limit_of(context: dict[str, Any], payload: dict[str, Any]) -> float | None:
    """Seconds that a cell may take: its grid's own number, else the run's."""
    return payload.get("timeout") or context.get("timeout")


def _failure(error: Exception, limit: float | None) -> dict[str, Any]:
    """What a record says of a cell that raised."""
    if isinstance(error, TimedOut):
        return {"status": "timeout", "error": f"not done after {limit:g} s: stopped {error}", "curves": error.curves}
    if is_oom(error):
        return {"status": "oom", "error": str(error).split("\n")[0] or "out of memory"}
    if isinstance(error, Diverged):
        return {"status": "failed", "error": "diverged"}
    return {"status": "failed", "error": f"{type(error).__name__}: {error}"}


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _peak_memory_mb() -> float | None:
    """Peak device memory on a GPU (since the last cell), else this process's peak resident memory."""
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
        torch.cuda.reset_peak_memory_stats()
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
