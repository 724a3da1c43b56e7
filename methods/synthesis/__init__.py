"""Synthesisers: they make images where a scenario has none. One file = one synthesiser; its cell is of kind `synth`.

    mapbench list methods

A synthesiser is trained once per source model and shared by every method that names it in `inputs`. It keeps the
contract of a method (needs, params, setup, optimizers, step); what it finishes with is a module that can do one of

    draw(count, generator)                  -> images uint8 (count,3,S,S), labels int64: a stand-in for the source
    neighbours(images, labels, generator)   -> the same for images near those given: a stand-in for unknown targets

and `blank` gives an untrained one, which a checkpoint is loaded into.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from methods.base import Access, Method, Needs

# ImageNet's statistics, those that images are normalised by before any net sees them (baselines.md A3).
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def from_pixels(images: Tensor) -> Tensor:
    """Pictures in 0..1, (n,3,S,S), as f_s takes them: normalised, channels_last; differentiable."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def to_pixels(images: Tensor) -> Tensor:
    """What `from_pixels` made of pictures, back in 0..1."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return images * std + mean


def to_bytes(images: Tensor) -> Tensor:
    """Pictures in 0..1 as uint8, the form in which real images lie on disk."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


class Synthesiser(Method, ABC):
    """Base of all synthesisers. `setup` gets f_s, which stays as it is."""

    needs: ClassVar[Needs] = Needs(source="none", target="none")
    plain: ClassVar[bool] = False  # what it finishes with is no classifier

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model.eval().requires_grad_(False), access)

    @abstractmethod
    def blank(self, classes: int, image_size: int) -> nn.Module:
        """An untrained module of the shape that `finish` returns under these params."""
