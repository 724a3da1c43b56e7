"""SF-MAP, source-free mask pruning: SA-MAP's mask, trained on generated source images and pseudo-labelled targets.

    mapbench run digits-mini -m sf-map

A re-implementation from the public description of MAP (Peng et al., CVPR 2024), whose body was not available to us.
L = CE(p_t(x_s'), y_s') - min(lambda CE(p_t(x_t), y^_t), alpha) is recalled (map.md 5). x_s' come from the source
generator, half fresh and half from its memory; y^_t are f_s's answers. The mask is sa_map.py's, params included.

Generated images lie farther from the target than the source itself does, so the mask can tell them apart by less than
what the source needs, and takes it away. `distill` is ours, against that: f_t is held to f_s's logits on generated
images and on disturbed copies, which cover more of what lies between. It is no part of MAP's description, hence 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Batch, param
from methods.pseudo import SourceFree
from methods.sa_map import SAMap


class Distilled(SAMap):
    """The mask, with f_t held to f_s on generated images."""

    @dataclass(frozen=True)
    class Params(SAMap.Params):
        distill: float = param(0.0, "weight of the squared distance to f_s's logits", "ours; 0: as described")

    def source_loss(self, logits: Tensor, batch: Batch, pruned: Callable[[Tensor], Tensor]) -> Tensor:
        loss = super().source_loss(logits, batch, pruned)
        if self.params.distill:
            other = disturbed(batch.x_s)
            with torch.no_grad():
                wanted = self.model(torch.cat([batch.x_s, other]))
            given = torch.cat([logits, pruned(other)])
            loss = loss + self.params.distill * (given - wanted).square().mean()
        return loss


class SFMap(SourceFree, Distilled):
    name = "sf-map"


def disturbed(images: Tensor) -> Tensor:
    """Images (n,3,S,S), normalised, each blended with another, its channels scaled and shifted, and noise on top; the
    strengths are drawn per image. Nobody has to know what they show: f_s is asked."""
    n, device = len(images), images.device
    share = torch.rand(n, 1, 1, 1, device=device)
    blend = share * images + (1 - share) * images[torch.randperm(n).to(device)]
    gain, shift = (torch.rand(2, n, 3, 1, 1, device=device) * 2 - 1).unbind()  # scaled by 0.5..1.5, shifted by -1..1
    noise = 0.8 * torch.rand(n, 1, 1, 1, device=device) * torch.randn_like(images)
    return (blend * (1 + 0.5 * gain) + shift + noise).contiguous(memory_format=torch.channels_last)
