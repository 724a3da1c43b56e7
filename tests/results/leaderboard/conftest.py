"""Made-up records for boards: the numbers are drawn, the tables and statistics made from them are the real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from results import leaderboard, records, tables
from results.leaderboard import Board
from results.store import Store

DOMAINS = ["uci", "uci-m", "print", "street"]
SCENARIO = "labelled source, labelled target"
K = 10
# variant -> what is left of the source, of the target (argmax, matched, decoded), and whether it is a control
EFFECTS = {
    "sa-map[cap=sample]": (0.995, 0.10, 0.14, 0.85, False),
    "cuti": (0.985, 0.13, 0.18, 0.80, False),
    "ntl": (0.90, 0.08, 0.30, 0.75, False),
    "continue": (1.003, 0.61, 0.62, 0.70, True),
}
BEFORE = (0.62, 0.63, 0.71)


def cell(kind: str, **changed: Any) -> dict[str, Any]:
    """A cell of plan.json; its key is the hash of what it is."""
    protect = kind == "protect"
    variant, control = changed.get("variant", ""), changed.get("control", False)
    facts = {
        "split_seed": 0, "kind": kind, "parent": None, "inputs": [], "suite": "digits-mini", "suite_version": 1,
        "method": variant.split("[", maxsplit=1)[0] or None, "variant": variant, "method_version": 1,
        "fidelity": "control" if control else "as-described", "control": False, "tuned": False,
        "start": "source" if protect else None, "params": {}, "targets": [], "classes": K, "domains": DOMAINS,
        "scenario": ("labelled source, no target" if control else SCENARIO) if protect else None, "score": "test",
    } | changed  # fmt: skip
    return {"key": hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()} | facts


def record(cell: dict[str, Any], source: str, kept: float, left: list[float]) -> dict[str, Any]:
    """An ok record: `kept` on the source, `left` (argmax, matched, decoded) on every other domain."""
    rows = [
        {"domain": d, "part": "test", "correct": round(a * 10_000), "total": 10_000, "balanced": a, "matched": m,
         "decoded": p, "confusion": [[1] * K] * K}
        for d, (a, m, p) in ((d, [kept] * 3 if d == source else left) for d in DOMAINS)
    ]  # fmt: skip
    return {
        "schema": 1, "key": cell["key"], "attempt": 1, "uuid": "0123abcd", "status": "ok", "error": None,
        "spec": {name: value for name, value in cell.items() if name not in ("key", "tuned")},
        "cell": {name: value for name, value in cell.items() if name not in ("key", "split_seed")},
        "parent_checkpoint": None, "flags": [], "started": 0.0, "finished": 9.0, "seconds": 9.0,
        "peak_memory_mb": None, "accuracy": rows, "curves": {}, "checkpoint": None, "checkpoint_sha256": None,
        "environment": {"device": "cpu", "torch": "2.15.0", "git_commit": "abcdef0123456789", "git_dirty": False,
                        "host": "bench"},
        "predictions": None, "log": None,
    }  # fmt: skip


class Grid:
    """Records and plan of a grid; `drop` and `fail` name protect cells to lose: (variant, source, target, seed).

    `attacked`: what a probe gives back of each target of a protected model; of f_s 0.7, from scratch 0.5."""

    def __init__(
        self,
        *,
        effects: dict[str, tuple[float, float, float, float, bool]] = EFFECTS,
        pairs: list[str] | None = None,
        seeds: int = 3,
        backbones: tuple[str, ...] = ("convnet",),
        eligible: list[str] | None = None,
        tuned: tuple[str, ...] = (),
        drop: tuple[tuple[Any, ...], ...] = (),
        fail: dict[tuple[Any, ...], str] | None = None,
        flags: dict[str, list[str]] | None = None,
        scenarios: dict[str, str] | None = None,
        attacked: float | None = None,
    ) -> None:
        wanted = [pair.split(":") for pair in pairs or [f"{s}:{t}" for s in DOMAINS for t in DOMAINS if s != t]]
        rng = np.random.default_rng(0)
        self.records: list[dict[str, Any]] = []
        cells = []
        for backbone, source, seed in product(backbones, dict.fromkeys(s for s, _ in wanted), range(seeds)):
            place = {"backbone": backbone, "source": source, "seed": seed}
            shift = rng.normal(0, 0.02)  # an f_s is shared by all that descends from it
            train = cell("train", **place)
            cells.append(train)
            self.records.append(record(train, source, 0.97, [b + shift for b in BEFORE]))
            for (variant, (kept, *left, control)), (_, target) in product(
                effects.items(), [pair for pair in wanted if pair[0] == source]
            ):
                facts = {"variant": variant, "targets": [target], "parent": train["key"], "control": control}
                facts |= {"scenario": scenarios[variant]} if variant in (scenarios or {}) else {}
                child = cell("protect", **place, **facts, tuned=variant in tuned)
                cells.append(child)
                me, noise = (variant, source, target, seed), rng.normal(0, 0.004)
                if me not in drop:
                    changed: dict[str, Any] = {"flags": (flags or {}).get(variant, [])}
                    if me in (fail or {}):
                        changed |= {"status": "failed", "error": (fail or {})[me], "accuracy": []}
                    kept_now = 0.97 * (kept + noise)
                    self.records.append(record(child, source, kept_now, [b + noise for b in left]) | changed)
                if attacked is not None:
                    for model, gives in ((child, attacked + noise), (train, 0.7)):
                        self._attack(cells, model, target, gives)
                    self._attack(cells, train, target, 0.5, "from-scratch")
        suite = {"version": 1, "classes": K, "domains": DOMAINS, "eligible": eligible, "twins": []}
        self.plan = {
            "schema": 1,
            "grid": "digits-mini",
            "written": 1.0,
            "cells": cells,
            "suites": {"digits-mini": suite},
        }

    def _attack(
        self, cells: list[dict[str, Any]], above: dict[str, Any], target: str, gives: float, name: str = "probe"
    ) -> None:
        alone = name == "from-scratch"
        facts = {k: v for k, v in above.items() if k not in ("key", "kind")} | {
            "attack": name,
            "n": 200,
            "target": target,
        }
        facts |= {"parent": None, "source": target} if alone else {"parent": above["key"]}
        made = cell("attack", **facts)
        if made["key"] not in {c["key"] for c in cells}:
            cells.append(made)
            self.records.append(record(made, facts["source"], gives if alone else 0.8, [gives] * 3))

    def board(self) -> Board:
        """Through the real tables and statistics, without a disk."""
        built = tables.build(self.records, self.plan)
        frames = (built[name].to_pandas() for name in ("cells", "pairs", "attacks"))
        return leaderboard.assemble(*frames, self.plan, "test", "run")

    def write(self, out: Path) -> Path:
        """As a run directory."""
        Store(out).write_plan(self.plan)
        for record in self.records:
            records.write(out, record)
        return out


@pytest.fixture
def grid() -> Callable[..., Grid]:
    return Grid
