"""The networks a suite can name: torchvision's own names, plus `convnet` for the embedded suite.

    mapbench list backbones

A net names what methods hang on to: `taps` (CUTI's stages), `feature_tap` (NTL's MMD), `embedding` (penultimate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from suites.errors import SuiteError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Card:
    """What can be said of a backbone without torch: `stride` of its last tap, and where its shape comes from."""

    stride: int
    gflop32: float  # of one forward pass of one 32 px image; conv nets grow with the square of the size
    source: str

    def last_tap(self, image_size: int) -> int:
        """Height and width, in pixels, of the last tap's map."""
        return image_size // self.stride

    def gflop(self, image_size: int) -> float:
        """GFLOP of one forward pass of one image (2 per multiply-add)."""
        return self.gflop32 * (image_size / 32) ** 2


CARDS = {
    "convnet": Card(8, 0.0071, "ours: four conv(-pool)-BN-ReLU stages 16-32-64-64, two linear layers"),
    "vgg11": Card(32, 0.306, "torchvision's vgg11 features, head 256-256-K with dropout 0.5 (baselines.md A4)"),
}


def card(name: str) -> Card:
    """The card of a backbone, or SuiteError with a did-you-mean."""
    if name not in CARDS:
        from difflib import get_close_matches

        close = get_close_matches(name, CARDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(CARDS)}"
        raise SuiteError(f"unknown backbone {name!r}: {hint}")
    return CARDS[name]


def build(name: str, classes: int, image_size: int, seed: int) -> nn.Module:
    """The net with random initial weights drawn from `seed` alone, in train mode, channels_last.

    torchvision's own initialisation (He for conv, N(0, 0.01) for linear); the head keeps PyTorch's, as in A4."""
    import torch

    card(name)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        net = _convnet(classes, image_size) if name == "convnet" else _vgg(name, classes, image_size)
    finally:
        torch.set_rng_state(state)
    return net.to(memory_format=torch.channels_last)  # about 1.6x faster on one core for convnet (trials.md)


def _named(net: nn.Module, taps: tuple[str, ...], feature_tap: str, embedding: str) -> nn.Module:
    net.taps, net.feature_tap, net.embedding = taps, feature_tap, embedding  # type: ignore[assignment]
    return net


def _convnet(classes: int, image_size: int) -> nn.Module:
    from collections import OrderedDict

    from torch import nn

    def stage(wide_in: int, wide: int, pool: bool) -> nn.Module:
        # pooled before BatchNorm and ReLU, as airbench does: these are bound by memory, and so cost a quarter
        conv = [nn.Conv2d(wide_in, wide, 3, padding=1, bias=False), *([nn.MaxPool2d(2)] if pool else [])]
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
    return _named(net, ("stage1", "stage2", "stage3", "stage4"), "stage2", "hidden")


def _vgg(name: str, classes: int, image_size: int) -> nn.Module:
    from collections import OrderedDict

    from torch import nn
    from torchvision import models

    features = getattr(models, name)(weights=None).features
    if image_size < 32:
        raise SuiteError(f"{name} needs images of at least 32 px, this suite has {image_size}")
    wide = 512 * (image_size // 32) ** 2
    head = nn.Sequential(
        nn.Linear(wide, 256), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(256, 256), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(256, classes),
    )  # fmt: skip
    net = nn.Sequential(OrderedDict(features=features, flatten=nn.Flatten(), classifier=head))
    pools = tuple(f"features.{i}" for i, m in enumerate(features) if isinstance(m, nn.MaxPool2d))
    return _named(net, pools, "features.9", "classifier.4")
