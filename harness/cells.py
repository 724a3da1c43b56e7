"""A cell: one piece of training with one parent, named by the content that defines its number.

    mapbench plan digits-mini

The key is the sha256 of the canonical JSON of the `spec`: nothing about paths, hosts, devices or order is in it, so the
same key is the same cell on any machine, and resume, sharing and merging follow from that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from results.pairs import name as pair_name

KEY_VERSION = 1  # the form of the spec itself
PROTOCOL = 2  # bump when training, evaluation, splits or backbones change numbers (a golden test pins keys)
PRECISION = "fp32"


def canonical(spec: dict[str, Any]) -> str:
    """One text for one meaning: sorted keys, no spaces, floats by their shortest repr, NaN refused."""
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(spec: dict[str, Any]) -> str:
    """The cell's key, 64 hex digits."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def stable_seed(*parts: Any) -> int:
    """A 63-bit seed from what is being seeded; the same on every machine, unlike hash()."""
    return int.from_bytes(hashlib.sha256(canonical({"seed": parts}).encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Cell:
    """One node of the forest. `spec` is what the key hashes; `meta` is what people and tables call it by."""

    spec: dict[str, Any]
    meta: dict[str, Any]
    method: dict[str, Any]  # the method's card, for the worker
    suite: dict[str, Any]  # the suite's definition, for the worker: it may be a file of the user's own
    cost: float  # GFLOP of training, for ordering and for the time left
    timeout: float | None = None
    synthesisers: tuple[dict[str, Any], ...] = ()  # the cards of its inputs, in the spec's order; also a method's
    skip: str | None = None  # why it cannot run, in a cross product

    @property
    def key(self) -> str:
        return key_of(self.spec)

    @property
    def label(self) -> str:
        m = self.meta
        what, pair = m["variant"] or "f_s", pair_name(m)
        if attack := m.get("attack"):
            what = f"{attack} on {what}" if m["parent"] else attack
            pair = f"{m['source']}:{m['target']}" if m["parent"] else m["target"]
        return f"{what} {m['backbone']} {pair} s{m['seed']}"
