"""SF-MAP, source-free mask pruning: SA-MAP's mask, trained on generated source images and pseudo-labelled targets.

    mapbench run digits-mini -m sf-map

A re-implementation from the public description of MAP (Peng et al., CVPR 2024), whose body was not available to us.
L = CE(p_t(x_s'), y_s') - min(lambda CE(p_t(x_t), y^_t), alpha) is recalled (map.md 5). x_s' come from the source
generator, half fresh and half from its memory; y^_t are f_s's answers. The mask is sa_map.py's, params included.

Generated images lie farther from the target than the source itself does, so the mask can tell them apart by less than
what the source needs, and takes it away. Three params are ours against that, no part of MAP's description, hence 0.
`distill` holds f_t to f_s's logits on generated images.
`hold` asks of the target no more than it says: how much a fixed lambda takes off differs so much from pair to pair that
one setting leaves some targets as they were and breaks the source of others.
`guard` blends half of the generated images with target images, so that f_t is held to f_s some of the way out too, and
what it gives up begins farther out than the generated images do: the real source does not lie on top of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.base import Access, Batch, param
from methods.losses import mean
from methods.pseudo import SourceFree
from methods.sa_map import SAMap

STEER = 0.03  # a step: lambda moves by a factor of e in 33 of them, of the 800 or so there are


class Distilled(SAMap):
    """The mask, with f_t held to f_s on generated images and the target to a number of nats."""

    @dataclass(frozen=True)
    class Params(SAMap.Params):
        distill: float = param(0.0, "weight of the squared distance to f_s's logits", "ours; 0: as described", least=0)
        hold: float = param(
            0.0, "nats of target CE, each sample's capped at alpha / lam, that lam is steered to", "ours", least=0
        )
        guard: float = param(
            0.0, "largest part of the way to its x_t that a generated source image is moved; half of them are",
            "ours; 0: as described", later=True, least=0, most=1,
        )  # fmt: skip

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        self.pull = torch.tensor(self.params.lam, device=next(model.parameters()).device)

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return super().step(batch.replaced(x_s=self.guarded(batch.x_s, batch.x_t)) if self.params.guard else batch)

    def guarded(self, x_s: Tensor, x_t: Tensor) -> Tensor:
        """Half of x_s (n,3,S,S), each moved towards its x_t by up to `guard` of the way; the others as they are."""
        way = self.params.guard * torch.rand(len(x_s), 1, 1, 1, device=x_s.device)
        return torch.lerp(x_s, x_t, way * torch.randint(2, way.shape, device=x_s.device))

    def target_gain(self, target: Tensor, among: Tensor | None = None) -> Tensor:
        """With `hold` h: lambda c, c being the mean capped CE; lambda grows while c < h and shrinks while c > h."""
        p = self.params
        if not p.hold:
            return super().target_gain(target, among)
        reached = mean(target.clamp_max(p.alpha / p.lam), among)
        steered = (self.pull * (STEER * (1 - reached.detach() / p.hold)).exp()).clamp(p.lam / 100, p.lam * 1000)
        self.pull.copy_(steered if among is None else steered.where(among.any(), self.pull))
        return self.pull * reached

    def source_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        loss = super().source_loss(logits, batch)
        if self.params.distill:
            with torch.no_grad():
                wanted = self.f_s(batch.x_s)
            loss = loss + self.params.distill * (logits - wanted).square().mean()
        return loss


class SFMap(SourceFree, Distilled):
    name = "sf-map"
    cycle = 1

    @dataclass(frozen=True)
    class Params(Distilled.Params):
        confidence: float = param(
            0.0, "least softmax of f_s for its answer to be a label; a target image below it asks for nothing",
            "open, map.md U8: no filter", later=True, least=0, most=1,
        )  # fmt: skip
