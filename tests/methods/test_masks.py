"""The mask controls: as many weights gone as in the net beside them, layer by layer, and which."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.training import Fitted
from methods.controls.masks import (
    AsDense,
    MagnitudeMask,
    MagnitudeMaskDataFree,
    MagnitudeMaskSourceFree,
    RandomMask,
    RandomMaskDataFree,
    RandomMaskSourceFree,
)
from methods.sa_map import SAMap
from suites import backbones
from tests.methods.conftest import pruned, thinned

Train = Callable[..., Fitted]


def drawn(method: AsDense, state: dict[str, Tensor], beside: nn.Module, train: Train) -> dict[str, Tensor]:
    """What a mask control takes from f_s beside a net."""
    twin = backbones.build("convnet", 10, 32, 1)
    twin.load_state_dict(state)
    return pruned(train(method, twin, {method.beside: beside}).model, state)


CONTROLS = [RandomMask, RandomMaskSourceFree, RandomMaskDataFree]
CONTROLS += [MagnitudeMask, MagnitudeMaskSourceFree, MagnitudeMaskDataFree]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c.name)
def test_mask_controls_have_the_density_of_the_net_beside_them_in_every_layer(
    control: type[AsDense], f_s: nn.Module, source_state: dict[str, Tensor], train: Train
) -> None:
    mapped = pruned(thinned(f_s), source_state)
    mine = drawn(control(), source_state, thinned(f_s), train)
    assert {k: int(v.sum()) for k, v in mine.items()} == {k: v.numel() // 3 for k, v in mapped.items()}
    assert all(not torch.equal(mapped[k], mine[k]) for k in mapped)


def test_mask_controls_count_what_sa_map_took(f_s: nn.Module, source_state: dict[str, Tensor], train: Train) -> None:
    mapped = train(SAMap(), f_s).model
    taken = {k: int(v.sum()) for k, v in pruned(mapped, source_state).items()}
    assert sum(taken.values()) > 100
    assert {k: int(v.sum()) for k, v in drawn(RandomMask(), source_state, mapped, train).items()} == taken


def test_a_draw_is_a_seed_of_its_own(f_s: nn.Module, source_state: dict[str, Tensor], train: Train) -> None:
    beside = thinned(f_s)
    draws = [drawn(RandomMask(RandomMask.Params(draw=d)), source_state, beside, train) for d in (0, 1, 1)]
    for name, gone in draws[0].items():
        assert torch.equal(draws[1][name], draws[2][name])
        both = float((gone & draws[1][name]).sum() / gone.sum())
        assert both == pytest.approx(1 / 3, abs=0.2), name  # a third of a third, as two draws by chance share


def test_magnitude_mask_takes_the_smallest_weights_of_each_layer(
    f_s: nn.Module, source_state: dict[str, Tensor], train: Train
) -> None:
    for name, gone in drawn(MagnitudeMask(), source_state, thinned(f_s), train).items():
        size = source_state[name].abs()
        assert size[gone].max() <= size[~gone].min(), name


def test_magnitude_mask_counts_exactly_where_weights_are_equal() -> None:
    weight = torch.tensor([[1.0, -1, 1], [0, 2, -1]])
    taken = [sorted(MagnitudeMask().gone(weight, count).tolist()) for count in range(7)]
    assert taken == [[], [3], [0, 3], [0, 1, 3], [0, 1, 2, 3], [0, 1, 2, 3, 5], [0, 1, 2, 3, 4, 5]]
