"""What an image is between the disk and a net: 8 bits, a picture in 0..1, and normalised; and how it is moved.

    .venv/bin/pytest tests/methods/test_images.py
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# ImageNet's statistics, on digits too: what every code base of the field does (baselines.md A3).
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """uint8 (n,3,S,S) -> float32, /255 then ImageNet mean and std, channels_last: the published transform chain."""
    mean, std = _statistics(images)
    # in place, so that memory is gone through less often; the same operations, and bits, as the chain's
    pictures = images.to(torch.float32, copy=True).div_(255).sub_(mean).div_(std)
    return pictures.contiguous(memory_format=torch.channels_last)


def from_pixels(pictures: Tensor) -> Tensor:
    """Pictures in 0..1, (n,3,S,S), as nets take them: normalised, channels_last; differentiable."""
    mean, std = _statistics(pictures)
    return ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)


def to_pixels(images: Tensor) -> Tensor:
    """What `from_pixels` made of pictures, back in 0..1."""
    mean, std = _statistics(images)
    return images * std + mean


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in 0..1 as uint8, the form in which images lie on disk."""
    return (pictures * 255).round().clamp(0, 255).to(torch.uint8)


def shifted(images: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """Each image (n,3,S,S) moved down by its own dy and right by its own dx pixels, (n,) int64; the pixels of the edge
    are repeated into what is uncovered, so that no border appears which the domain does not have."""
    n, c, size = len(images), images.shape[1], images.shape[-1]
    pixels = torch.arange(size, device=images.device)
    rows = (pixels - dy[:, None]).clamp(0, size - 1)
    columns = (pixels - dx[:, None]).clamp(0, size - 1)
    # one gather over places in the flat image: indexing by rows and columns takes 3 to 12 times as long on a CPU
    places = (rows[:, :, None] * size + columns[:, None, :]).view(n, 1, size**2).expand(n, c, size**2)
    return images.reshape(n, c, size**2).gather(2, places).view(n, c, size, size)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    return _made(images.device)


@cache
def _made(device: torch.device) -> tuple[Tensor, Tensor]:
    """Once for each device: a tensor made of Python's numbers stops a GPU's host until the device has caught up."""
    with torch.inference_mode(False):  # where scoring comes first, training goes on with them
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return mean, std
