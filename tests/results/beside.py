"""A make-believe run of a published suite, as records of a worker: what `mapbench compare DIR published` is shown.

pytest tests/results/test_compare.py tests/harness/test_compare.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results.published import SUITES
from results.store import Store
from tests.results.conftest import record, score

KNOWN = {"image_size": 64, "init": "imagenet:00ff"}  # of the network that most figures are of


def trained(
    source: str, seed: int = 0, *, suite: str = "cifar-stl", backbone: str = "vgg13", own: int = 900, others: int = 600,
    **spec: Any,
) -> dict[str, Any]:  # fmt: skip
    """f_s with so many of 1,000 right on its own domain and on each other one."""
    spec = {"kind": "train", "suite": suite, "backbone": backbone, "source": source, "seed": seed, "score": "test",
            **KNOWN, **spec}  # fmt: skip
    cell = {
        "kind": "train", "parent": None, "inputs": [], "suite": suite, "suite_version": 1, "backbone": backbone,
        "method": None, "variant": "", "method_version": None, "fidelity": None, "control": False, "tuned": False,
        "start": None, "params": {}, "scenario": None, "source": source, "targets": [], "seed": seed, "classes": 10,
        "domains": list(SUITES[suite]), "score": spec["score"],
    }  # fmt: skip
    rows = [score(d, own if d == source else others, 1000, spec["score"]) for d in SUITES[suite]]
    return record(spec, cell, rows)


def protected(
    parent: dict[str, Any], targets: Sequence[str], source: int, target: int, *, variant: str = "ntl",
    start: str = "source", **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    """A model of it with so many of 1,000 right on the source, and on every domain that it was asked to block."""
    method = variant.partition("[")[0]
    cell = parent["cell"] | {
        "kind": "protect", "parent": parent["key"], "method": method, "variant": variant, "method_version": 1,
        "fidelity": "as-described", "start": start, "scenario": "labelled source, labelled target",
        "targets": list(targets),
    }  # fmt: skip
    spec = parent["spec"] | {"kind": "protect", "method": variant, "targets": list(targets), "parent": parent["key"],
                             "params": {"start": start}, "method_version": 1}  # fmt: skip
    blocked = [d for t in targets for d in t.split("+")] or [d for d in cell["domains"] if d != cell["source"]]
    before = {row["domain"]: row["correct"] for row in parent["accuracy"]}
    right = before | {cell["source"]: source} | dict.fromkeys(blocked, target)
    rows = [score(d, n, 1000, cell["score"]) for d, n in right.items()] if changed.get("status", "ok") == "ok" else []
    return record(spec, cell, rows, **changed)


def written(out: Path, *records: dict[str, Any]) -> Path:
    """A run directory that holds these records."""
    store = Store(out)
    for one in records:
        store.commit(one)
    return store.out


def cifar(seeds: int = 3, **spec: Any) -> list[dict[str, Any]]:
    """ntl and cuti on CIFAR10 -> STL10, with JailNTL's network, size and init unless told; one seed of ntl back."""
    made = []
    for seed in range(seeds):
        f_s = trained("cifar10", seed, **spec)
        made += [f_s, protected(f_s, ["stl10"], 856 + 2 * (seed - 1), 150 + 3 * seed)]
        made += [protected(f_s, ["stl10"], 700 + seed, 100, variant="cuti", start="init")]
    back = trained("stl10", **spec)
    return [*made, back, protected(back, ["cifar10"], 845, 105)]
