"""A source model and batches small enough for a test: two coloured-blob domains a small net learns in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.access import DataAccess
from harness.training import Fitted, fit
from methods.base import Method
from methods.controls.continue_ import Continue
from suites import backbones
from suites.schema import Recipe

torch.set_num_threads(1)
RECIPE = Recipe(optimizer="adam", lr=1e-3, batch=32, epochs=4, schedule="linear")


def domain(seed: int, n: int = 256, inverted: bool = False) -> tuple[Tensor, Tensor]:
    """uint8 images (n,3,32,32) whose class (of 10) is where the bright square sits; the target's are inverted."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 10, (n,), generator=g)
    images = torch.randint(0, 80, (n, 3, 32, 32), generator=g)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[:, 4 + row * 14 : 12 + row * 14, 1 + column * 6 : 6 + column * 6] += 150
    images = images.clamp(max=255)
    return ((255 - images) if inverted else images).to(torch.uint8), labels


@pytest.fixture(scope="session")
def parts() -> dict[str, tuple[Tensor, Tensor]]:
    """Train parts of a source and a target that f_s handles too."""
    source, target = domain(1), domain(2)
    darker = (target[0].float() * 0.6 + 60).to(torch.uint8), target[1]
    return {"source": source, "target": darker}


@pytest.fixture(scope="session")
def train(parts: dict[str, tuple[Tensor, Tensor]]) -> Callable[..., Fitted]:
    """train(method, model, inputs={}, epochs=4): the real loop on the toy domains."""

    def run(method: Method, model: nn.Module, inputs: dict[str, Any] | None = None, **changes: Any) -> Fitted:
        recipe = RECIPE.model_copy(update=changes)
        torch.manual_seed(0)
        held = parts if method.needs.target != "none" else {"source": parts["source"]}
        access = DataAccess(method, held, recipe, 10, 32, 0, inputs, len(parts["source"][0]))
        *_, fitted = fit(method, model, access, recipe)
        assert isinstance(fitted, Fitted)
        return fitted

    return run


@pytest.fixture(scope="session")
def source_state(train: Callable[..., Fitted]) -> dict[str, Tensor]:
    """The state_dict of a trained f_s."""
    model = train(Continue(), backbones.build("convnet", 10, 32, 0), epochs=8).model
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.fixture
def f_s(source_state: dict[str, Tensor]) -> nn.Module:
    """A fresh copy of f_s."""
    model = backbones.build("convnet", 10, 32, 1)
    model.load_state_dict(source_state)
    return model
