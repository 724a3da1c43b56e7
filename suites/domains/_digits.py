"""Digits as the published loaders keep them: 32 x 32, enlarged by OpenCV's cubic kernel.

    .venv/bin/pytest tests/suites/test_digits.py

Every public loader of the field brings MNIST's 28 and USPS's 16 pixels to 32 by cv2.resize(..., INTER_CUBIC) before
anything else (baselines.md A1). PIL's and torch's cubic have other constants, so the kernel is written out; no library
can then change the pixels either.

OpenCV itself has two results. Its wheels for x86 (4.5, 4.8 and 5.0 were tried) use Intel's float32 code: from that,
ours differs at 28 px in 2 to 7 pixels of a million, by one level, where the exact value is within 8e-6 of a half; at 16
px nowhere. Its own code, which other processors run, has coefficients of 11 bits: at 28 px that is one level off in 1
or 2 pixels of a hundred.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

STORED = 32  # pixels
SHARPNESS = -0.75  # OpenCV's constant of the cubic kernel; PIL's is -0.5


@cache
def _cubic(small: int) -> np.ndarray:
    """The matrix (32, small) of cubic interpolation: pixel centres aligned, the edge repeated, no smoothing."""
    import numpy as np

    a, weights = SHARPNESS, np.zeros((STORED, small))
    for row, at in enumerate((np.arange(STORED) + 0.5) * small / STORED - 0.5):
        low = int(np.floor(at))
        for tap in range(low - 1, low + 3):
            x = abs(at - tap)
            near = ((a + 2) * x - (a + 3)) * x * x + 1
            far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
            weights[row, min(max(tap, 0), small - 1)] += near if x <= 1 else far
    return weights


def enlarged(image: np.ndarray) -> np.ndarray:
    """A uint8 image (h, w) or (h, w, 3) of any size as uint8 (32, 32) or (32, 32, 3)."""
    import numpy as np

    if image.ndim == 3:
        return np.stack([enlarged(image[..., channel]) for channel in range(image.shape[2])], axis=-1)
    high, wide = image.shape
    # all these numbers are multiples of 2^-40 below 2^10: exact, in whichever order a machine adds them
    return np.rint(_cubic(high) @ image.astype(float) @ _cubic(wide).T).clip(0, 255).astype(np.uint8)
