"""How much faster the style branches are by Fourier transforms than by PyTorch's own convolutions, on this machine.

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python tests/bench/neighbours.py

Equality first, forwards and backwards; then one forward and backward pass of 128 pictures of 32 x 32, a step's worth.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.synthesis.neighbours import COLOUR_DROP, Kernels, Styles

ROUNDS = 6


def direct(net: Styles, images: Tensor, kernels: Kernels, shares: Tensor) -> Tensor:
    """The same by conv2d and conv_transpose2d; draws what `Styles.forward` draws."""
    noisy = images + 0.01 * net.noise * torch.randn_like(images)
    branches = [torch.tanh(F.conv2d(F.dropout(noisy, COLOUR_DROP), kernels[0][0]))]
    for (there, back), scale, shift in zip(kernels[1:], net.scales, net.shifts, strict=True):
        h = F.instance_norm(F.conv2d(noisy, there)) * scale + shift
        branches.append(torch.tanh(F.conv_transpose2d(h, back)))
    return torch.sigmoid((shares.view(-1, 1, 1, 1, 1) * torch.stack(branches)).sum(0))


def both(pictures: int, size: int = 32) -> list[tuple[list[Tensor], float]]:
    """What each of the two makes and all its gradients, and the seconds of a pass, the first one aside."""
    torch.manual_seed(0)
    net, images = Styles(size), torch.rand(pictures, 3, size, size)
    kernels = net.draw(torch.Generator().manual_seed(0))
    shares = torch.full((len(kernels),), 1 / len(kernels))
    found = []
    for one in (direct, Styles.forward):
        ends = []
        for _ in range(1 + ROUNDS):
            net.zero_grad()
            torch.manual_seed(1)
            made = one(net, images, kernels, shares)
            made.square().sum().backward()
            ends.append(time.perf_counter())
        found.append(([made.detach(), *(p.grad for p in net.parameters())], (ends[-1] - ends[0]) / ROUNDS))
    return found


if __name__ == "__main__":
    (plain, slow), (made, fast) = both(128)
    for wanted, got in zip(plain, made, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    print(f"direct {slow * 1e3:.0f} ms, Fourier {fast * 1e3:.0f} ms: {slow / fast:.1f} times as fast")
