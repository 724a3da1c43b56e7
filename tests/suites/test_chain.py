"""What a net is given from the cache is bit for bit what the published chain of transforms gives it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from methods.images import MEAN, STD, normalise
from suites.domains._raw import Arrays, squared


def published(size: int) -> transforms.Compose:
    """The transforms of NTL, CUTI, CUPI and NTLBench (baselines.md A3): nothing in them is random."""
    return transforms.Compose([
        transforms.ToPILImage(), transforms.Resize((size, size)), transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])  # fmt: skip


@pytest.mark.parametrize(("native", "size"), [(32, 32), (32, 64), (96, 64), (224, 64), (224, 224), (300, 112)])
def test_cached_input_is_bit_identical_to_the_published_chain(native: int, size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, native, native, 3), np.uint8)
    held = Arrays([str(i) for i in range(20)], [0] * 20, images)
    cached = torch.from_numpy(np.stack([held.pixels(i, size) for i in range(20)]))
    chain = published(size)
    wanted = torch.stack([chain(image) for image in images])
    assert torch.equal(normalise(cached), wanted)


def test_a_picture_of_other_proportions_is_squeezed_as_published() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 90, 3), np.uint8)
    cached = torch.tensor(squared(Image.fromarray(image), 64))[None]
    assert torch.equal(normalise(cached)[0], published(64)(image))
