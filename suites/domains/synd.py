"""SYND, the train part of Kaggle's synthetic digits: about 10,000 rendered digits on photographs, colour.

    <data>/synthetic_digits/imgs_train/{0..9}/*.jpg

How many there are is stated nowhere, so a folder that was unpacked by half is noticed only where a class has no image.
Pictures are of several sizes; the published loaders bring each to 32 px by OpenCV's cubic kernel (baselines.md A1,
_digits.py), in BGR, which is not repeated: channels are RGB. Ids are paths: 3/00012.jpg.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suites.domains import DIGITS, Domain, Raw
from suites.domains._digits import enlarged
from suites.domains._files import Files, tree

if TYPE_CHECKING:
    from PIL.Image import Image

HOME = "synthetic_digits/imgs_train"


class Enlarged(Files):
    """Pictures that are brought to 32 px first."""

    def kept(self, image: Image) -> Image:
        import numpy as np
        from PIL import Image as pil

        return pil.fromarray(enlarged(np.asarray(image.convert("RGB"))))


def read(data: Path, raw: Raw) -> Enlarged:
    found = tree(raw, data / HOME, DIGITS)
    return Enlarged(found.ids, found.labels, found.root, raw)


RAW = Raw(
    "SYND",
    (f"{HOME}/CLASS/*.jpg, CLASS from 0 to 9",),
    "get it from https://www.kaggle.com/datasets/prasunroy/synthetic-digits and unpack it there",
    read,
)
DOMAINS = (Domain("synd", "rendered digits on photographs, in colour (synthetic digits, train)", DIGITS, raw=RAW),)
