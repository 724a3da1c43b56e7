"""MMD against a plain float64 evaluation of its formula, value and gradient."""

from __future__ import annotations

import pytest
import torch

from methods.mmd import mmd


def plain_mmd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The formula as baselines.md B1 states it, with every n x n x D difference written out."""
    z = torch.cat([x, y])
    n, b = len(z), len(x)
    d = (z[:, None] - z[None, :]).pow(2).sum(-1)
    width = d.detach().sum() / (n * n - n) / 4
    k = torch.stack([torch.exp(-d / (width * 2**i)) for i in range(5)]).sum(0)
    return (k[:b, :b] + k[b:, b:] - k[:b, b:] - k[b:, :b]).mean()


def stress(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The four stress cases of performance.md 5, which separate exact forms from cancelling ones."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 32, 512, generator=g)
    if name == "common mean +100":
        return x + 100, y + 100
    if name == "mean 10, spread 0.01":
        return 10 + 0.01 * x, 10 + 0.01 * y
    if name == "domains 50 apart, 0.01 inside":
        return 0.01 * x, 50 + 0.01 * y
    if name == "duplicates and near-dead":
        return 1e-6 * x[:16].repeat(2, 1), 1e-6 * y
    return x, y


@pytest.mark.parametrize(
    "name",
    [
        "ordinary",
        "common mean +100",
        "mean 10, spread 0.01",
        "domains 50 apart, 0.01 inside",
        "duplicates and near-dead",
    ],
)
def test_mmd_equals_the_formula_in_float64_with_its_gradient(name: str) -> None:
    x, y = (t.requires_grad_() for t in stress(name))
    exact_x, exact_y = (t.detach().double().requires_grad_() for t in (x, y))
    ours, exact = mmd(x, y), plain_mmd(exact_x, exact_y)
    assert abs(float(ours.detach()) - float(exact.detach())) <= 1e-6 * abs(float(exact.detach()))
    ours.backward()
    exact.backward()
    for mine, wanted in ((x.grad, exact_x.grad), (y.grad, exact_y.grad)):
        assert (mine.double() - wanted).norm() <= 1e-6 * wanted.norm()


@pytest.mark.parametrize(("batch", "value"), [(16, 7.678), (32, 7.711), (64, 7.727)])
def test_mmd_of_two_point_clusters(batch: int, value: float) -> None:
    """Oracle of baselines.md F."""
    assert float(mmd(torch.zeros(batch, 8), torch.ones(batch, 8))) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(("batch", "value"), [(16, 0.386), (32, 0.192), (64, 0.097)])
def test_mmd_of_a_distribution_with_itself_is_its_bias(batch: int, value: float) -> None:
    """Oracle of baselines.md F: N(0,1) in 512 dimensions."""
    g = torch.Generator().manual_seed(1)
    drawn = [float(mmd(*torch.randn(2, batch, 512, generator=g))) for _ in range(20)]
    assert sum(drawn) / 20 == pytest.approx(value, rel=0.02)


def test_mmd_refuses_batches_of_two_sizes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        mmd(torch.zeros(3, 4), torch.zeros(2, 4))


def test_mmd_of_equal_points_is_zero_and_finite() -> None:
    x = torch.ones(4, 8, requires_grad=True)
    value = mmd(x, torch.ones(4, 8))
    value.backward()
    assert float(value.detach()) == 0
    assert torch.isfinite(x.grad).all()


def test_another_gradient_than_one_is_passed_on() -> None:
    x, y = (t.requires_grad_() for t in stress("ordinary"))
    mmd(x, y).backward()
    once = x.grad.clone()
    x.grad = None
    (3 * mmd(x, y)).backward()
    assert torch.allclose(x.grad, 3 * once, rtol=1e-5)


def test_bfloat16_is_computed_in_32_bits() -> None:
    x, y = (t.bfloat16().requires_grad_() for t in stress("ordinary"))
    with torch.autocast("cpu", torch.bfloat16):
        value = mmd(x, y)
    value.backward()
    exact = plain_mmd(x.detach().double(), y.detach().double())
    assert value.dtype == torch.float32 and x.grad.dtype == torch.bfloat16
    assert abs(float(value.detach()) - float(exact)) <= 1e-6 * float(exact)


@pytest.mark.parametrize("before", ["tf32", "ieee"])
def test_a_gpus_products_are_exact_inside_and_as_they_were_outside(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    seen, settings = [], torch.backends.cuda.matmul
    product = torch.Tensor.__matmul__

    def watched(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        seen.append(settings.fp32_precision)
        return product(self, other)

    monkeypatch.setattr(settings, "fp32_precision", before)
    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    x, y = (t.requires_grad_() for t in stress("ordinary"))
    mmd(x, y).backward()
    assert len(seen) == 3 and set(seen) == {"ieee"} and settings.fp32_precision == before
