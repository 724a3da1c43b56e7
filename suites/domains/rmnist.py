"""Rotated MNIST: `rmnist-15` is every sixth image of MNIST, turned by 15 degrees; six domains that share no image.

    <data>/MNIST/raw/train-... and t10k-...            both parts of MNIST, see mnist.py

Train and then test, 70,000 images; those whose place, counted over both, leaves the remainder i when divided by 6 are
turned by the i-th of 0, 15, 30, 45, 60, 75 degrees, counter-clockwise (NTLBench's rule, baselines.md A1): by PIL,
bilinear, black where nothing was, at 28 px and as uint8. Then they are enlarged as MNIST is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from suites.domains import DIGITS, Domain, Raw, _mnist
from suites.domains._digits import enlarged
from suites.domains._raw import Arrays

if TYPE_CHECKING:
    import numpy as np

ANGLES = (0, 15, 30, 45, 60, 75)  # degrees
TOTAL = 70_000


def turned(image: np.ndarray, angle: int) -> np.ndarray:
    """A grey image turned counter-clockwise about its middle, of the same size, and then enlarged."""
    import numpy as np
    from PIL import Image as pil

    return enlarged(np.asarray(pil.fromarray(image).rotate(angle, pil.Resampling.BILINEAR, fillcolor=0)))


def reader(number: int) -> Callable[[Path, Raw], Arrays]:
    """What reads the images of the number-th angle."""

    def read(data: Path, raw: Raw) -> Arrays:
        ids, labels, images = (held[number :: len(ANGLES)] for held in _mnist.read(raw, data, ["train", "test"]))
        return Arrays(ids, labels, images, partial(turned, angle=ANGLES[number]))  # type: ignore[arg-type]

    return read


DOMAINS = tuple(
    Domain(
        f"rmnist-{angle}", f"a sixth of MNIST, turned by {angle} degrees", DIGITS,
        raw=Raw(
            "MNIST", _mnist.layout("train", "test"), _mnist.GET, reader(number),
            count=len(range(number, TOTAL, len(ANGLES))), sums=lambda: _mnist.sums("train", "test"),
            download=lambda data: _mnist.download(data, "train", "test"),
        ),
    )
    for number, angle in enumerate(ANGLES)
)  # fmt: skip
