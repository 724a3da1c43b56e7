"""Runs one cell in a worker process: data, parent, training, scoring, artefacts, and last the record.

    mapbench run digits-mini --executor inline

The order of writing is what makes a run safe to kill: artefacts first, the record last and atomically, so that a record
exists if and only if everything it points to does.
"""

from __future__ import annotations

import hashlib
import os
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from harness import UsageError, environment
from harness.access import DataAccess
from harness.cards import Card, load
from harness.cells import key_of, stable_seed
from harness.executors import is_oom, is_sticky
from harness.training import Diverged, Fitted, fit, logits
from results import metrics, records
from suites import backbones, cache, schema
from suites.backbones import weights

PROGRESS_EVERY = 1.0  # seconds; more often would only make the driver busy


def run_cell(context: dict[str, Any], payload: dict[str, Any], attempt: int) -> Iterator[dict[str, Any]]:
    """Train and score one cell; yields progress at most once a second, then its committed record.

    `context` has `out`, `data` and `weights` (directories); `payload` has `label`, `spec`, `cell`, `suite` and `method`
    (a card). A failure of the cell is a record too; only a failure to write the record is raised."""
    out, key = Path(context["out"]), key_of(payload["spec"])
    name = f"{key}.{attempt}"
    log_path = out / "logs" / f"{name}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "schema": 1, "key": key, "attempt": attempt, "uuid": uuid.uuid4().hex[:8], "status": "ok",
        "spec": payload["spec"], "cell": payload["cell"], "parent_checkpoint": None, "flags": [], "error": None,
        "started": time.time(), "environment": {**environment.provenance(), "device": _device_name()},
        "accuracy": [], "curves": {}, "checkpoint": None, "checkpoint_sha256": None, "predictions": None,
        "log": str(log_path.relative_to(out)),
    }  # fmt: skip
    record["environment"]["method_sha256"] = payload["method"]["sha256"]
    with log_path.open("a", buffering=1) as log:
        log.write(f"{payload['label']}\nkey {key}, attempt {attempt}\nspec {payload['spec']}\n")
        try:
            yield from _attempt(context, payload, record, log)
        except Exception as error:
            log.write(traceback.format_exc())
            if is_sticky(str(error)):
                raise  # this process's CUDA is broken for good: the slot is replaced, the cell tried again
            record.update(_failure(error), accuracy=[], checkpoint=None, checkpoint_sha256=None, predictions=None)
        record["finished"] = time.time()
        record["seconds"] = record["finished"] - record["started"]
        record["peak_memory_mb"] = _peak_memory_mb()
        log.write(f"{record['status']} {record['error'] or ''}\n")
    records.write(out, record)
    yield {"type": "record", "record": record}


