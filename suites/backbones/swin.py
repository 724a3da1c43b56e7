"""Swin-T: torchvision's net with the head of CUTI's Office-Home and VisDA code, 768-256-BN-ReLU-K (baselines.md A4).

    mapbench list backbones

torchvision computes maps as (B, H, W, C). CUTI's code re-styles tokens by one random scalar (B3), ours by the C x C
form it has for VGG, so that the method is the same on every backbone: taps give (B, C, H, W) here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from suites.backbones.card import Card, conv, halved, named

if TYPE_CHECKING:
    from torch import nn

DEPTHS, WINDOW = (2, 2, 6, 2), 7


def _macs(size: int, classes: int) -> int:
    """Attention works on the map padded to whole windows of 7x7, the perceptrons and the merging on the map itself."""
    size, wide = size // 4, 96
    total = conv(4, 3, wide, size)
    for stage, depth in enumerate(DEPTHS):
        if stage:
            size, wide = halved(size, 1), 2 * wide
            total += conv(1, 2 * wide, wide, size)  # four pixels of half the width become one
        padded = (-(-size // WINDOW) * WINDOW) ** 2
        attention = 4 * wide * wide * padded + 2 * WINDOW**2 * wide * padded
        total += depth * (attention + 8 * wide * wide * size * size)
    return total + 768 * 256 + 256 * classes


CARDS = {
    "swin_t": Card(
        "torchvision's swin_t, head 768-256-BN-ReLU-K on the mean token (baselines.md A4)",
        32, _macs, lambda size: halved(size // 4, 3), multiple=4, head="head.", weights="swin_t-704ceda3.pth",
    )
}  # fmt: skip


def build(name: str, classes: int, image_size: int) -> nn.Module:
    """The net at any size: positions are relative, maps are padded to whole windows. Head by PyTorch's defaults."""
    from collections import OrderedDict

    from torch import nn
    from torchvision import models
    from torchvision.ops import Permute

    net = getattr(models, name)(weights=None)
    net.head = nn.Sequential(
        nn.Linear(768, 256), nn.BatchNorm1d(256), nn.ReLU(inplace=True), nn.Linear(256, classes)
    )  # fmt: skip
    # A stage ends after its patch merging, the last one, which has none, after its blocks (B3). A pair of views, to
    # channels second and back, stands at each end: it costs nothing, has no parameters, and a named module leaves
    # torchvision's numbering, and so the keys of its weights, as they are.
    parts: dict[str, nn.Module] = {}
    for key, part in net.features.named_children():
        parts[key] = part
        if key in ("2", "4", "6", "7"):
            parts[f"tap{key}"] = nn.Sequential(Permute([0, 3, 1, 2]), Permute([0, 2, 3, 1]))
    net.features = nn.Sequential(OrderedDict(parts))
    taps = tuple(f"features.tap{key}.0" for key in ("2", "4", "6", "7"))
    # No public code has NTL on Swin: the pooled feature (B, 768), where NTLBench's NTL sits in ResNet and ViT (B1).
    return named(net, taps, "flatten", "head.2")
