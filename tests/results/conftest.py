"""Records of a small make-believe run: what a worker would have written, without any training."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from results.keys import key_of

DOMAINS = ["a", "b", "c"]
CLASSES = 10
_serial = itertools.count(1)


def score(domain: str, correct: int, total: int = 100, part: str = "test", **probes: float) -> dict[str, Any]:
    """An accuracy row; the probes are `correct / total` unless given."""
    share = correct / total
    return {
        "domain": domain, "part": part, "correct": correct, "total": total, "balanced": share, "matched": share,
        "decoded": share, "confusion": [[correct, total - correct], [0, 0]], **probes,
    }  # fmt: skip


def record(spec: dict[str, Any], cell: dict[str, Any], rows: list[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    serial = next(_serial)
    key = key_of(spec)
    return {
        "schema": 1, "key": key, "attempt": 1, "uuid": f"{serial:08x}", "status": "ok", "spec": spec, "cell": cell,
        "parent_checkpoint": None, "flags": [], "error": None, "started": float(serial), "finished": serial + 0.5,
        "seconds": 0.5, "peak_memory_mb": None, "accuracy": rows, "curves": {"loss": [1.0, 0.5]},
        "environment": {"device": "cpu", "torch": "2.9", "git_commit": "abc", "git_dirty": False, "host": "h",
                        "packages": {}, "method_sha256": "f" * 64},
        "checkpoint": None, "checkpoint_sha256": None, "predictions": None, "log": f"logs/{key}.1.log",
    } | changed  # fmt: skip


def train(source: str = "a", seed: int = 0, correct: dict[str, int] | None = None, **changed: Any) -> dict[str, Any]:
    """A source model that gets 90 of 100 on its own domain and 70 on the others, unless told."""
    spec = {"kind": "train", "suite": "toy", "backbone": "net", "source": source, "seed": seed, "score": "test",
            "protocol": 1, **changed.pop("spec", {})}  # fmt: skip
    cell: dict[str, Any] = {
        "kind": "train", "parent": None, "inputs": [], "suite": "toy", "suite_version": 1, "backbone": "net",
        "method": None, "variant": "", "method_version": None, "fidelity": None, "control": False, "tuned": False,
        "start": None, "params": {}, "scenario": None, "source": source, "targets": [], "seed": seed,
        "classes": CLASSES, "domains": DOMAINS, "score": "test",
    }  # fmt: skip
    right = dict.fromkeys(DOMAINS, 70) | {source: 90} | (correct or {})
    return record(spec, cell, [score(d, right[d]) for d in DOMAINS], **changed)


def protect(
    parent: dict[str, Any], targets: list[str], correct: dict[str, Any] | None = None, method: str = "cut",
    cell: dict[str, Any] | None = None, **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    """A protected model: targets at 10 of 100, the rest as its parent, unless told (a count or a full row)."""
    spec = parent["spec"] | {"kind": "protect", "method": method, "params": {"lam": 0.1}, "targets": targets,
                             "parent": parent["key"], "method_version": 1, **changed.pop("spec", {})}  # fmt: skip
    facts = parent["cell"] | {
        "kind": "protect", "parent": parent["key"], "method": method, "variant": method, "method_version": 1,
        "fidelity": "as-described", "start": "source", "params": {"lam": 0.1}, "scenario": "labelled",
        "targets": targets, **(cell or {}),
    }  # fmt: skip
    source = facts["source"]
    named = [d for t in targets for d in t.split("+")] or [d for d in DOMAINS if d != source]
    right: dict[str, Any] = {r["domain"]: r["correct"] for r in parent["accuracy"]} | dict.fromkeys(named, 10)
    right |= correct or {}
    rows = [row if isinstance(row, dict) else score(d, row) for d, row in right.items()]
    return record(spec, facts, rows, **changed)


def synth(parent: dict[str, Any], version: int = 1, **changed: Any) -> dict[str, Any]:
    """A generator of a source model; no accuracy rows."""
    spec = parent["spec"] | {"kind": "synth", "method": "gen", "params": {}, "targets": [], "parent": parent["key"],
                             "inputs": [], "method_version": version}  # fmt: skip
    facts = parent["cell"] | {"kind": "synth", "parent": parent["key"], "method": "gen", "variant": "gen"}
    return record(spec, facts, [], **({"quality": {"judge": 0.9}, "picture": "pictures/x.png"} | changed))


def attack(
    parent: dict[str, Any] | None, target: str, correct: dict[str, int], name: str = "probe", n: int = 200,
    **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    """What `name` makes of `parent`, or of no model; `correct` of 100 on these domains."""
    above = parent or train(changed.pop("source", target), changed.pop("seed", 0))
    lost = () if parent else ("source",)
    key = parent["key"] if parent else None
    spec = {k: v for k, v in above["spec"].items() if k not in lost} | {
        "kind": "attack", "attack": name, "attack_version": 1, "attack_params": {"n": n}, "target": target,
        "parent": key, **changed.pop("spec", {}),
    }  # fmt: skip
    facts = above["cell"] | {"kind": "attack", "parent": key, "attack": name, "n": n, "target": target}
    return record(spec, facts, [score(d, right) for d, right in correct.items()], **changed)


def plan(*records: dict[str, Any], **suite: Any) -> dict[str, Any]:
    """plan.json for these cells."""
    toy = {"version": 1, "classes": CLASSES, "domains": DOMAINS, "eligible": None, "twins": []} | suite
    cells = [{"key": r["key"], "split_seed": r["spec"].get("split_seed", 0), **r["cell"]} for r in records]
    return {"schema": 1, "grid": "toy", "written": 1.0, "suites": {"toy": toy}, "cells": cells}


@pytest.fixture
def make() -> SimpleNamespace:
    """make.train, make.synth, make.protect, make.attack, make.score, make.plan."""
    makers = {"train": train, "synth": synth, "protect": protect, "attack": attack, "score": score, "plan": plan}
    return SimpleNamespace(**makers, domains=DOMAINS, classes=CLASSES)
