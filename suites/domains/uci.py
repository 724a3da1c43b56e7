"""uci: 1,797 real handwritten digits that ship with scikit-learn, 8x8 grey values 0..16, enlarged to the suite's size.

They are the test set of UCI's "Optical Recognition of Handwritten Digits" (13 writers). Who wrote what is not recorded,
but neighbours in the file come from one hand, so the parts are contiguous blocks: only a writer at a border can be on
both its sides. `split_seed` turns the circle of blocks.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from suites.domains import DIGITS, Domain, Item, Parts
from suites.splits import cut

if TYPE_CHECKING:
    import numpy as np

COUNT = 1797
# 200 attacker images because the logistic probe is defined at n = 200 (trials.md); 1,150 + 200 + 150 + 297 = 1,797
SIZES = {"train": 1150, "attacker": 200, "val": 150, "test": 297}
# a step of the golden ratio: offsets of successive split seeds stay far apart on the circle
STEP = 1111


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Raw images (1797, 8, 8) float64 with whole values 0..16, and labels (1797,) int64."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return raw.images, raw.target.astype("int64")


def blocks(split_seed: int) -> dict[str, list[int]]:
    """Indices of each part: contiguous blocks on the circle of 1,797. Shared with uci-m, so twins stay together."""
    return cut(range(COUNT), SIZES, offset=split_seed * STEP % COUNT)


def grey(index: int, size: int) -> np.ndarray:
    """One digit, uint8 (size, size), white ink on black: bilinear with pixel centres aligned, 16 becomes 255."""
    import numpy as np

    weights = _bilinear(size)
    return np.rint(weights @ digits()[0][index] @ weights.T * (255 / 16)).astype(np.uint8)


@cache
def _bilinear(size: int) -> np.ndarray:
    """The matrix (size, 8) of bilinear interpolation from 8 samples; written out so that no library can change it."""
    import numpy as np

    at = np.clip((np.arange(size) + 0.5) * 8 / size - 0.5, 0, 7)
    low = np.minimum(at.astype(int), 6)
    weights = np.zeros((size, 8))
    weights[np.arange(size), low] = 1 - (at - low)
    weights[np.arange(size), low + 1] += at - low
    return weights


def build(size: int, split_seed: int, data: Path) -> Parts:
    """The four parts; nothing is read from `data`."""
    labels = digits()[1]
    return {
        part: [Item(f"{i:04d}", int(labels[i]), grey(i, size)[None].repeat(3, 0), {"digit": i}) for i in indices]
        for part, indices in blocks(split_seed).items()
    }


DOMAINS = (Domain("uci", "real handwriting, scikit-learn's bundled digits", DIGITS, build, alone=("digit",)),)
