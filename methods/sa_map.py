"""SA-MAP, source-available mask pruning: f_s stays frozen, a binary mask over its weights learns to forget the target.

    mapbench run digits-mini -m sa-map -m 'sa-map[cap=sample]'

A re-implementation from the public description of MAP (Peng et al., CVPR 2024): no code of MAP is public, and the body
of the paper was not available to us. L = CE_s - min(lambda CE_t, alpha) is recalled, not read (map.md 4); what the
public text leaves open is a param or stated here. Weights of all conv and linear layers are masked, and so is the
matrix of queries, keys and values that attention keeps as a parameter of its own; biases, norms, class token and
embeddings of position stay f_s's. BatchNorm runs on its stored statistics, and dropout and stochastic depth are off,
because what is learned is a fixed sub-network of f_s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam, Optimizer

from methods.base import Access, Batch, Method, Needs, param
from methods.losses import Cap, Reduction, capped, kl

LAYERS = nn.Conv2d | nn.Linear | nn.MultiheadAttention


def maskable(model: nn.Module) -> dict[str, Tensor]:
    """The weights that a mask may take, by parameter name, in the net's order; without gradient, not copied."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LAYERS)}
    # by shape, not by name: MultiheadAttention has its in_proj_weight where the others have their weight
    own = {f"{n}.{k}": w for n, m in layers.items() for k, w in m.named_parameters(recurse=False)}
    return {n: w.detach() for n, w in own.items() if w.ndim > 1}


class Masked(torch.autograd.Function):
    """w * 1[s > 0], straight-through: dL/ds := dL/dm = g * w (Piggyback's estimator; map.md 4.1). Saves only w."""

    @staticmethod
    def forward(ctx: Any, score: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return torch.where(score > 0, weight, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return grads[0] * weight, None


class SAMap(Method):
    name = "sa-map"
    needs = Needs(source="labelled", target="labelled")

    @dataclass(frozen=True)
    class Params:
        lam: float = param(0.1, "scale lambda of the target CE", "recalled, map.md 4; 0.1 in NTL's and CUTI's code")
        alpha: float = param(1.0, "upper bound of the target term", "recalled, map.md 4; 1 in NTL's and CUTI's code")
        cap: Cap = param("batch", "bound the target CE per batch or per sample", "batch: map.md 4; see trials.md")
        kl_reduction: Reduction = param("batchmean", "batchmean = CE, mean = CE / classes", "open, map.md 4: textbook")
        mask_lr: float = param(0.06, "Adam's learning rate on the scores", "open, map.md U2; trials.md")

    def setup(self, model: nn.Module, access: Access) -> None:
        """Scores start at |w| / mean|w| of the layer, threshold 0: every mask is 1, so step 0 is f_s bit for bit, and a
        weight is pruned the sooner the smaller it is. A constant start flips all of a layer at once (trials.md 4)."""
        super().setup(model, access)
        model.eval().requires_grad_(False)
        self.weights = maskable(model)
        self.scores = {n: nn.Parameter(w.abs() / w.abs().mean()) for n, w in self.weights.items()}

    def optimizers(self) -> list[Optimizer]:
        return [Adam(self.scores.values(), lr=self.params.mask_lr)]

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        p, half = self.params, len(batch.x_s)
        masked = {n: Masked.apply(s, self.weights[n]) for n, s in self.scores.items()}
        logits = functional_call(self.model, masked, (batch.joint,))
        source = self.source_loss(logits[:half], batch)
        target = kl(logits[half:], batch.y_t, p.kl_reduction)
        loss = source - self.target_gain(target)
        return loss, {"source": source.detach(), "target_ce": kl(logits[half:].detach(), batch.y_t).mean()}

    def source_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """What keeps the source, a scalar, from the pruned net's logits for x_s."""
        return kl(logits, batch.y_s, self.params.kl_reduction).mean()

    def target_gain(self, target: Tensor) -> Tensor:
        """What is won on the target, a scalar, from its cross entropies (B,)."""
        return capped(target, self.params.lam, self.params.alpha, self.params.cap)

    def masks(self) -> dict[str, Tensor]:
        """The learned masks, bool, by weight name. A weight of exactly 0 counts as pruned: it is."""
        return {n: s.detach() > 0 for n, s in self.scores.items()}

    @torch.no_grad()
    def finish(self) -> nn.Module:
        for name, mask in self.masks().items():
            self.model.get_parameter(name).mul_(mask)
        return self.model.requires_grad_(True)