def _attempt(
    context: dict[str, Any], payload: dict[str, Any], record: dict[str, Any], log: IO[str]
) -> Iterator[dict[str, Any]]:
    """The work itself; fills `record`. Prints of the method go to the cell's log."""
    spec, out, data = payload["spec"], Path(context["out"]), Path(context["data"])
    suite, recipe = schema.Suite(**payload["suite"]), schema.Recipe(**spec["recipe"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    protect = spec["kind"] == "protect"
    model = backbones.build(
        spec["backbone"], spec["classes"], spec["image_size"], stable_seed("init", spec["backbone"], spec["seed"])
    )
    if protect and spec["params"]["start"] == "source":
        record["parent_checkpoint"] = _load_parent(out, spec["parent"], model)
    elif spec["init"] != "random":
        weights.load(model, spec["backbone"], Path(context["weights"]), spec["init"].removeprefix("imagenet:"))
    model.to(device)
    card = Card(**{**payload["method"], "params": tuple(payload["method"]["params"])})
    method = load(card, spec["params"] if protect else {})
    parts = {"source": _part(data, suite, spec, spec["source"], "train", device)}
    if protect and spec["targets"]:  # a method that needs no target has none
        pieces = [_part(data, suite, spec, d, "train", device) for d in spec["targets"]]
        parts["target"] = torch.cat([x for x, _ in pieces]), torch.cat([y for _, y in pieces])
    # The same stream for every method on one pair and seed: differences between methods are then paired.
    seed = stable_seed(spec["kind"], spec["source"], spec.get("targets", []), spec["seed"])
    torch.manual_seed(seed)
    access = DataAccess(method, parts, recipe, spec["classes"], spec["image_size"], seed)
    with redirect_stdout(log), redirect_stderr(log):
        fitted, last = None, 0.0
        for event in fit(method, model, access, recipe):
            if isinstance(event, Fitted):
                fitted = event
                continue
            log.write(f"{event['note']}\n")
            if time.time() - last >= PROGRESS_EVERY:
                last = time.time()
                yield {"type": "progress", **event}
    assert fitted is not None
    record["curves"] = fitted.curves
    record["flags"] = [*fitted.flags, *weights.flags(spec["backbone"], spec["init"])]
    record["accuracy"], table = _score(fitted.model, data, suite, spec, device)
    stem = f"{record['key']}.{record['attempt']}.{record['uuid']}"
    record["predictions"] = _write(out, f"predictions/{stem}.parquet", _parquet(table))
    blob = _safetensors(fitted.model)
    record["checkpoint"] = _write(out, f"checkpoints/{stem}.safetensors", blob)
    record["checkpoint_sha256"] = hashlib.sha256(blob).hexdigest()


RESIDENT: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}  # by content: parts of domains on the device, as uint8


def _part(
    data: Path, suite: schema.Suite, spec: dict[str, Any], domain: str, part: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images uint8 (n,3,S,S) and labels int64 (n,), read from disk once per worker."""
    key = (spec["domains"][domain], part, str(device))
    if key not in RESIDENT:
        read = cache.read(suite, data, spec["split_seed"], domain, part)
        images, labels = (torch.from_numpy(np.array(a)).to(device) for a in (read.images, read.labels))
        RESIDENT[key] = images, labels
    return RESIDENT[key]


def _load_parent(out: Path, parent: str, model: nn.Module) -> str:
    """Weights of f_s into `model`; returns the checkpoint's sha256. The first ok record of a key wins, always."""
    from safetensors.torch import load as parse

    winner = records.winners(records.read_key(out, parent)).get(parent)
    if winner is None or winner["status"] != "ok":
        raise UsageError(f"the source model {parent[:12]} has no ok record in {out}")
    state = _checkpoint(str(out / winner["checkpoint"]), winner["checkpoint_sha256"])
    model.load_state_dict(parse(state))
    return str(winner["checkpoint_sha256"])


@lru_cache(maxsize=8)  # source models are shared by many cells
def _checkpoint(path: str, sha256: str) -> bytes:
    blob = Path(path).read_bytes()
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise UsageError(f"{path} is damaged: delete the source model's record to train it again")
    return blob


def _score(
    model: nn.Module, data: Path, suite: schema.Suite, spec: dict[str, Any], device: torch.device
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Accuracy rows of every domain, and the kept predictions. Both probes are fitted on the attacker's part."""
    rows, columns = [], []
    for domain in suite.domains:
        fit_x, fit_y = _part(data, suite, spec, domain, "attacker", device)
        x, y = _part(data, suite, spec, domain, spec["score"], device)
        fit_logits, out = logits(model, fit_x).numpy(), logits(model, x).numpy()
        fit_labels, labels, predicted = fit_y.cpu().numpy(), y.cpu().numpy(), out.argmax(1)
        confusion = metrics.confusion(labels, predicted, spec["classes"])
        rows.append({
            "domain": domain, "part": spec["score"], "correct": int(confusion.trace()), "total": len(labels),
            "balanced": metrics.balanced(confusion),
            "matched": metrics.matched(fit_logits.argmax(1), fit_labels, predicted, labels, spec["classes"]),
            "decoded": metrics.decoded(fit_logits, fit_labels, out, labels),
            "confusion": confusion.tolist(),
        })  # fmt: skip
        columns.append({"domain": [domain] * len(labels), "label": labels, "predicted": predicted})
    table = {
        "domain": [domain for c in columns for domain in c["domain"]],
        "part": [spec["score"]] * sum(len(c["label"]) for c in columns),
        "index": np.concatenate([np.arange(len(c["label"])) for c in columns]),
        "label": np.concatenate([c["label"] for c in columns]).astype(np.int16),
        "predicted": np.concatenate([c["predicted"] for c in columns]).astype(np.int16),
    }
    return rows, table


def _parquet(table: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = BytesIO()
    pq.write_table(pa.table(table), buffer, compression="zstd")
    return buffer.getvalue()


def _safetensors(model: nn.Module) -> bytes:
    from safetensors.torch import save

    return save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})


def _write(out: Path, name: str, blob: bytes) -> str:
    """An artefact, durable before the record that names it. Its name is unique, so no rename is needed."""
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    return name


def _failure(error: Exception) -> dict[str, Any]:
    """Status and error text of a cell that raised."""
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
