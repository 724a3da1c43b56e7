"""Other looks for a picture whose shapes stay: cheap stand-ins for domains that nobody has seen.

    .venv/bin/pytest tests/methods/test_looks.py

L2D's style branches (synthesis/neighbours.py) blur a digit so much that f_s reads 10 to 40 % of them, and a picture
that f_s cannot read teaches a mask nothing. These only change light and colour. Ours, and written for pictures of
anything; but that they are of use was seen on digits-mini's val parts alone.

All take pictures (n,3,S,S) in 0..1 and give the same; each picture gets strengths of its own from torch's generator.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT = 0.02  # added to a channel's standard deviation, so that a plain picture stays plain


def standardised(x: Tensor) -> Tensor:
    """Each channel of each picture with mean 0 and standard deviation 1."""
    return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + FLAT)


def within(low: float, high: float, like: Tensor, channels: int = 1) -> Tensor:
    """Evenly drawn numbers, (n,channels,1,1)."""
    return low + (high - low) * torch.rand(len(like), channels, 1, 1, device=like.device)


def grey(x: Tensor) -> Tensor:
    """The mean of the channels, in all three."""
    return x.mean(1, keepdim=True).expand_as(x)


def colour(x: Tensor) -> Tensor:
    """Every channel with a mean and a contrast of its own, half of the pictures as a negative."""
    sign = 1 - 2 * torch.randint(2, (len(x), 1, 1, 1), device=x.device)
    return (standardised(x) * within(0.1, 0.3, x, 3) * sign + within(0.15, 0.85, x, 3)).clamp(0, 1)


def pale(x: Tensor) -> Tensor:
    """Grey, of any mean and little contrast."""
    return (standardised(grey(x)) * within(0.1, 0.35, x) + within(0.15, 0.85, x)).clamp(0, 1)


def bold(x: Tensor) -> Tensor:
    """Grey, rather dark and of much contrast."""
    return (standardised(grey(x)) * within(0.25, 0.45, x) + within(0.2, 0.5, x)).clamp(0, 1)


def ink(x: Tensor) -> Tensor:
    """Two greys and little between them, light on dark, half of the pictures at half the resolution."""
    size = x.shape[-1]
    h = grey(x)
    coarse = F.interpolate(F.avg_pool2d(h, 2, ceil_mode=True), size=size, mode="bilinear", align_corners=False)
    h = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, coarse, h)
    inked = torch.sigmoid(standardised(h) * within(2, 5, x) - within(0, 2, x))
    return torch.lerp(within(0, 0.15, x).expand_as(x), within(0.6, 1, x).expand_as(x), inked)


def texture(x: Tensor) -> Tensor:
    """Drawn over clouds of colour, half of the pictures as a negative. The clouds' spectrum is an amplitude of 1 /
    frequency, as that of photographs (Field, 1987), or falls up to twice as steeply, as in blurred ones."""
    size = x.shape[-2:]
    down, across = torch.fft.fftfreq(size[0], device=x.device), torch.fft.rfftfreq(size[1], device=x.device)
    frequency = torch.hypot(down[:, None], across).clamp_min(1 / max(size))
    clouds = standardised(torch.fft.irfft2(torch.fft.rfft2(torch.randn_like(x)) / frequency ** within(1, 2, x), s=size))
    clouds = torch.lerp(grey(clouds), clouds, within(0, 1, x))
    sign = 1 - 2 * torch.randint(2, (len(x), 1, 1, 1), device=x.device)
    drawn = standardised(grey(x)) * within(0.1, 0.3, x) * sign
    return (drawn + clouds * within(0.05, 0.25, x) + within(0.25, 0.75, x, 3)).clamp(0, 1)


LOOKS: dict[str, Callable[[Tensor], Tensor]] = {
    "colour": colour, "pale": pale, "bold": bold, "ink": ink, "texture": texture,
}  # fmt: skip
