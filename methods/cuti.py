"""CUTI, target-specified (Wang et al., CVPR 2023): L = KL_s - min(a KL_t, 1), every other step on re-styled targets.

    mapbench run digits-mini -m cuti

As the released code computes it (baselines.md B3): on even steps a plain pass over [x_s; x_t]; on odd steps the
target half is re-styled after each stage of the net with the source half's statistics. Our own implementation. It is
one method on all backbones: the released Swin variant, one random scalar in place of each matrix, is not followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.base import Access, Batch, Method, Needs, param, tapped
from methods.losses import Cap, Reduction, capped, kl


class CUTI(Method):
    name = "cuti"
    fidelity = "released"
    needs = Needs(source="labelled", target="labelled")
    smallest_tap = 2  # the spatial variance of a single pixel is undefined: VGG at 32 px would train on NaN

    @dataclass(frozen=True)
    class Params:
        alpha: float = param(0.1, "scale a of the target KL", "released code; baselines.md B3")
        upper: float = param(1.0, "bound of the target term", "released code; baselines.md B3")
        cap: Cap = param("batch", "bound the target KL per batch or per sample", "batch: released code; see trials.md")
        kl_reduction: Reduction = param("mean", "mean = CE / classes, batchmean = CE", "released code; map.md 4")
        lr: float | None = param(None, "learning rate; none = the recipe's", "the suite's recipe")

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

    def _isolate(self, index: int, out: Tensor) -> Tensor:
        """Target maps x_t become x_t * sigmoid(W2 sigma_s) + sigmoid(W1 mu_s); out is (2B, C, H, W), source first.

        W1 and W2 are drawn anew at every call, U(-1/sqrt C, 1/sqrt C), because the released layers are: they are
        never registered and never trained. Statistics are not detached, as there."""
        half, channels = len(out) // 2, out.shape[1]
        x_s, x_t = out[:half], out[half:]
        mean = x_s.mean((2, 3))
        std = (x_s.var((2, 3), unbiased=True) + 1e-5).sqrt()
        w1, w2 = ((torch.rand(2, channels, channels, device=out.device) * 2 - 1) / channels**0.5).unbind()
        shift, gain = torch.sigmoid(mean @ w1.T), torch.sigmoid(std @ w2.T)
        return torch.cat([x_s, x_t * gain[:, :, None, None] + shift[:, :, None, None]])
