"""`bn-reestimate+probe`: first BatchNorm's statistics, then the last layer, on the same n labelled images.

    mapbench run digits-mini -a 'bn-reestimate+probe'

The cheapest attacker who holds the weights: a second of work, nothing to choose.
"""

from __future__ import annotations

from torch import nn

from methods.attacks.bn_reestimate import reestimate
from methods.attacks.probe import Probe
from methods.base import Access


class BNReestimateProbe(Probe):
    name = "bn-reestimate+probe"

    def setup(self, model: nn.Module, access: Access) -> None:
        self.flags += reestimate(model, access.target()[0])
        super().setup(model, access)
