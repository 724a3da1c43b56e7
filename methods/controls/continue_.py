"""`continue`: f_s trained on with source only, for the budget every method has.

    mapbench run digits-mini -m continue

Shows what a source_drop below zero is worth: extra training alone can give one (trials.md). The harness trains f_s
itself with this same step, from the initial weights.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from methods.base import Batch, Method, Needs


class Continue(Method):
    name = "continue"
    control = True
    fidelity = "control"
    needs = Needs(source="labelled", target="none")
    cycle = 1

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss = F.cross_entropy(self.model(batch.x_s), batch.y_s)
        return loss, {"source": loss.detach()}
