"""R1: NTL's multi-kernel MMD, forward and backward, beside the form that writes out every n x n x D difference.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R1
    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R1 --peer NTL    a checkout of the official repository

Loss and gradient are first held to a float64 run of the plain form, also where cheap forms cancel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.mmd import mmd
from tests.bench.clock import Benchmark, Sides, agree, within
from tests.bench.published import Published

BATCH, WIDTH = 32, 2048
EXACT = 1e-6
CASES = {  # performance.md 5: the last four separate the exact forms from the cancelling ones
    "ordinary": lambda x, y: (x, y),
    "common mean +100": lambda x, y: (x + 100, y + 100),
    "mean 10, spread 0.01": lambda x, y: (10 + 0.01 * x, 10 + 0.01 * y),
    "domains 50 apart, 0.01 inside": lambda x, y: (0.01 * x, 50 + 0.01 * y),
    "duplicates, and near-dead 1e-6": lambda x, y: (1e-6 * x[:16].repeat(2, 1), 1e-6 * y),
}


def graded(form: object, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """The loss and its gradient, (2B, D), of fresh leaves of the same values."""
    x, y = x.detach().clone().requires_grad_(), y.detach().clone().requires_grad_()
    loss = form(x, y)  # type: ignore[operator]
    loss.backward()
    assert x.grad is not None and y.grad is not None
    return float(loss.detach()), torch.cat([x.grad, y.grad])


def prepare(form: Published) -> Sides:
    drawn = torch.randn(2, BATCH, WIDTH, generator=torch.Generator().manual_seed(0))
    for name, made in CASES.items():
        x, y = made(*drawn)
        loss, gradient = graded(mmd, x, y)
        wanted, exact = graded(form.mmd, x.double(), y.double())
        agree(f"MMD, {name}", loss, wanted, EXACT)
        within(f"gradient of the MMD, {name}", float((gradient.double() - exact).norm() / exact.norm()), EXACT)
    x, y = drawn
    return Sides(lambda: one(mmd, x, y), lambda: one(form.mmd, x, y))


def one(form: object, x: Tensor, y: Tensor) -> None:
    graded(form, x, y)


BENCHMARKS = [Benchmark("R1", f"MMD forward and backward, B={BATCH}, D={WIDTH}", 20, prepare)]
