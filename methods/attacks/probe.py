"""`probe`: the last layer is fitted anew, on the penultimate features of n labelled images; nothing else is touched.

    mapbench run digits-mini -a probe -a 'probe[n=50]'

What the literature calls FT-direct-FC (baselines.md C), brought to its end: the fit is convex, so there is no learning
rate, no number of epochs and no test set to choose them on. It finds what a protection only hides behind the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from methods import MethodError
from methods.attacks import Attack
from methods.base import Access, param

BATCH = 512  # images a pass, in eval mode: it cannot change a feature
CONSTANT = 1e-8  # a feature that spreads less carries nothing but rounding


class Probe(Attack):
    name = "probe"

    @dataclass(frozen=True)
    class Params:
        c: float = param(1.0, "weight of the fit against the L2 term", "as `decoded` has it, scikit-learn's default")

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        images, labels = access.target()
        assert labels is not None  # `needs` says so
        refit(model, images, labels, access.classes, self.params.c)

    def optimizers(self) -> list[Optimizer]:
        return []


def refit(model: nn.Module, images: Tensor, labels: Tensor, classes: int, c: float) -> None:
    """Put a logistic regression into the last linear layer of `model`, in place: images (n,3,S,S), labels (n,).

    Features are standardised by these images, the standardisation is folded into the layer. It minimises
    c * sum CE + |W|^2 / 2 in float64 by L-BFGS from zero, so it is the same every time. MethodError for a net that has
    no linear layer with one output a class."""
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == classes]
    if not heads:
        raise MethodError(f"a {type(model).__name__} has no linear layer with {classes} outputs to fit anew")
    head = heads[-1]
    x = _inputs(model, head, images).double()
    mean, spread = x.mean(0), x.std(0, correction=0)
    spread[spread < CONSTANT] = 1.0
    weight, bias = _fit((x - mean) / spread, labels, classes, c)
    with torch.no_grad():
        head.weight.copy_(weight / spread)
        head.bias.copy_(bias - (weight / spread) @ mean)


@torch.no_grad()
def _inputs(model: nn.Module, head: nn.Module, images: Tensor) -> Tensor:
    """What reaches `head`, (n, D), in eval mode."""
    model.eval()
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        for part in images.split(BATCH):
            model(part)
    finally:
        handle.remove()
    return torch.cat(seen)


def _fit(x: Tensor, labels: Tensor, classes: int, c: float) -> tuple[Tensor, Tensor]:
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    solver = LBFGS(
        [weight, bias], max_iter=1000, tolerance_grad=1e-5, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = c * F.cross_entropy(x @ weight.T + bias, labels, reduction="sum") + weight.square().sum() / 2
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    return weight.detach(), bias.detach()
