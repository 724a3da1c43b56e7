"""A source model and batches small enough for a test: the toy pair of `mapbench check` (harness/toy.py)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import toy
from harness.training import Fitted
from methods.base import Method
from methods.sa_map import maskable

torch.set_num_threads(1)


def pruned(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """1 where a weight of f_s was set to zero."""
    return {k: (v == 0) & (state[k] != 0) for k, v in model.state_dict().items() if state[k].ndim >= 2}


def thinned(model: nn.Module) -> nn.Module:
    """A copy with the first third of each maskable layer's weights gone: what a mask control may stand beside."""
    made = copy.deepcopy(model)
    for weight in maskable(made).values():
        weight.mul_((torch.arange(weight.numel()) >= weight.numel() // 3).view(weight.shape))
    return made


@pytest.fixture(scope="session")
def parts() -> dict[str, tuple[Tensor, Tensor]]:
    """Train parts of a source and a target that f_s handles too."""
    return toy.pair(0)


@pytest.fixture(scope="session")
def train(parts: dict[str, tuple[Tensor, Tensor]]) -> Callable[..., Fitted]:
    """train(method, model, inputs={}, epochs=4): the real loop on the toy domains."""

    def run(
        method: Method, model: nn.Module, inputs: dict[str, Any] | None = None, epochs: int = 4, **changes: Any
    ) -> Fitted:
        return toy.train(method, model, parts, inputs=inputs, epochs=epochs, **changes)

    return run


@pytest.fixture(scope="session")
def source_state() -> dict[str, Tensor]:
    """The state_dict of a trained f_s."""
    return toy.source_state()


@pytest.fixture
def f_s(source_state: dict[str, Tensor]) -> nn.Module:
    """A fresh copy of f_s."""
    model = toy.network(1)
    model.load_state_dict(source_state)
    return model
