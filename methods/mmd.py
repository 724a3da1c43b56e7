"""MMD^2 under NTL's mixture of five kernels: exact, with its gradient written out, in memory of n x n numbers.

    .venv/bin/pytest tests/methods/test_mmd.py
    make bench                                      R1: beside the published form

The released code materialises n x n x D differences: 1 GB at VGG11, 64 px, B = 32. A Gram matrix needs n x n only, but
cancels when the domains lie far apart, which is what NTL makes them do. So each domain is centred on its own mean, and
the distance between the means is added where the two meet: exact to 1e-6 there too (performance.md 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TINY = torch.finfo(torch.float32).tiny


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Biased MMD^2 of x and y, both (B, D), under NTL's mixture of five RBF kernels; scalar, fp32 whatever the
    precision around it.

    With z = [x; y], n = 2B, d_ij = |z_i - z_j|^2 and w = sum(d) / (n^2 - n) / 4 (no gradient), the kernel is
    sum_{i=0..4} exp(-d / (2^i w)) and MMD = mean(K_xx + K_yy - K_xy - K_yx) (baselines.md B1)."""
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"mmd takes two (B, D) tensors of one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    with torch.autocast(x.device.type, enabled=False):
        value: Tensor = _MMD.apply(x.float(), y.float())
        return value


class _MMD(torch.autograd.Function):
    """Saves the centred points and one n x n matrix: dMMD/dd_ij, which is all that the gradient is made of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        half, n = len(x), 2 * len(x)
        mean_x, mean_y = x.mean(0), y.mean(0)
        z = torch.cat([x - mean_x, y - mean_y])
        delta = mean_x - mean_y
        with _exact():
            gram = z @ z.T
            along = z @ delta  # how far each point lies towards the other domain
        squares = gram.diagonal()
        d = squares[:, None] + squares[None, :] - 2 * gram
        # across: |u_i - v_j + delta|^2 = |u_i - v_j|^2 + |delta|^2 + 2 (u_i - v_j) . delta
        across = 2 * (along[:half, None] - along[None, half:]) + delta.square().sum()
        d[:half, half:] += across
        d[half:, :half] += across.T
        d = d.clamp_min(0).fill_diagonal_(0)  # d_ii is 0, not rounding noise
        width = (d.sum() / (n * n - n) / 4).clamp_min(TINY).double()
        # The means nearly cancel when the domains are close: in fp64, which costs little on n x n numbers. Five kernels
        # from one exp: the widest, then four squarings.
        e = [torch.exp(d.double() / (-16 * width))]
        for _ in range(4):
            e.append(e[-1] * e[-1])
        kernel = e[0] + e[1] + e[2] + e[3] + e[4]
        slope = (e[0] / 16 + e[1] / 8 + e[2] / 4 + e[3] / 2 + e[4]) / (-width * half * half)
        for block in (kernel, slope):  # the two blocks across count against
            block[:half, half:].neg_()
            block[half:, :half].neg_()
        ctx.save_for_backward(z, delta, slope.fill_diagonal_(0).float())
        return (kernel.sum() / (half * half)).float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Sum over j of 4 P_ij (z_i - z_j), with P = dMMD/dd symmetric, and delta between points of two domains."""
        z, delta, slope = ctx.saved_tensors
        half = len(z) // 2
        slope = 4 * grad * slope
        across = torch.cat([slope[:half, half:].sum(1), -slope[half:, :half].sum(1)])
        with _exact():
            made = slope.sum(1, keepdim=True) * z - slope @ z
        made += across[:, None] * delta
        return made[:half], made[half:]


@contextmanager
def _exact() -> Iterator[None]:
    """Products of a GPU in 32 bits, in a cell whose nets have them in tf32."""
    settings: Any = torch.backends.cuda.matmul  # Any: what the module holds is not declared
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before
