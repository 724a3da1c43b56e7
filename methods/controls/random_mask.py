"""`random-mask`: a random mask of the density sa-map found for each layer, so that pruning itself can be told from MAP.

    mapbench run digits-mini -m random-mask

It trains sa-map on the same data, then shuffles each layer's mask: same number of weights gone, none chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.sa_map import SAMap


class RandomMask(SAMap):
    name = "random-mask"
    control = True
    fidelity = "control"

    def masks(self) -> dict[str, Tensor]:
        return {name: self._shuffled(mask) for name, mask in super().masks().items()}

    def _shuffled(self, mask: Tensor) -> Tensor:
        order = torch.randperm(mask.numel(), generator=self.access.generator).to(mask.device)
        return mask.flatten()[order].view_as(mask)
