"""Grids whose truth is known: methods on sources x targets x seeds, with effects of source, target and source x seed.

    PYTHONPATH=. .venv/bin/python tests/bench/coverage.py

A train cell (source x seed) moves all its pairs, those of every method alike (a better f_s leaves more behind) and
those of each method by itself; the cell adds a little of its own. Pairs are fixed: the same in every run of a design.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

TARGETS = 3
CLASSES = 10
KNOWN = 0.7  # what f_s knows of a target, on average


@dataclass(frozen=True)
class Design:
    """What a grid is. All effects are standard deviations of accuracies."""

    sources: int = 4
    seeds: int = 3
    left: float = 0.4  # of the target, on average, by the first method; chance is 0.1
    shift: float = 0.0  # how much less each further method leaves
    unlike: float = 1.0  # how many times more the last source's train cells vary than the first's
    methods: int = 2
    shared: float = 0.03  # of the train cell, on all methods alike
    own: float = 0.03  # of the train cell, on each method by itself
    cell: float = 0.01
    pairs: set[tuple[str, str]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.pairs.update((str(s), f"t{t}") for s in range(self.sources) for t in range(TARGETS))

    @cached_property
    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """What f_s and each method know of the targets without any noise: (sources, targets, 1), (methods, ...)."""
        fixed = np.random.default_rng(7)
        place = fixed.normal(0, 0.05, (self.sources, 1, 1)) + fixed.normal(0, 0.05, (1, TARGETS, 1))
        pair = fixed.normal(0, 0.04, (self.methods, self.sources, TARGETS, 1))
        pair -= pair.mean(axis=(1, 2), keepdims=True)
        # without a shift there is no difference on any pair
        apart = np.arange(self.methods) if self.shift else np.zeros(self.methods, dtype=int)
        left = self.left + place + pair[apart] - self.shift * np.arange(self.methods)[:, None, None, None]
        return KNOWN + place / 2, left

    @property
    def removed(self) -> np.ndarray:
        """The true target_removed of each method."""
        before, left = self.truth
        return (1 - (np.maximum(left, 1 / CLASSES) - 1 / CLASSES) / (before - 1 / CLASSES)).mean(axis=(1, 2, 3))

    def run(self, rng: np.random.Generator) -> list[pd.DataFrame]:
        """One run: for each method its rows of the pairs table, as far as target_removed needs them."""
        shape = (self.sources, TARGETS, self.seeds)
        scale = np.linspace(1, self.unlike, self.sources)[:, None, None]
        before, left = self.truth
        shared = rng.normal(0, self.shared, (self.sources, 1, self.seeds)) * scale
        own = rng.normal(0, self.own, (self.methods, self.sources, 1, self.seeds)) * scale
        seen = before + shared + rng.normal(0, self.cell, shape)
        after = left + 0.8 * shared + own + rng.normal(0, self.cell, (self.methods, *shape))
        source, target, seed = (axis.ravel() for axis in np.indices(shape))
        place = {"source": source.astype(str), "target": np.char.add("t", target.astype(str)), "seed": seed}
        facts = {**place, "classes": CLASSES, "target_before_balanced": seen.ravel()}
        return [pd.DataFrame({**facts, "target_after_balanced": one.ravel()}) for one in after]
