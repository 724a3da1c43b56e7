"""NTL, target-specified (Wang et al., ICLR 2022): L = KL_s - min(1, a KL_t) * min(1, b MMD).

    mapbench run digits-mini -m ntl

As the released code computes it (baselines.md B1), except that source and target go through the net in one pass (see
Batch.joint). Our own implementation.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.base import Batch, Method, Needs, param, tapped
from methods.losses import Cap, Reduction, capped, kl, mmd


class NTL(Method):
    name = "ntl"
    fidelity = "released"
    needs = Needs(source="labelled", target="labelled")

    @dataclass(frozen=True)
    class Params:
        alpha: float = param(0.1, "scale a of the target KL", "released code; baselines.md B1")
        beta: float = param(0.1, "scale b of the MMD", "released code; baselines.md B1")
        upper: float = param(1.0, "bound of both factors", "released code; baselines.md B1")
        cap: Cap = param("batch", "bound the target KL per batch or per sample", "batch: released code; see trials.md")
        kl_reduction: Reduction = param("mean", "mean = CE / classes, batchmean = CE", "released code; map.md 4")
        lr: float | None = param(None, "learning rate; none = the recipe's", "the suite's recipe")

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        p, half = self.params, len(batch.x_s)
        features: dict[str, Tensor] = {}
        with tapped(self.model, [self.model.feature_tap], lambda i, out: features.update(h=out.flatten(1))):
            logits = self.model(batch.joint)
        source = kl(logits[:half], batch.y_s, p.kl_reduction).mean()
        target = kl(logits[half:], batch.y_t, p.kl_reduction)
        distance = mmd(features["h"][:half], features["h"][half:])
        factor = capped(target, p.alpha, p.upper, p.cap) * (p.beta * distance).clamp_max(p.upper)
        ce = kl(logits[half:].detach(), batch.y_t).mean()
        return source - factor, {"source": source.detach(), "target_ce": ce, "mmd": distance.detach()}
