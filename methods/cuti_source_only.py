"""`cuti-source-only`: CUTI without a target: it leaves the neighbours of its source, re-styled (baselines.md B4).

    mapbench run digits-mini -m cuti-source-only

CUTI's own pseudo-targets were NTL's unpublished GAN images and AdaIN-stylised ones; ours are a documented substitute,
see methods/synthesis/neighbours.py. One model per source; every other domain of the suite is its target.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Needs
from methods.cuti import Alternating
from methods.moments import moments


class CUTISourceOnly(Alternating):
    name = "cuti-source-only"
    needs = Needs(source="labelled", target="generated")
    inputs = ("source-neighbours",)

    def _isolate(self, index: int, out: Tensor) -> Tensor:
        """The target-free operator: target maps x_t become g (x_t - mu_t) / sigma_t + m, with g ~ N(1, 1) and
        m ~ N(0, 1) for each image and channel; nothing of the source is in it. `out` is (2B, C, H, W), source first."""
        half = len(out) // 2
        x_s, x_t = out.float().split(half)  # statistics are fp32, whatever the net is trained in
        mean, variance = moments(x_t, (2, 3))
        std = (variance + 1e-5).sqrt()
        gain, shift = torch.randn(2, half, out.shape[1], 1, 1, device=out.device).unbind()
        return torch.cat([x_s, (1 + gain) * (x_t - mean) / std + shift]).to(out.dtype)
