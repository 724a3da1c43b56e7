"""Moving images: each by its own pixels, against a plain evaluation pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from methods.images import shifted


def plain(images: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor) -> torch.Tensor:
    made = torch.empty_like(images)
    last = images.shape[-1] - 1
    for i in range(len(images)):
        for row in range(last + 1):
            for column in range(last + 1):
                at = min(max(row - int(dy[i]), 0), last), min(max(column - int(dx[i]), 0), last)
                made[i, :, row, column] = images[i, :, at[0], at[1]]
    return made


@pytest.mark.parametrize(("count", "size", "layout"), [(5, 8, "plain"), (3, 7, "channels_last"), (0, 8, "plain")])
def test_each_image_moves_by_its_own_pixels_and_repeats_its_edge(count: int, size: int, layout: str) -> None:
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draws)
    if layout == "channels_last":
        images = images.contiguous(memory_format=torch.channels_last)
    dy, dx = torch.randint(-size, size + 1, (2, count), generator=draws)
    assert torch.equal(shifted(images, dy, dx), plain(images, dy, dx))
