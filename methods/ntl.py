"""NTL, target-specified (Wang et al., ICLR 2022): L = KL_s - min(1, a KL_t) * min(1, b MMD).

    mapbench run digits-mini -m ntl

As the released code computes it (baselines.md B1), except that source and target go through the net in one pass (see
Batch.joint). `ntl[fidelity=paper]` is the paper's formula: L = KL_s - min(1, a KL_t min(1, b MMD)), with KL a textbook
mean over the batch and MMD on the feature extractor's output; each of the three is a param. Our own implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from methods.base import Batch, Method, Needs, param, tapped
from methods.losses import Cap, Reduction, capped, kl
from methods.mmd import mmd


class NTL(Method):
    name = "ntl"
    fidelity = "released"
    fidelities = {"paper": {"kl_reduction": "batchmean", "bound": "product", "tap": "embedding"}}  # noqa: RUF012
    needs = Needs(source="labelled", target="labelled")
    cycle = 1

    @dataclass(frozen=True)
    class Params:
        alpha: float = param(0.1, "scale a of the target KL", "released code; baselines.md B1", least=0)
        beta: float = param(0.1, "scale b of the MMD", "released code; baselines.md B1", least=0)
        upper: float = param(1.0, "bound of both factors", "released code; baselines.md B1", least=0)
        cap: Cap = param("batch", "bound the target KL per batch or per sample", "batch: released code; see trials.md")
        kl_reduction: Reduction = param("mean", "mean = CE / classes, batchmean = CE", "released code; map.md 4")
        lr: float | None = param(None, "learning rate; none = the recipe's", "the suite's recipe", least=0)
        bound: Literal["factors", "product"] = param(
            "factors", "bound a KL_t and b MMD each, or b MMD and then the product",
            "factors: released code; product: the paper's formula by a digest, map.md 7", later=True,
        )  # fmt: skip
        tap: Literal["early", "embedding"] = param(
            "early", "features that MMD compares: the backbone's feature_tap, or those before the last layer",
            "early: released code; embedding: recalled of the paper, and NTLBench's where there is BatchNorm",
            later=True,
        )  # fmt: skip

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        p, half = self.params, len(batch.x_s)
        features: dict[str, Tensor] = {}
        place = self.model.feature_tap if p.tap == "early" else self.model.embedding
        with tapped(self.model, [place], lambda i, out: features.update(h=out.flatten(1))):
            logits = self.model(batch.joint)
        source = kl(logits[:half], batch.y_s, p.kl_reduction).mean()
        target = kl(logits[half:], batch.y_t, p.kl_reduction)
        distance = mmd(features["h"][:half], features["h"][half:])
        far = (p.beta * distance).clamp_max(p.upper)
        if p.bound == "product":
            gain = capped(target * far, p.alpha, p.upper, p.cap)
        else:
            gain = capped(target, p.alpha, p.upper, p.cap) * far
        ce = kl(logits[half:].detach(), batch.y_t).mean()
        return source - gain, {"source": source.detach(), "target_ce": ce, "mmd": distance.detach()}
