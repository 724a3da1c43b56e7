"""`convnet`: a small BatchNorm net of our own, for the embedded suite.

    mapbench run demo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from suites.backbones.card import Card, conv, named

if TYPE_CHECKING:
    from torch import nn

# Three poolings: 32 px leave a 4x4 last map, large enough for CUTI at the cost of a laptop.


def _macs(size: int, classes: int) -> int:
    convs = conv(3, 3, 16, size) + conv(3, 16, 32, size // 2) + conv(3, 32, 64, size // 4) + conv(3, 64, 64, size // 8)
    return convs + 64 * (size // 8) ** 2 * 128 + 128 * classes


CARDS = {
    "convnet": Card(
        "ours: four conv(-pool)-BN-ReLU stages 16-32-64-64, two linear layers", 8, _macs, lambda size: size // 8
    )
}


def build(name: str, classes: int, image_size: int) -> nn.Module:
    """The net, initialised by PyTorch's own defaults."""
    from collections import OrderedDict

    from torch import nn

    from suites.backbones.pool import Pool

    def stage(wide_in: int, wide: int, pool: bool) -> nn.Module:
        # pooled before BatchNorm and ReLU, as airbench does: these are bound by memory, and so cost a quarter
        conv = [nn.Conv2d(wide_in, wide, 3, padding=1, bias=False), *([Pool()] if pool else [])]
        return nn.Sequential(*conv, nn.BatchNorm2d(wide), nn.ReLU(inplace=True))

    net = nn.Sequential(
        OrderedDict(
            stage1=stage(3, 16, True),
            stage2=stage(16, 32, True),
            stage3=stage(32, 64, True),
            stage4=stage(64, 64, False),
            flatten=nn.Flatten(),
            hidden=nn.Sequential(nn.Linear(64 * (image_size // 8) ** 2, 128), nn.ReLU(inplace=True)),
            classifier=nn.Linear(128, classes),
        )
    )
    # NTL's MMD sits at a quarter of the image size after half of the convolutions, as features[:10] does in VGG11.
    return named(net, ("stage1", "stage2", "stage3", "stage4"), "stage2", "hidden")
