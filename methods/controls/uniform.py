"""`uniform`: the target is trained to uniform output, the source to its labels.

    mapbench run digits-mini -m uniform

The plainest way to take the knowledge out of the logits rather than permute it: the row to beat on `decoded`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from methods.base import Batch, Method, Needs


class Uniform(Method):
    name = "uniform"
    control = True
    fidelity = "control"
    needs = Needs(source="labelled", target="unlabelled")
    cycle = 1

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        half = len(batch.x_s)
        logits = self.model(batch.joint)
        source = F.cross_entropy(logits[:half], batch.y_s)
        target = -F.log_softmax(logits[half:], 1).mean()  # cross entropy to the uniform distribution
        return source + target, {"source": source.detach(), "target": target.detach()}
