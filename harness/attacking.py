"""What an attack is served and how long it may train: n images of the attacker's part of its target, f_s's own budget.

mapbench run digits-mini -a 'probe[n=50]'
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.cells import stable_seed
from harness.scoring import part_of
from suites.schema import Recipe, Suite


def images(data: Path, suite: Suite, spec: dict[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """The attacker's n images uint8 (n,3,S,S) and their labels (n,), by the spec of an attack cell.

    Drawn by target and seed alone: all attacks on a target get the same ones, and fewer are always among more. The
    classes take turns, for of 20 images drawn blindly of ten classes one or two have none, and an attacker who labels
    20 sees to that."""
    held, labels = part_of(data, suite, spec, spec["target"], "attacker", device)
    draws = torch.Generator().manual_seed(stable_seed("attacker", spec["target"], spec["seed"]))
    order = torch.randperm(len(held), generator=draws)
    drawn = labels.cpu()[order]
    turn = F.one_hot(drawn).cumsum(0).gather(1, drawn[:, None])[:, 0]  # an image is the turn-th of its class
    rows = order[turn.argsort(stable=True)][: spec["attack_params"]["n"]]
    return held[rows.to(held.device)].to(device), labels[rows.to(device)]


def budget(recipe: Recipe, n: int, owned: int) -> Recipe:
    """`recipe`, f_s's, for n images: the steps that an f_s of the target takes, which has `owned` train images; in
    batches of n where that is smaller than the recipe's."""
    batch = min(recipe.batch, n)
    epochs = recipe.epochs * (owned // recipe.batch) / (n // batch)
    return recipe.model_copy(update={"batch": batch, "epochs": max(1, round(epochs))})
