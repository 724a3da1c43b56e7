"""ResNet18, 34 and 50: torchvision's nets as they are, with its ImageNet stem, and one linear layer as the head.

    mapbench list backbones

So they stand in NTLBench, the only public code of the field that has them (baselines.md A4). The stem's pooling is kept
at every image size and step; NTLBench's CUTI leaves it out on every other step, and so trains two nets in one (B3).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from suites.backbones.card import Card, conv, halved, named

if TYPE_CHECKING:
    from torch import nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
# The first publication of each (IMAGENET1K_V1), which is what `pretrained=True` meant when the baselines were written.
FILES = {"resnet18": "resnet18-f37072fd.pth", "resnet34": "resnet34-b627a593.pth", "resnet50": "resnet50-0676ba61.pth"}


def _macs(name: str, size: int, classes: int) -> int:
    """The basic block is two 3x3; the bottleneck 1x1, 3x3 with the stride, 1x1 to four times the width."""
    wide_out = 4 if name == "resnet50" else 1
    total, size, channels = conv(7, 3, 64, halved(size, 1)), halved(size, 2), 64
    for stage, blocks in enumerate(BLOCKS[name]):
        wide = 64 * 2**stage
        for block in range(blocks):
            strided = stage > 0 and block == 0
            size_in, size = size, halved(size, strided)
            if wide_out == 1:
                total += conv(3, channels, wide, size) + conv(3, wide, wide, size)
            else:
                total += conv(1, channels, wide, size_in) + conv(3, wide, wide, size) + conv(1, wide, 4 * wide, size)
            if channels != wide * wide_out:
                total += conv(1, channels, wide * wide_out, size)  # the short cut
            channels = wide * wide_out
    return total + channels * classes


CARDS = {
    name: Card(
        f"torchvision's {name}, head one linear layer on the pooled feature, as NTLBench (baselines.md A4)",
        32, partial(_macs, name), lambda size: halved(size, 5), head="fc.", weights=file,
    )
    for name, file in FILES.items()
}  # fmt: skip


def build(name: str, classes: int, image_size: int) -> nn.Module:
    """The net, initialised as torchvision does: He for convolutions, PyTorch's default for the linear layer."""
    from torch import nn
    from torchvision import models

    net = getattr(models, name)(weights=None, num_classes=classes)
    # torchvision flattens in its forward(), where nothing can be hung; done here, flattening again changes nothing.
    net.avgpool = nn.Sequential(net.avgpool, nn.Flatten())
    # CUTI: five stages, cut where the map shrinks as VGG's poolings do. NTL: the pooled feature, as NTLBench (B1).
    return named(net, ("maxpool", "layer1", "layer2", "layer3", "layer4"), "avgpool", "avgpool")
