"""One step of a training: the method's loss, its gradients, its optimisers. Nothing in it waits for the device.

    .venv/bin/pytest tests/harness/test_training.py

On a GPU a method that declares its `cycle` is captured in CUDA graphs instead (harness/graphs.py), which call this once
and replay what it launched.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from methods import MethodError
from methods.base import Batch, Method


class Step:
    """Called with a batch, it trains on it and gives what is logged, float32 (1 + terms,), on the device: the loss and
    the method's terms, which `names` calls by name once there was a step. MethodError when the method breaks its
    contract."""

    def __init__(
        self,
        method: Method,
        optimizers: list[Optimizer],
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """`around` is entered for the method's own step: for the precision that it is computed in."""
        self.method, self.optimizers, self.around = method, optimizers, around
        self.names: list[str] = []

    def __call__(self, batch: Batch) -> Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        with self.around():
            loss, terms = outcome(self.method, self.method.step(batch))
        if self.names and terms.keys() != set(self.names[1:]):
            raise MethodError(
                f"{self.method.name}.step() must log the same terms at every step, got {', '.join(terms) or 'none'}"
            )
        self.names = self.names or ["loss", *terms]
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        logged = [loss.detach(), *(terms[name] for name in self.names[1:])]  # in whatever order they came this time
        return torch.stack([value.to(loss.device, torch.float32) for value in logged])


class Rates:
    """The learning rates of some optimisers, by a schedule that is asked before every step."""

    def __init__(self, optimizers: list[Optimizer], factor: Callable[[int], float]) -> None:
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.base, self.factor, self.steps = [float(group["lr"]) for group in self.groups], factor, 0

    def next(self) -> None:
        """Set those of the coming step; where a rate is a tensor, which a graph has captured, in its place."""
        factor, self.steps = self.factor(self.steps), self.steps + 1
        for group, base in zip(self.groups, self.base, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * factor)
            else:
                group["lr"] = base * factor


def outcome(method: Method, given: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """What step() gave, checked: looked at without reading a number off the device, so that nothing waits."""
    said = f"{method.name}.step() must return"
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Tensor)):
        raise MethodError(f"{said} (loss, terms), got {type(given).__name__}")
    loss, terms = given
    if loss.ndim or not loss.requires_grad:
        graph = "with a graph" if loss.requires_grad else "without one"
        raise MethodError(f"{said} a scalar loss with a graph, got shape {list(loss.shape)} {graph}")
    if not isinstance(terms, dict) or "loss" in terms:
        raise MethodError(f"{said} terms as a dict of names to tensors, `loss` not among them")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim or term.requires_grad:
            raise MethodError(f"{said} terms that are scalar tensors, detached: {name!r} is not; use .detach()")
    return loss, terms
