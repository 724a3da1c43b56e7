"""Scores a finished model: accuracy on every domain, the attackers' probes, and the kept predictions.

    .venv/bin/pytest tests/harness/test_run.py

The probes are fitted on the attacker's part and scored on val or test; training sees neither (harness/access.py).
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.evaluation import PREFIX
from harness.training import logits
from results import metrics
from suites import SuiteError, cache, schema

RESIDENT: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}  # by content: parts of domains, images as uint8
SHARE = 0.5  # of a GPU's memory that images may take, chosen: the other half is for nets and their maps


def part_of(
    data: Path, suite: schema.Suite, spec: dict[str, Any], domain: str, part: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images uint8 (n,3,S,S) and labels int64 (n,), read from disk once per worker; the labels are on the device, the
    images too, unless they would take too much of it (_placed). SuiteError where the data here is not what the run was
    planned with: another machine's folder, or one that was built anew by another version."""
    key = (spec["domains"][domain], part, str(device))
    if key not in RESIDENT:
        if cache.manifest(suite, data, spec["split_seed"], domain)["fingerprint"] != spec["domains"][domain]:
            raise SuiteError(f"{data}: {domain} is not what the run was planned with: run the same command again")
        read = cache.read(suite, data, spec["split_seed"], domain, part)
        RESIDENT[key] = _placed(read.images, device), torch.from_numpy(read.labels).to(device)
    return RESIDENT[key]


def _placed(images: np.ndarray, device: torch.device) -> Tensor:
    """A part's images on the device; on the file itself, mapped into memory, where the device is the CPU (whose workers
    then share one copy) or a GPU on which images would take more than SHARE of what this process may have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the file cannot be written to, and nothing here tries to
        mapped = torch.from_numpy(images)
    if device.type != "cuda":
        return mapped
    held = sum(images.nbytes for images, _ in RESIDENT.values() if images.is_cuda)
    allowed = torch.cuda.get_device_properties(device).total_memory * torch.cuda.get_per_process_memory_fraction(device)
    return mapped.to(device) if held + mapped.nbytes <= SHARE * allowed else mapped


def score(
    model: nn.Module, data: Path, suite: schema.Suite, spec: dict[str, Any], device: torch.device, part: str = ""
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Accuracy rows of every domain, and the kept predictions, on `part`, by default the spec's own. Both probes are
    fitted on the attacker's part."""
    part = part or spec["score"]
    rows, columns = [], []
    for domain in suite.domains:
        fit_x, fit_y = part_of(data, suite, spec, domain, "attacker", device)
        x, y = part_of(data, suite, spec, domain, part, device)
        fit_logits, out = logits(model, fit_x).numpy(), logits(model, x).numpy()
        fit_labels, labels, predicted = fit_y.cpu().numpy(), y.cpu().numpy(), out.argmax(1)
        confusion = metrics.confusion(labels, predicted, spec["classes"])
        rows.append({
            "domain": domain, "part": part, "correct": int(confusion.trace()), "total": len(labels),
            "balanced": metrics.balanced(confusion),
            "matched": metrics.matched(fit_logits.argmax(1), fit_labels, predicted, labels, spec["classes"]),
            "decoded": metrics.decoded(fit_logits, fit_labels, out, labels),
            "confusion": confusion.tolist(),
        })  # fmt: skip
        columns.append({"domain": [domain] * len(labels), "label": labels, "predicted": predicted})
    table = {
        "domain": [domain for c in columns for domain in c["domain"]],
        "part": [part] * sum(len(c["label"]) for c in columns),
        "index": np.concatenate([np.arange(len(c["label"])) for c in columns]),
        "label": np.concatenate([c["label"] for c in columns]).astype(np.int16),
        "predicted": np.concatenate([c["predicted"] for c in columns]).astype(np.int16),
    }
    return rows, table


def on_val(
    model: nn.Module, data: Path, suite: schema.Suite, spec: dict[str, Any], device: torch.device
) -> dict[str, float]:
    """Top-1 accuracy on the val part of every domain, for curves."""
    found = {}
    for domain in suite.domains:
        images, labels = part_of(data, suite, spec, domain, "val", device)
        right = (logits(model, images).argmax(1) == labels.cpu()).float().mean()
        found[f"{PREFIX}{domain}"] = float(right)
    return found


def parquet(table: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = BytesIO()
    pq.write_table(pa.table(table), buffer, compression="zstd")
    return buffer.getvalue()
