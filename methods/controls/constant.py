"""`constant`: the target is trained to one fixed class, whatever it shows; the source to its labels.

    mapbench run digits-mini -m constant

Ties or beats elaborate methods on argmax accuracy (trials.md 5), so whoever claims more must show it on `decoded`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.base import Batch, Method, Needs, param


class Constant(Method):
    name = "constant"
    control = True
    fidelity = "control"
    needs = Needs(source="labelled", target="unlabelled")
    cycle = 1

    @dataclass(frozen=True)
    class Params:
        label: int = param(
            0, "the class every target image is trained to", "chosen: any will do", least=0, of_class=True
        )

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        half = len(batch.x_s)
        logits = self.model(batch.joint)
        source = F.cross_entropy(logits[:half], batch.y_s)
        target = F.cross_entropy(logits[half:], torch.full_like(batch.y_s, self.params.label))
        return source + target, {"source": source.detach(), "target": target.detach()}
