"""Means and variances of maps, as methods compare and replace them: in float32, and quickly where channels lie last.

    .venv/bin/pytest tests/methods/test_moments.py

torch's own var goes from number to number over the axes of such a map: 405 us for (16,16,16,16) on one core, where two
passes that go with the memory take 70.
"""

from __future__ import annotations

from torch import Tensor


def moments(maps: Tensor, over: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of `maps` over some axes, which stay with length 1; float32, differentiable."""
    maps = maps.float()
    mean = maps.mean(over, keepdim=True)
    # from the mean as a number: deviations add up to nothing, so the gradient through it would be nothing
    apart = maps - mean.detach()
    return mean, apart.square().sum(over, keepdim=True) / (maps.numel() // mean.numel() - 1)
