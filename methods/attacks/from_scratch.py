"""`from-scratch`: no attack at all, but what every attack is read beside: the same n images and no model.

    mapbench run digits-mini -a from-scratch

A net of the same backbone and initial weights, trained by f_s's recipe for f_s's number of steps. Whoever gets no
further with the protected model than this has gained nothing from holding it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from methods.attacks import Attack
from methods.base import Batch


class FromScratch(Attack):
    name = "from-scratch"
    blind = True

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return F.cross_entropy(self.model(batch.x_t), batch.y_t), {}
