"""uci-m: the handwriting of uci blended into photographs, |photo - digit|, as MNIST-M was made from MNIST.

(Ganin and Lempitsky, 2015.) A digit and its twin carry the same id and fall into the same part. The two photographs
that ship with scikit-learn are cut into tiles, and `split_seed` deals the tiles to the parts; a crop stays within one
tile, so no pixel of a photograph is seen by two parts.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from suites.domains import DIGITS, Domain, Item, Parts
from suites.domains.uci import blocks, digits, grey
from suites.errors import SuiteError
from suites.splits import PARTS, cut, rng, shuffled

if TYPE_CHECKING:
    import numpy as np

PHOTOS = ("china.jpg", "flower.jpg")
CONTRAST = 130  # least mean of |ink - paper|: full ink on the middle grey of a photograph cannot be seen
TILE = 48  # of 427 x 640: 104 tiles a photograph
TILES = {"train": 59, "attacker": 15, "val": 15, "test": 15}


@cache
def photo(name: str) -> np.ndarray:
    """A photograph, uint8 (427, 640, 3)."""
    from sklearn.datasets import load_sample_image

    return load_sample_image(name)


def tiles(split_seed: int) -> dict[str, list[tuple[str, int, int]]]:
    """The tiles (photograph, left, top) that each part may see."""
    parts: dict[str, list[tuple[str, int, int]]] = {part: [] for part in PARTS}
    for name in PHOTOS:
        height, width = photo(name).shape[:2]
        corners = [f"{x},{y}" for x in range(0, width - TILE + 1, TILE) for y in range(0, height - TILE + 1, TILE)]
        for part, dealt in cut(shuffled(corners, "uci-m", split_seed, name), TILES).items():
            parts[part] += [(name, *(int(v) for v in corner.split(","))) for corner in dealt]  # type: ignore[misc]
    return parts


def build(size: int, split_seed: int, data: Path) -> Parts:
    """The four parts; nothing is read from `data`."""
    import numpy as np

    if size > TILE:
        raise SuiteError(f"uci-m: crops of {size} px do not fit into tiles of {TILE}; choose image_size <= {TILE}")
    labels = digits()[1]
    where = tiles(split_seed)
    parts: dict[str, list[Item]] = {}
    for part, indices in blocks(split_seed).items():
        parts[part] = []
        for i in indices:
            random = rng("uci-m", split_seed, i)
            while True:
                name, left, top = where[part][random.integers(len(where[part]))]
                x, y = left + int(random.integers(TILE - size + 1)), top + int(random.integers(TILE - size + 1))
                crop = photo(name)[y : y + size, x : x + size].transpose(2, 0, 1).astype(np.int16)
                if np.abs(255 - 2 * crop).mean() >= CONTRAST:
                    break
            image = np.abs(crop - grey(i, size)).astype(np.uint8)
            origin = {"digit": i, "tile": f"{name}:{left},{top}", "crop": [x, y, x + size, y + size]}
            parts[part].append(Item(f"{i:04d}", int(labels[i]), image, origin))
    return parts


DOMAINS = (
    Domain(
        "uci-m", "the same handwriting blended into photographs, as MNIST-M was made", DIGITS, build,
        alone=("digit", "tile"),
    ),
)  # fmt: skip
