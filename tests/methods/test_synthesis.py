"""Generated images: drawn from f_s alone, of every class, not all alike, and f_s itself stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.training import Fitted, logits
from methods.synthesis.source_generator import EPS, Source, SourceGenerator, _closeness, _doubled
from suites import backbones

Train = Callable[..., Fitted]
AS_DRAWN: dict[str, Any] = {"batch": 64, "epochs": 25, "lr": 2e-3}


@pytest.fixture(scope="module")
def drawn(source_state: dict[str, Tensor], train: Train) -> tuple[Source, dict[str, Tensor]]:
    """A generator of the toy f_s, and f_s's state afterwards."""
    model = backbones.build("convnet", 10, 32, 1)
    model.load_state_dict(source_state)
    fitted = train(SourceGenerator(), model, **AS_DRAWN)
    assert isinstance(fitted.model, Source)
    return fitted.model, model.state_dict()


def test_f_s_is_bitwise_what_it_was(drawn: tuple[Source, dict[str, Tensor]], source_state: dict[str, Tensor]) -> None:
    assert all(torch.equal(v, source_state[k]) for k, v in drawn[1].items())


def test_f_s_takes_the_images_for_what_they_were_drawn_as(
    drawn: tuple[Source, dict[str, Tensor]], f_s: nn.Module
) -> None:
    images, labels = drawn[0].draw(500, torch.Generator().manual_seed(0))
    assert (images.dtype, images.shape) == (torch.uint8, (500, 3, 32, 32))
    assert torch.bincount(labels, minlength=10).min() > 25  # every class, about 50 times
    assert (logits(f_s, images).argmax(1) == labels).float().mean() > 0.9
    untrained, meant = SourceGenerator().blank(10, 32).draw(500, torch.Generator().manual_seed(0))
    assert (logits(f_s, untrained).argmax(1) == meant).float().mean() < 0.3


def test_two_images_of_a_class_differ(drawn: tuple[Source, dict[str, Tensor]]) -> None:
    images, labels = drawn[0].draw(200, torch.Generator().manual_seed(0))
    for label in range(10):
        mine = images[labels == label].float().flatten(1)
        assert torch.cdist(mine, mine).sum() / (len(mine) * (len(mine) - 1)) > 1000  # 18 grey levels a pixel


def test_mode_seeking_is_its_formula_and_part_of_the_loss(f_s: nn.Module) -> None:
    """Mean of 1 / (difference + EPS) over the pairs (i, i + n/2): two equal pictures cost most."""
    a, b = torch.zeros(2, 3, 4, 4), torch.stack([torch.full((3, 4, 4), 0.2), torch.zeros(3, 4, 4)])
    assert float(_closeness(torch.cat([a, b]), 1.0)) == pytest.approx((1 / (0.2 + EPS) + 1 / EPS) / 2)
    costs = []
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        maker = SourceGenerator(SourceGenerator.Params(spread=weight, spread_pixels=weight))
        maker.setup(f_s, SimpleNamespace(classes=10, image_size=32, batch=64))  # type: ignore[arg-type]
        loss, terms = maker.step(None)  # type: ignore[arg-type]
        assert float(loss.detach()) == pytest.approx(float(sum(terms.values())), rel=1e-5)
        costs.append(float(terms["spread"]))
    assert costs[0] == 0 < costs[1]


def test_draws_follow_their_generator_alone(drawn: tuple[Source, dict[str, Tensor]]) -> None:
    def images(seed: int, count: int = 300) -> Tensor:
        return drawn[0].draw(count, torch.Generator().manual_seed(seed))[0]

    first = images(1)
    torch.rand(3)
    assert torch.equal(images(1), first)
    assert not torch.equal(images(2), first)
    assert [len(images(1, n)) for n in (1, 127, 128, 129, 1150)] == [1, 127, 128, 129, 1150]


def test_a_checkpoint_draws_the_same_images(drawn: tuple[Source, dict[str, Tensor]]) -> None:
    again = SourceGenerator().blank(10, 32)
    again.load_state_dict(drawn[0].state_dict())
    pictures = [net.draw(64, torch.Generator().manual_seed(3))[0] for net in (drawn[0], again)]
    assert torch.equal(*pictures)


@pytest.mark.parametrize("size", [33, 38, 64])
def test_pictures_have_the_size_that_was_asked_for(size: int) -> None:
    images, _ = SourceGenerator().blank(10, size).draw(4, torch.Generator())
    assert images.shape == (4, 3, size, size)


def test_a_convolution_of_the_doubled_picture_is_one_of_the_single_one() -> None:
    h, weight = torch.randn(2, 5, 7, 6, requires_grad=True), torch.randn(4, 5, 3, 3, requires_grad=True)
    found = []
    for made in (_doubled(h, weight), F.conv2d(F.interpolate(h, scale_factor=2), weight, padding=1)):
        found.append((made, *torch.autograd.grad(made.square().sum(), (h, weight))))
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_memory_lags_behind(drawn: tuple[Source, dict[str, Tensor]]) -> None:
    fresh, memory = drawn[0].fresh[0].state_dict(), drawn[0].memory[0].state_dict()
    assert any(not torch.equal(fresh[k], memory[k]) for k in fresh)


def test_without_batchnorm_the_run_is_flagged(train: Train) -> None:
    plain = backbones.build("vgg11", 10, 32, 0)
    fitted = train(SourceGenerator(), plain, batch=16, epochs=0)
    assert fitted.flags == ["no-bn-fallback"]
    *_, term = fitted.curves.get("prior", [0.0])
    assert torch.isfinite(torch.tensor(term))
