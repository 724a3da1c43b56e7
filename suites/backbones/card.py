"""What can be said of a backbone without torch, and what its net has to name. Every family's file fills in both.

    mapbench list backbones
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Card:
    """A backbone as planning sees it. `macs` and `tap` are functions of the image size S, in pixels."""

    source: str  # where its shape comes from
    stride: int  # pixels of the image to one of the last map; smaller images are refused
    macs: Callable[[int, int], int]  # (S, classes) -> multiply-adds of one forward pass of one image
    tap: Callable[[int], int]  # S -> height and width of the last tap's map; 0 where there is none
    multiple: int = 1  # S must be one of this
    head: str = ""  # the parameters below this name are ours, all others the publisher's
    weights: str | None = None  # the file of the publisher's ImageNet weights; None: there is none

    def last_tap(self, image_size: int) -> int:
        """Height and width, in pixels, of the last tap's map; 0 for a net without maps to tap."""
        return self.tap(image_size)

    def gflop(self, image_size: int, classes: int = 10) -> float:
        """GFLOP of one forward pass of one image: 2 per multiply-add of convolutions, linear layers and attention.

        Counted, not measured; a test compares it with what torch's own counter sees."""
        return 2e-9 * self.macs(image_size, classes)

    def refusal(self, image_size: int) -> str | None:
        """Why the net is undefined at this image size, as the end of a sentence that begins with its name; or None."""
        if image_size < self.stride:
            return f"needs images of at least {self.stride} px, this suite has {image_size}"
        if image_size % self.multiple:
            return f"needs a multiple of its patch, {self.multiple} px, as image size; this suite has {image_size}"
        return None


def conv(kernel: int, wide_in: int, wide: int, size: int) -> int:
    """Multiply-adds of a square convolution whose output map is size x size."""
    return kernel * kernel * wide_in * wide * size * size


def halved(size: int, times: int) -> int:
    """A map's size after so many strides of 2 that keep the odd pixel (padded convolutions, patch merging)."""
    for _ in range(times):
        size = (size + 1) // 2
    return size


def named(net: nn.Module, taps: tuple[str, ...], feature_tap: str, embedding: str) -> nn.Module:
    """`net`, naming the modules that methods hang on to.

    `taps`: CUTI's stages, whose outputs are maps (B, C, H, W) with channels second, whatever the net computes in; ()
    where it has none. `feature_tap`: NTL's MMD, any shape with B first. `embedding`: penultimate, (B, D)."""
    net.taps, net.feature_tap, net.embedding = taps, feature_tap, embedding  # type: ignore[assignment]
    return net
