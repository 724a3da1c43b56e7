"""street: digits as on house numbers: coloured, slanted, blurred, noisy, with neighbours cut off at the border.

Made after the looks of SVHN from fonts alone. Fonts of val and test are other files than those of train and attacker,
and none is used by print.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suites.domains import DIGITS, Domain, Item, Parts
from suites.domains._fonts import em_for, hand, load
from suites.splits import rng

if TYPE_CHECKING:
    import numpy as np

SIZES = {"train": 1150, "attacker": 200, "val": 150, "test": 300}
FINER = 3  # drawn three times larger and averaged, so that slanted strokes have no steps
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


def build(size: int, split_seed: int, data: Path) -> Parts:
    """The four parts, each with equally many images of every class; nothing is read from `data`."""
    return {part: [draw(size, split_seed, part, i) for i in range(n)] for part, n in SIZES.items()}


def draw(size: int, split_seed: int, part: str, i: int) -> Item:
    """Image `i` of a part; its class is i mod 10, that of the digit in the middle."""
    import numpy as np
    from PIL import Image, ImageFilter

    random, label = rng("street", split_seed, part, i), i % 10
    fonts = hand("street", part, split_seed)
    name = fonts[random.integers(len(fonts))]
    ink = _number(size, label, name, random)
    wall, paint = _colours(random)
    slope = random.uniform(-25, 25, 2)  # light falls off across the wall
    y, x = np.mgrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
    flat = wall[:, None, None] * (1 - ink) + paint[:, None, None] * ink + (slope[0] * y + slope[1] * x)
    blur = ImageFilter.GaussianBlur(random.uniform(0.3, 0.9))
    blurred = Image.fromarray(_bytes(flat).transpose(1, 2, 0)).filter(blur)
    noise = random.normal(0, random.uniform(2, 8), (3, size, size))
    image = _bytes(np.asarray(blurred, dtype=np.float64).transpose(2, 0, 1) + noise)
    return Item(f"{part}-{i:04d}", label, image, {"font": name})


def _number(size: int, label: int, name: str, random: np.random.Generator) -> np.ndarray:
    """Coverage (size, size) in 0..1 of the digit in the middle and, mostly, of neighbours on one side or both."""
    import numpy as np
    from PIL import Image, ImageDraw

    wide = size * FINER
    font = load(name, em_for(name, round(wide * random.uniform(0.65, 0.9))))
    canvas = Image.new("L", (wide, wide), 0)
    pen = ImageDraw.Draw(canvas)
    left, top, right, bottom = font.getbbox(str(label))
    shift = random.uniform(-0.06, 0.06, 2) * wide
    x, y = wide / 2 + shift[0] - (left + right) / 2, wide / 2 + shift[1] - (top + bottom) / 2
    pen.text((x, y), str(label), fill=255, font=font)
    gap = random.uniform(0.04, 0.12) * wide
    before, after = (str(random.integers(10)) for _ in range(2))
    has_before, has_after = random.random(2) < 0.5
    if has_before:
        box = font.getbbox(before)
        pen.text((x + left - gap - box[2], y), before, fill=255, font=font)
    if has_after:
        box = font.getbbox(after)
        pen.text((x + right + gap - box[0], y), after, fill=255, font=font)
    turned = canvas.rotate(random.uniform(-12, 12), Image.Resampling.BICUBIC)
    return np.asarray(turned, dtype=np.float64).reshape(size, FINER, size, FINER).mean((1, 3)) / 255


def _colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Wall and paint, (3,) each, redrawn until their luma differs by 80 of 255: less cannot be read once blurred."""
    import numpy as np

    while True:
        wall, paint = random.uniform(15, 240, (2, 3))
        if abs(np.dot(wall - paint, LUMA)) >= 80:
            return wall, paint


def _bytes(values: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


DOMAINS = (
    Domain("street", "house-number style: colour, blur, slant, noise, neighbours", DIGITS, build, halves=("font",)),
)
