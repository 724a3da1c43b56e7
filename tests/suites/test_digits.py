"""The cubic kernel against OpenCV's: what cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) gave.

The numbers are of opencv-python-headless 4.5.5, 4.8.1 and 5.0.0 on x86, which agree; see suites/domains/_digits.py for
where OpenCV does not agree with itself.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from suites.domains._digits import enlarged

ROWS = {
    28: {
        0: [0, 38, 85, 131, 206, 161, 0, 62, 105, 159, 237, 103, 7, 86, 141, 185, 239, 49, 47, 111, 158, 218, 210, 30,
            83, 129, 174, 255, 167, 32, 109, 150],
        13: [158, 82, 136, 188, 136, 124, 199, 119, 88, 209, 187, 57, 123, 250, 142, 56, 64, 179, 128, 9, 85, 193, 78,
             32, 210, 162, 69, 104, 170, 133, 91, 189],
        31: [85, 193, 67, 51, 186, 178, 47, 153, 241, 97, 155, 70, 19, 152, 177, 25, 122, 229, 98, 90, 225, 208, 86,
             182, 19, 80, 207, 114, 56, 186, 223, 62],
    },
    16: {
        0: [0, 6, 31, 63, 84, 114, 133, 183, 239, 185, 49, 0, 26, 66, 85, 124, 160, 210, 249, 185, 51, 0, 26, 76, 112,
            151, 171, 210, 251, 190, 60, 0],
        13: [17, 72, 165, 157, 50, 36, 124, 121, 30, 22, 98, 176, 219, 208, 148, 134, 176, 173, 129, 126, 165, 162,
             118, 114, 154, 150, 106, 104, 145, 135, 80, 46],
        31: [142, 132, 116, 84, 55, 14, 0, 54, 194, 255, 231, 200, 187, 156, 126, 96, 82, 62, 47, 15, 0, 52, 192, 255,
             232, 191, 161, 130, 117, 95, 78, 67],
    },
}  # fmt: skip
SUMS = {
    28: "aaf222379df883a0f873559126c0b25504bcfa2bb763e610eeed8b2dfff7b92f",
    16: "101b5ee436ee136f5dd7a390a519a51fa5f9421641288ad8067ee992cad8cf6e",
}


def pattern(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return ((y * y * 37 + x * 53 + x * y * 11) % 256).astype(np.uint8)


@pytest.mark.parametrize("size", [28, 16])
def test_every_pixel_is_opencvs(size: int) -> None:
    made = enlarged(pattern(size))
    assert made.dtype == np.uint8 and made.shape == (32, 32)
    assert {row: made[row].tolist() for row in ROWS[size]} == ROWS[size]
    assert hashlib.sha256(made.tobytes()).hexdigest() == SUMS[size]


def test_colour_is_done_channel_by_channel_and_at_32_px_nothing_is() -> None:
    image = np.stack([pattern(28), pattern(28).T, pattern(28)[::-1]], axis=-1)
    made = enlarged(image)
    assert made.shape == (32, 32, 3)
    assert all((made[..., c] == enlarged(image[..., c])).all() for c in range(3))
    assert (enlarged(pattern(32)) == pattern(32)).all()


def test_the_edge_repeats_and_what_overshoots_is_cut() -> None:
    assert (enlarged(np.full((28, 28), 200, np.uint8)) == 200).all()
    step = np.zeros((16, 16), np.uint8)
    step[:, 8:] = 255
    made = enlarged(step)
    assert made.min() == 0 and made.max() == 255  # without the cut, -18 would be 238
    assert (made[:, :12] == 0).all() and (made[:, 20:] == 255).all()


def test_it_is_one_result_in_whichever_order_a_machine_adds() -> None:
    """All numbers are exact in float64, at odd sizes too."""
    from suites.domains._digits import _cubic

    image = np.random.default_rng(0).integers(0, 256, (45, 301)).astype(float)
    left, right = _cubic(45), _cubic(301).T
    assert ((left @ image) @ right == left @ (image @ right)).all()
    assert ((left @ image) @ right == (left[:, ::-1] @ image[::-1]) @ right).all()
