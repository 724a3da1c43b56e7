"""SA-MAP, source-available mask pruning: f_s stays frozen, a binary mask over its weights learns to forget the target.

    mapbench run digits-mini -m sa-map -m 'sa-map[cap=sample]'

A re-implementation from the public description of MAP (Peng et al., CVPR 2024): no code of MAP is public, and the body
of the paper was not available to us. L = CE_s - min(lambda CE_t, alpha) is recalled, not read (map.md 4); what the
public text leaves open is a param (suites/map-ablation.yaml runs them one at a time) or stated here. Weights of all
conv and linear layers are masked, and so is the matrix of queries, keys and values that attention keeps as a parameter
of its own; biases, norms, class token and embeddings of position stay f_s's. BatchNorm runs on its stored statistics,
and dropout and stochastic depth are off, because what is learned is a fixed sub-network of f_s.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from methods import MethodError
from methods.adam import Adam
from methods.base import Access, Batch, Method, Needs, param
from methods.losses import Cap, Reduction, capped, kl

MARGIN = 0.005  # of a constant start: Piggyback's 0.01 over its threshold of 0.005; ours is 0
LAYERS = nn.Conv2d | nn.Linear | nn.MultiheadAttention


def maskable(model: nn.Module) -> dict[str, Tensor]:
    """The weights that a mask may take, by parameter name, in the net's order; without gradient, not copied."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LAYERS)}
    # by shape, not by name: MultiheadAttention has its in_proj_weight where the others have their weight
    own = {f"{n}.{k}": w for n, m in layers.items() for k, w in m.named_parameters(recurse=False)}
    return {n: w.detach() for n, w in own.items() if w.ndim > 1}


class Masked(torch.autograd.Function):
    """w * 1[s > 0], straight-through: dL/ds := dL/dm = g * w (Piggyback's estimator; map.md 4.1), summed over the
    weights that share a score. Saves only w."""

    @staticmethod
    def forward(ctx: Any, score: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape = score.shape
        return torch.where(score > 0, weight, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return (grads[0] * weight).sum_to_size(ctx.shape), None


class SAMap(Method):
    name = "sa-map"
    needs = Needs(source="labelled", target="labelled")
    cycle = 1

    @dataclass(frozen=True)
    class Params:
        lam: float = param(
            0.1, "scale lambda of the target CE", "recalled, map.md 4; 0.1 in NTL's and CUTI's code", least=0
        )
        alpha: float = param(
            1.0, "upper bound of the target term", "recalled, map.md 4; 1 in NTL's and CUTI's code", least=0
        )
        cap: Cap = param("batch", "bound the target CE per batch or per sample", "batch: map.md 4; see trials.md")
        kl_reduction: Reduction = param("batchmean", "batchmean = CE, mean = CE / classes", "open, map.md 4: textbook")
        mask_lr: float = param(0.06, "Adam's learning rate on the scores", "open, map.md U2; trials.md", least=0)
        granularity: Literal["weight", "filter"] = param(
            "weight", "what one score decides on: a weight, or a filter (a row of a linear layer)",
            "open, map.md U1: pruning is called unstructured", later=True,
        )  # fmt: skip
        last_layer: bool = param(True, "whether the last layer is masked too", "open, map.md U1", later=True)
        scores: Literal["magnitude", "constant"] = param(
            "magnitude", f"where scores start: |w| / mean|w| of the layer, or {MARGIN} over the threshold",
            "open, map.md U2; trials.md 4: a constant start flips all of a layer at once", later=True,
        )  # fmt: skip
        bn: Literal["stored", "batch"] = param(
            "stored", "BatchNorm runs on f_s's statistics, or on the batch's, and learns new ones", "open, map.md U4",
            later=True,
        )  # fmt: skip

    def setup(self, model: nn.Module, access: Access) -> None:
        """Scores start over the threshold, which is 0: every mask is 1, so step 0 is f_s bit for bit (under bn=stored).
        Where they start at |w|, a weight is pruned the sooner the smaller it is."""
        super().setup(model, access)
        model.eval().requires_grad_(False)
        self.f_s = model  # its own answers, while the masked weights are put in from outside
        if self.params.bn == "batch":
            self.f_s = copy.deepcopy(model)
            if not [m.train() for m in model.modules() if isinstance(m, nn.BatchNorm2d)]:
                raise MethodError(f"{self.name}[bn=batch] is undefined on a backbone without BatchNorm: leave it out")
        self.weights = maskable(model)
        if not self.params.last_layer:
            self.weights.popitem()
        self.scores = {n: nn.Parameter(self._start(w)) for n, w in self.weights.items()}

    def _start(self, weight: Tensor) -> Tensor:
        """A layer's scores before the first step: of its weight's shape, or (out, 1, ...), one for each filter."""
        scores = weight.abs() / weight.abs().mean()
        if self.params.granularity == "filter":
            scores = scores.mean(tuple(range(1, weight.ndim)), keepdim=True)
        return torch.full_like(scores, MARGIN) if self.params.scores == "constant" else scores

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

    def target_gain(self, target: Tensor, among: Tensor | None = None) -> Tensor:
        """What is won on the target, a scalar, from its cross entropies (B,), of those `among` only, bool (B,)."""
        return capped(target, self.params.lam, self.params.alpha, self.params.cap, among)

    def masks(self) -> dict[str, Tensor]:
        """The learned masks, bool, of the scores' shapes. A weight of exactly 0 counts as pruned: it is."""
        return {n: s.detach() > 0 for n, s in self.scores.items()}

    @torch.no_grad()
    def finish(self) -> nn.Module:
        for name, mask in self.masks().items():
            self.model.get_parameter(name).mul_(mask)
        return self.model.requires_grad_(True)
