"""CUTI, target-specified (Wang et al., CVPR 2023): L = KL_s - min(a KL_t, 1), every other step on re-styled targets.

    mapbench run digits-mini -m cuti

As the released code computes it (baselines.md B3): on even steps a plain pass over [x_s; x_t]; on odd steps the
target half is re-styled after each stage of the net with the source half's statistics. `cuti[fidelity=paper]` has the
paper's learned layers, which the released code draws anew at every call, and KL as a textbook mean over the batch.
It is one method on all backbones: the released Swin variant, one random scalar in place of each matrix, is not
followed, nor are stages cut by the indices of another VGG. Our own implementation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from methods.base import Access, Batch, Method, Needs, param, tapped
from methods.losses import Cap, Reduction, capped, kl
from methods.moments import moments


class Alternating(Method, ABC):
    """Base of CUTI's forms, which differ in how the target half is re-styled on odd steps."""

    fidelity = "released"
    fidelities = {"paper": {"kl_reduction": "batchmean"}}  # noqa: RUF012
    cycle = 2
    smallest_tap = 2  # the spatial variance of a single pixel is undefined: VGG at 32 px would train on NaN

    @dataclass(frozen=True)
    class Params:
        alpha: float = param(0.1, "scale a of the target KL", "released code; baselines.md B3", least=0)
        upper: float = param(1.0, "bound of the target term", "released code; baselines.md B3", least=0)
        cap: Cap = param("batch", "bound the target KL per batch or per sample", "batch: released code; see trials.md")
        kl_reduction: Reduction = param("mean", "mean = CE / classes, batchmean = CE", "released code; map.md 4")
        lr: float | None = param(None, "learning rate; none = the recipe's", "the suite's recipe", least=0)

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        self.odd = False

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        p, half = self.params, len(batch.x_s)
        with tapped(self.model, self.model.taps if self.odd else (), self._isolate):
            logits = self.model(batch.joint)
        self.odd = not self.odd
        source = kl(logits[:half], batch.y_s, p.kl_reduction).mean()
        target = capped(kl(logits[half:], batch.y_t, p.kl_reduction), p.alpha, p.upper, p.cap)
        ce = kl(logits[half:].detach(), batch.y_t).mean()
        return source - target, {"source": source.detach(), "target_ce": ce}

    @abstractmethod
    def _isolate(self, index: int, out: Tensor) -> Tensor:
        """The output of the index-th tap, (2B, C, H, W), source first, with its target half re-styled."""


class CUTI(Alternating):
    name = "cuti"
    fidelities = {"paper": {"kl_reduction": "batchmean", "layers": "learned"}}  # noqa: RUF012
    needs = Needs(source="labelled", target="labelled")

    @dataclass(frozen=True)
    class Params(Alternating.Params):
        layers: Literal["drawn", "learned"] = param(
            "drawn", "the two layers of each stage: drawn anew at every call, or trained with the net",
            "drawn: released code; learned: the paper; baselines.md B3", later=True,
        )  # fmt: skip

    def setup(self, model: nn.Module, access: Access) -> None:
        """Learned layers begin where drawn ones are drawn, which is nn.Linear's own; they are no part of the net."""
        super().setup(model, access)
        self.layers = nn.ModuleList()
        if self.params.layers == "learned":
            widths: list[int] = []
            like = torch.zeros(1, 3, access.image_size, access.image_size, device=next(model.parameters()).device)
            model.eval()  # BatchNorm must not learn from a blank image
            with torch.no_grad(), tapped(model, self.model.taps, lambda i, out: widths.append(out.shape[1])):
                model(like)
            model.train()
            pairs = ((nn.Linear(c, c, bias=False), nn.Linear(c, c, bias=False)) for c in widths)
            self.layers.extend(nn.ModuleList(pair) for pair in pairs).to(like.device)

    def optimizers(self) -> list[Optimizer]:
        return [self.access.optimizer([*self.model.parameters(), *self.layers.parameters()], lr=self.params.lr)]

    def _isolate(self, index: int, out: Tensor) -> Tensor:
        """Target maps x_t become x_t * sigmoid(W2 sigma_s) + sigmoid(W1 mu_s); out is (2B, C, H, W), source first.

        Drawn W1 and W2 are U(-1/sqrt C, 1/sqrt C) at every call, because the released layers are: they are never
        registered and never trained. Statistics are not detached, as there."""
        half, channels = len(out) // 2, out.shape[1]
        x_s, x_t = out.float().split(half)  # statistics are fp32, whatever the net is trained in
        mean, variance = (values.flatten(1) for values in moments(x_s, (2, 3)))
        std = (variance + 1e-5).sqrt()
        if self.params.layers == "learned":
            w1, w2 = self.layers[index].parameters()
        else:
            w1, w2 = ((torch.rand(2, channels, channels, device=out.device) * 2 - 1) / channels**0.5).unbind()
        with torch.autocast(out.device.type, enabled=False):
            shift, gain = torch.sigmoid(mean @ w1.T), torch.sigmoid(std @ w2.T)
        return torch.cat([x_s, x_t * gain[:, :, None, None] + shift[:, :, None, None]]).to(out.dtype)
