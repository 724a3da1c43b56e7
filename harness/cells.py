"""A cell: one piece of training with one parent, named by the content that defines its number.

    mapbench plan digits-mini

The key is the sha256 of the canonical JSON of the `spec`: nothing about paths, hosts, devices or order is in it, so the
same key is the same cell on any machine, and resume, sharing and merging follow from that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from results.pairs import label

KEY_VERSION = 1  # the form of the spec itself
PROTOCOL = 2  # bump when training, evaluation, splits or backbones change numbers (a golden test pins keys)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(spec: dict[str, Any]) -> str:
    """One text for one meaning: sorted keys, no spaces, floats by their shortest repr, NaN refused."""
    return _ENCODER.encode(spec)


def key_of(spec: dict[str, Any]) -> str:
    """The cell's key, 64 hex digits."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def stable_seed(*parts: Any) -> int:
    """A 63-bit seed from what is being seeded; the same on every machine, unlike hash()."""
    return int.from_bytes(hashlib.sha256(canonical({"seed": parts}).encode()).digest()[:8], "big") >> 1


class Layer(NamedTuple):
    """What many cells have in common, of their spec and of their meta: written down once, and never changed."""

    spec: dict[str, Any]
    meta: dict[str, Any]


class Root(NamedTuple):
    """What a cell that hangs on no other has of its own, in its spec and in its meta."""

    seed: int


class Child(NamedTuple):
    """What a cell has of its own that hangs on another: the keys of that one and of its inputs."""

    seed: int
    parent: str
    inputs: list[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One node of the forest. `spec` is what the key hashes; `meta` is what people and tables call it by.

    Both are put together when they are asked for, each layer over those before it and the cell's own last: a driver
    holds ten thousand cells, which differ in little more than their seed."""

    layers: tuple[Layer, ...]
    own: Root | Child | None  # None: the layers say it all
    method: dict[str, Any]  # the method's card, for the worker
    suite: dict[str, Any]  # the suite's definition, for the worker: it may be a file of the user's own
    cost: float  # GFLOP of training, for ordering and for the time left
    timeout: float | None = None
    synthesisers: tuple[dict[str, Any], ...] = ()  # the cards of its inputs, in the spec's order; also a method's
    skip: str | None = None  # why it cannot run, in a cross product
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.spec))

    @property
    def spec(self) -> dict[str, Any]:
        """A new dict, but of shared values: not to be changed."""
        found: dict[str, Any] = {}
        for layer in self.layers:
            found |= layer.spec
        return found | self.own._asdict() if self.own else found

    @property
    def meta(self) -> dict[str, Any]:
        """As `spec`."""
        found: dict[str, Any] = {}
        for layer in self.layers:
            found |= layer.meta
        return found | self.own._asdict() if self.own else found

    @property
    def above(self) -> tuple[str | None, ...]:
        """The keys of its parent and of its inputs, for which a child needs no `meta`."""
        if isinstance(self.own, Child):
            return self.own.parent, *self.own.inputs
        meta = self.meta
        return meta["parent"], *meta["inputs"]

    @property
    def label(self) -> str:
        return label(self.meta)
