"""Other looks: pictures in 0..1, each with strengths of its own, and what each look promises of light and colour."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.looks import LOOKS


@pytest.fixture
def pictures() -> Tensor:
    """Coloured discs on coloured ground, (64,3,32,32)."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    disc = (x**2 + y**2 < 0.4).float()
    return torch.rand(64, 3, 1, 1) * disc + torch.rand(64, 3, 1, 1) * (1 - disc)


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_keeps_form_and_range_and_follows_torch_s_generator(name: str, pictures: Tensor) -> None:
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(LOOKS[name](pictures))
    assert made[0].shape == pictures.shape
    assert 0 <= float(made[0].min()) <= float(made[0].max()) <= 1
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_what_each_look_is(pictures: Tensor) -> None:
    looks = {name: look(pictures) for name, look in LOOKS.items()}
    apart = {name: float((x[:, 0] - x[:, 1]).abs().mean()) for name, x in looks.items()}
    assert apart["colour"] > 0.1
    assert max(apart[name] for name in ("pale", "bold", "ink")) < 1e-6
    contrast = {name: float(x.std((2, 3)).mean()) for name, x in looks.items()}
    assert contrast["pale"] < contrast["bold"]
    middle = {name: float(((x > 0.2) & (x < 0.5)).float().mean()) for name, x in looks.items()}
    assert middle["ink"] < 0.3 < middle["pale"]


def test_shapes_stay(pictures: Tensor) -> None:
    """Inside the disc and outside of it, every look of a picture is nearly even, and the two differ."""
    inside, outside = (slice(14, 18), slice(14, 18)), (slice(0, 4), slice(0, 4))
    seen = (pictures[..., 16, 16] - pictures[..., 0, 0]).abs().amin(1) > 0.2
    for look in (LOOKS[name] for name in ("colour", "bold")):
        made = look(pictures)[seen]
        for place in (inside, outside):
            assert float(made[(..., *place)].std((2, 3)).mean()) < 0.02
        assert float((made[..., 16, 16] - made[..., 0, 0]).abs().mean()) > 0.2
