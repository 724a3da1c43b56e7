"""print: clean grey digits rendered from fonts, one per image, with varied font, size, shift, greys and sharpness.

Sharp print alone is too far from the smooth strokes of uci for a model of one to read the other; up to 1.5 px of blur
brings that pair's val accuracy from 20-36 % to 51-62 % (convnet, splits 0 and 1).

Fonts of val and test are other files than those of train and attacker, and none is used by street.
"""

from __future__ import annotations

from pathlib import Path

from suites.domains import DIGITS, Domain, Item, Parts
from suites.domains._fonts import em_for, hand, load
from suites.splits import rng

SIZES = {"train": 1150, "attacker": 200, "val": 150, "test": 300}


def build(size: int, split_seed: int, data: Path) -> Parts:
    """The four parts, each with equally many images of every class; nothing is read from `data`."""
    return {part: [draw(size, split_seed, part, i) for i in range(n)] for part, n in SIZES.items()}


def draw(size: int, split_seed: int, part: str, i: int) -> Item:
    """Image `i` of a part; its class is i mod 10."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    random, label = rng("print", split_seed, part, i), i % 10
    fonts = hand("print", part, split_seed)
    name = fonts[random.integers(len(fonts))]
    font = load(name, em_for(name, round(size * random.uniform(0.65, 0.95))))
    canvas = Image.new("L", (size, size), 0)
    shift = random.uniform(-0.04, 0.04, 2) * size
    ink_box = font.getbbox(str(label))
    at = tuple(size / 2 + s - (low + high) / 2 for s, low, high in zip(shift, ink_box[:2], ink_box[2:], strict=True))
    ImageDraw.Draw(canvas).text(at, str(label), fill=255, font=font)
    canvas = canvas.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))
    ink, paper = random.uniform(170, 255), random.uniform(0, 40)
    image = np.rint(paper + (ink - paper) * (np.asarray(canvas, dtype=np.float64) / 255)).astype(np.uint8)
    return Item(f"{part}-{i:04d}", label, image[None].repeat(3, 0), {"font": name})


DOMAINS = (Domain("print", "clean grey digits rendered from fonts", DIGITS, build, halves=("font",)),)
