"""`magnitude-mask`: each layer loses its smallest weights, as many as sa-map prunes there: pruning without a target.

    mapbench run digits-mini -m magnitude-mask

It trains sa-map on the same data, only to learn how many weights go in each layer. Where sa-map's scores start at |w|
(see there), this is what they would prune had the loss no say.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.sa_map import SAMap


class MagnitudeMask(SAMap):
    name = "magnitude-mask"
    control = True
    fidelity = "control"

    def masks(self) -> dict[str, Tensor]:
        return {name: self._largest(self.weights[name], mask) for name, mask in super().masks().items()}

    def _largest(self, weight: Tensor, mask: Tensor) -> Tensor:
        """True at as many of the largest |w| as `mask` keeps, exactly; of equal ones the first in the layer go"""
        keep = torch.ones(mask.numel(), dtype=torch.bool, device=mask.device)
        keep[weight.abs().flatten().argsort(stable=True)[: int((~mask).sum())]] = False
        return keep.view_as(mask)
