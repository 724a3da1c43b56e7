"""`untrained`: the initial weights, never trained; what the attackers' probes read out of an empty net.

    mapbench run digits-mini -m untrained

Pixels alone carry class information: a logits probe on a random net is far above chance (trials.md 5). A method whose
`target_decoded` is no lower than this row's has removed nothing more than training put in.
"""

from __future__ import annotations

from torch.optim import Optimizer

from methods.base import Method, Needs


class Untrained(Method):
    name = "untrained"
    control = True
    fidelity = "control"
    start = "init"
    needs = Needs(source="none", target="none")

    def optimizers(self) -> list[Optimizer]:
        return []
