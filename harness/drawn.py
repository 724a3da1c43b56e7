"""Generated images that cells share: those whose synthesisers, seed and pair are the same draw the same ones.

    .venv/bin/pytest tests/harness/test_drawn.py

A worker keeps what it drew last, so that the five or six methods of a table without a source draw once and not each for
itself; which of them drew it changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Made = dict[str, tuple[Tensor, Tensor]]  # images uint8 (n,3,S,S), and labels, by domain

# Epochs whose generated images are drawn anew; later ones have these again in turn, shuffled and moved anew. That is
# three times as many as f_s itself had. Chosen for time: drawing took a quarter of a cell without a source.
DRAWN = 3
# Bytes that a worker keeps. Chosen: digits-mini's sets of twelve pairs; of a GPU's memory it is little
KEPT = 256 << 20


class Drawn:
    """The sets of the first DRAWN epochs, each with the state that its generator was left in."""

    def __init__(self) -> None:
        self._sets: list[tuple[Made, Tensor]] = []

    def epoch(self, nth: int, generator: torch.Generator, make: Callable[[], Made]) -> Made:
        """The set of the nth epoch, from 0: made now, or what was made before. `generator` is left as if it had been
        made now."""
        if nth % DRAWN == len(self._sets):
            made = make()
            self._sets.append((made, generator.get_state()))
        made, state = self._sets[nth % DRAWN]
        generator.set_state(state)
        return made

    def nbytes(self) -> int:
        return sum(images.nbytes for made, _ in self._sets for images, _ in made.values())


class Shared:
    """What a worker drew last, by what decides it; the longest unused goes first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._held = kept, OrderedDict[Hashable, Drawn]()

    def of(self, key: Hashable) -> Drawn:
        self._trim()
        drawn = self._held.pop(key, None) or Drawn()
        self._held[key] = drawn
        return drawn

    def _trim(self) -> None:
        sizes = {key: drawn.nbytes() for key, drawn in self._held.items()}
        while sum(sizes.values()) > self._kept:
            oldest, _ = self._held.popitem(last=False)
            del sizes[oldest]
