"""Attacks: what somebody makes of a model he holds, with a few images of a target. One file = one attack.

    mapbench run digits-mini -a 'bn-reestimate+probe' -a 'probe[n=50]'

An attack keeps the contract of a method (params, setup, optimizers, step, finish) and is found the same ways. `setup`
gets a copy of the model that is attacked; `access.target()` and the batches hold `n` images of the attacker's part of
one target, which nobody trained on and nothing is scored on. Its cell is of kind `attack`, a child of the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods import UndeclaredError
from methods.base import Method, Needs, Supply


@dataclass(frozen=True)
class AttackNeeds(Needs):
    """What an attacker has beside the model: n images of a target, with or without labels, and nothing of the owner."""

    source: Supply = "none"

    def refusal(self, who: str, what: str) -> UndeclaredError:
        return UndeclaredError(
            f"{who} asked for {what}, but an attack is served {self.target} images of its target's attacker part and "
            "no others: neither what the owner trained on nor what is scored"
        )


class Attack(Method):
    """Base of all attacks. How many images it gets is the harness's own param, `n`.

    One that trains is given f_s's recipe and as many steps as an f_s of that target has, in batches of at most n."""

    needs: ClassVar[Needs] = AttackNeeds()
    fidelity: ClassVar[str] = "attack"
    blind: ClassVar[bool] = False  # True: it begins with the initial weights and looks at no model, so it serves all
