"""The networks a suite can name: torchvision's own names, plus `convnet` for the embedded suite.

mapbench list backbones

card.py                      what is known of a net without torch; what a net names for methods
convnet, vgg, resnet, ...    one file, one family: its head, its taps and where they come from, its cost
weights.py                   `init: imagenet`, the publisher's weights from a file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from suites.backbones import convnet, resnet, swin, vgg, vit
from suites.backbones.card import Card
from suites.errors import SuiteError

if TYPE_CHECKING:
    from torch import nn

FAMILIES = (convnet, vgg, resnet, swin, vit)
CARDS: dict[str, Card] = {name: card for family in FAMILIES for name, card in family.CARDS.items()}


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

    torchvision's own initialisation; the head keeps PyTorch's, as in A4. SuiteError where the size is refused."""
    import torch

    if refusal := card(name).refusal(image_size):
        raise SuiteError(f"{name} {refusal}")
    family = next(f for f in FAMILIES if name in f.CARDS)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        net = family.build(name, classes, image_size)
    finally:
        torch.set_rng_state(state)
    return net.to(memory_format=torch.channels_last)  # about 1.6x faster on one core for convnet (trials.md)
