"""How good a net is while it is still trained: accuracy on val every few epochs, for the curves and for nothing else.

    mapbench run digits-mini --evaluate-every 2

The last state is what counts, and it alone is scored; nothing is chosen by these. They change no number: what is looked
at is a copy, finished as the method finishes, and nothing is drawn from what the training draws from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from harness.access import DataAccess
from methods.base import Method

PREFIX = "val_accuracy/"  # of a curve's name; the domain follows


@dataclass(frozen=True)
class Evaluation:
    """Every `every` epochs, and after the last, what `measure` says of the net, by name."""

    every: int
    measure: Callable[[nn.Module], dict[str, float]]

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether to look after `epoch` of `epochs`, counted from 1."""
        return epoch % self.every == 0 or epoch == epochs

    def of(self, method: Method, access: DataAccess) -> dict[str, float]:
        """What is measured of the net that the method would finish with now."""
        with torch.random.fork_rng():
            twin = copy.deepcopy(method, {id(access): access.twin()})
            return self.measure(twin.finish().eval())


def add(curves: dict[str, list[float | None]], values: dict[str, float], epoch: int) -> None:
    """Put what was measured after `epoch`, from 1, into the curves; epochs that were not looked at have None."""
    for name in {*values, *(known for known in curves if known.startswith(PREFIX))}:
        line = curves.setdefault(name, [])
        line += [None] * (epoch - 1 - len(line))
        line.append(values.get(name))
