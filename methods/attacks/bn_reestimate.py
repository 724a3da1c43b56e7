"""`bn-reestimate`: BatchNorm's means and variances are taken anew from the attacker's images; no labels, no training.

    mapbench run digits-mini -a bn-reestimate

A protection that tells the domains apart by their statistics is undone by it: in trials it gave back 81 % of a target
that NTL in two passes had at chance (trials.md 2). Of a net without BatchNorm it changes nothing and says so: `no-bn`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from methods.attacks import Attack, AttackNeeds
from methods.base import Access

BATCH = 512  # images a pass: up to here the statistics are exact, above it they are the mean over equal parts


class BNReestimate(Attack):
    name = "bn-reestimate"
    needs = AttackNeeds(target="unlabelled")

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        self.flags += reestimate(model, access.target()[0])

    def optimizers(self) -> list[Optimizer]:
        return []


@torch.no_grad()
def reestimate(model: nn.Module, images: Tensor) -> list[str]:
    """Replace the running statistics of every BatchNorm by those of `images` (n,3,S,S), each layer seeing what the ones
    before it make of them with their new ones; variances are unbiased, as PyTorch keeps them. Returns flags."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    model.eval()  # dropout stays out of it
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's word for a plain mean over the passes
        norm.train()
    for part in images.tensor_split(math.ceil(len(images) / BATCH)) if norms else ():
        model(part)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    model.eval()
    return [] if norms else ["no-bn"]
