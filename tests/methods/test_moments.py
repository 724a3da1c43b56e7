"""Moments of maps against torch's own, with their gradients, in whatever order the memory is."""

from __future__ import annotations

import pytest
import torch

from methods.moments import moments


@pytest.mark.parametrize("over", [(2, 3), (0, 2, 3)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_they_are_torchs_with_their_gradients(over: tuple[int, ...], layout: torch.memory_format, shift: float) -> None:
    """Far from zero too, where a mean of squares less the square of the mean would have lost all."""
    draws = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 5, 7, 6, generator=draws) + shift
    ours = maps.clone(memory_format=layout).requires_grad_()
    exact = maps.double().requires_grad_()
    mean, variance = moments(ours, over)
    wanted = exact.mean(over, keepdim=True), exact.var(over, keepdim=True)
    assert mean.shape == wanted[0].shape and variance.shape == wanted[1].shape
    torch.testing.assert_close(mean.double(), wanted[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(variance.double(), wanted[1], rtol=1e-4, atol=0)
    weights = torch.rand(mean.shape, generator=draws)
    (weights * (mean + variance.sqrt())).sum().backward()
    (weights.double() * (wanted[0] + wanted[1].sqrt())).sum().backward()
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=1e-3, atol=1e-5)  # type: ignore[union-attr]


def test_half_precision_is_computed_in_full() -> None:
    maps = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    mean, variance = moments(maps, (2, 3))
    assert mean.dtype == variance.dtype == torch.float32
    assert torch.allclose(variance, maps.float().var((2, 3), keepdim=True), rtol=1e-5)
