"""ViT-B/16: torchvision's net, one linear layer on the class token, as in NTLBench (baselines.md A4).

    mapbench list backbones

It has no taps: CUTI re-styles maps by their spatial statistics, and public codes do not agree on what that means for
tokens that all attend to each other (NTLBench: after every block, B3), so CUTI is refused here rather than guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from suites.backbones.card import Card, conv, named

if TYPE_CHECKING:
    from torch import nn

PATCH, BLOCKS, WIDE = 16, 12, 768


def _macs(size: int, classes: int) -> int:
    tokens = (size // PATCH) ** 2 + 1  # the class token
    block = 12 * WIDE * WIDE * tokens + 2 * WIDE * tokens**2  # q, k, v and out: 4; the perceptron: 8; attention
    return conv(PATCH, 3, WIDE, size // PATCH) + BLOCKS * block + WIDE * classes


CARDS = {
    "vit_b_16": Card(
        "torchvision's vit_b_16, head one linear layer on the class token, as NTLBench (baselines.md A4)",
        PATCH, _macs, lambda size: 0, multiple=PATCH, head="heads.", weights="vit_b_16-c867db91.pth",
    )
}  # fmt: skip


def build(name: str, classes: int, image_size: int) -> nn.Module:
    """The net with a position embedding for (S/16)^2 + 1 tokens. The head by PyTorch's defaults, as all our heads:
    torchvision's starts at zero, on which sa-map's scores, relative to the mean weight, would be undefined."""
    from collections import OrderedDict

    from torch import nn
    from torchvision import models

    net = getattr(models, name)(weights=None, image_size=image_size)
    # The class token is cut out in forward(), where nothing can be hung: the identity names it.
    net.heads = nn.Sequential(OrderedDict(embedding=nn.Identity(), head=nn.Linear(WIDE, classes)))
    return named(net, (), "heads.embedding", "heads.embedding")
