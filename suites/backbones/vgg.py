"""VGG11, 13, 16 and 19, without and with BatchNorm: torchvision's convolutions, the head that NTL, CUTI and CUPI share.

    mapbench run digits-mini -b vgg11 -p uci-m:uci -s 0

Head (baselines.md A4): no adaptive pooling, so its width is 512 (S/32)^2; then 256-256-K with ReLU and dropout 0.5.
S need not be a multiple of 32: NTL's VisDA is VGG19 at 112 px, whose last pooling leaves 3x3 of 7x7.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from suites.backbones.card import Card, conv, named

if TYPE_CHECKING:
    from torch import nn

WIDE = (64, 128, 256, 512, 512)
CONVS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
FILES = {
    "vgg11": "vgg11-8a719046.pth", "vgg11_bn": "vgg11_bn-6002323d.pth",
    "vgg13": "vgg13-19584684.pth", "vgg13_bn": "vgg13_bn-abd245e5.pth",
    "vgg16": "vgg16-397923af.pth", "vgg16_bn": "vgg16_bn-6c64b313.pth",
    "vgg19": "vgg19-dcbb9e9d.pth", "vgg19_bn": "vgg19_bn-c79401a0.pth",
}  # fmt: skip


def _macs(convs: tuple[int, ...], size: int, classes: int) -> int:
    total, wide_in, head = 0, 3, 512 * (size // 32) ** 2
    for count, wide in zip(convs, WIDE, strict=True):
        total += conv(3, wide_in, wide, size) + (count - 1) * conv(3, wide, wide, size)
        wide_in, size = wide, size // 2
    return total + head * 256 + 256 * 256 + 256 * classes


CARDS = {
    name: Card(
        f"torchvision's {name} features, head 256-256-K with dropout 0.5 (baselines.md A4)",
        32, partial(_macs, CONVS[name.removesuffix("_bn")]), lambda size: size // 32, head="classifier.", weights=file,
    )
    for name, file in FILES.items()
}  # fmt: skip


def build(name: str, classes: int, image_size: int) -> nn.Module:
    """The net, features initialised as torchvision does (He), the head by PyTorch's defaults, as in A4."""
    from collections import OrderedDict

    from torch import nn
    from torchvision import models

    from suites.backbones.pool import Pool

    features = nn.Sequential(
        *(Pool() if isinstance(m, nn.MaxPool2d) else m for m in getattr(models, name)(weights=None).features)
    )
    wide = 512 * (image_size // 32) ** 2
    head = nn.Sequential(
        nn.Linear(wide, 256), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(256, 256), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(256, classes),
    )  # fmt: skip
    net = nn.Sequential(OrderedDict(features=features, flatten=nn.Flatten(), classifier=head))
    # CUTI's five stages end at the five poolings in VGG11; its slices miss them in deeper nets and with BatchNorm, so
    # the places, not the indices, are what is kept (baselines.md B3, F).
    pools = tuple(f"features.{i}" for i, m in enumerate(features) if isinstance(m, nn.MaxPool2d))
    return named(net, pools, _ntl(name, features), "classifier.4")


def _ntl(name: str, features: nn.Module) -> str:
    """NTL's features[:10]: the ReLU of the 4th convolution in VGG11, the 2nd pooling in all others (baselines.md B1).

    With BatchNorm the same place, further down the list; NTLBench takes the last map there, NTL itself has no BN."""
    from torch import nn

    kind, nth = (nn.ReLU, 4) if name.startswith("vgg11") else (nn.MaxPool2d, 2)
    return f"features.{[i for i, m in enumerate(features.children()) if isinstance(m, kind)][nth - 1]}"
