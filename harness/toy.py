"""A toy pair and its f_s, drawn and trained in seconds: what `mapbench check` and the tests of methods/ run on.

    mapbench check sa-map

Ten classes of noise with a bright square, whose place is the class; the target's pictures have less contrast. A small
net learns the source in 64 steps and knows the target as well. It shows whether a method works, never how well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from harness.access import DataAccess
from harness.cards import Card, load
from harness.training import Fitted, fit
from methods.base import Method
from methods.controls.continue_ import Continue
from suites import backbones
from suites.schema import Recipe

BACKBONE, CLASSES, SIZE = "convnet", 10, 32  # pixels
RECIPE = Recipe.model_validate(
    {"optimizer": "adam", "lr": 1e-3, "batch": 32, "epochs": 8, "schedule": "linear"}  # 8 steps an epoch
)
Part = tuple[Tensor, Tensor]
Served = Callable[..., DataAccess]


def domain(seed: int, n: int = 256, faded: bool = False) -> Part:
    """uint8 images (n,3,32,32) whose class (of 10) is where the bright square sits, and labels int64 (n,)."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    images = torch.randint(0, 80, (n, 3, SIZE, SIZE), generator=g)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[:, 4 + row * 14 : 12 + row * 14, 1 + column * 6 : 6 + column * 6] += 150
    images = images.clamp(max=255).to(torch.uint8)
    return ((images.float() * 0.6 + 60).to(torch.uint8) if faded else images), labels


def pair(seed: int) -> dict[str, Part]:
    """A source and a target part; parts of two seeds are disjoint draws from the same two domains."""
    return {"source": domain(2 * seed + 1), "target": domain(2 * seed + 2, faded=True)}


def network(seed: int) -> nn.Module:
    """The toy's backbone, untrained."""
    return backbones.build(BACKBONE, CLASSES, SIZE, seed)


def train(
    method: Method,
    model: nn.Module,
    parts: dict[str, Part],
    access: Served = DataAccess,
    inputs: Mapping[str, Any] | None = None,
    precision: str = "fp32",
    **changes: Any,
) -> Fitted:
    """The real loop on the toy's parts; `changes` are of the recipe. Seeded here, so that two calls do the same."""
    recipe = RECIPE.model_copy(update=changes)
    torch.manual_seed(0)
    given = parts if method.needs.target != "none" else {"source": parts["source"]}
    served = access(method, given, recipe, CLASSES, SIZE, 0, inputs, len(parts["source"][0]))
    *_, fitted = fit(method, model, served, recipe, precision=precision)
    assert isinstance(fitted, Fitted)
    return fitted


@cache
def source_state() -> dict[str, Tensor]:
    """The state_dict of f_s, trained on the source part of pair(0)."""
    model = train(Continue(), network(0), pair(0)).model
    return {k: v.clone() for k, v in model.state_dict().items()}


def inputs(card: Card, known: Mapping[str, Card]) -> dict[str, nn.Module]:
    """The synthesisers and the method beside that a method names, trained on the toy's f_s for a few steps: enough to
    have the form."""
    made = {}
    for name in filter(None, (*card.inputs, card.beside)):
        f_s = network(1)
        f_s.load_state_dict(source_state())
        maker = load(known[name], known[name].check({}, "toy"))
        fitted = train(maker, f_s, pair(0), inputs=inputs(known[name], known), batch=64, epochs=2, lr=2e-3)
        made[name] = fitted.model.requires_grad_(False)
    return made
