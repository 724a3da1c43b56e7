"""MNIST's files: idx arrays of uint8, gzipped as published or unpacked; for `mnist` and the six rotated ones.

    <data>/MNIST/raw/train-images-idx3-ubyte.gz         torchvision's layout

Where both are there the .gz is read: its md5 is known. torchvision reads unpacked files only, and would take one that
holds more than its head says, so the few bytes of an idx head are read here.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suites.domains._arrays import by_torchvision, fetch, matched, named, said
from suites.domains._raw import Raw

if TYPE_CHECKING:
    import numpy as np

HOME = "MNIST/raw"
GET = by_torchvision("https://ossci-datasets.s3.amazonaws.com/mnist/")
FILES = {"train": "train", "test": "t10k"}  # part -> what its files are called
SIDE = 28  # pixels


def layout(*parts: str) -> tuple[str, ...]:
    """What must lie below the data folder for these parts."""
    return tuple(f"{HOME}/{FILES[part]}-{kind}-ubyte[.gz]" for part in parts for kind in ("images-idx3", "labels-idx1"))


def sums(*parts: str) -> Mapping[str, str]:
    """torchvision's md5 of the gzipped files of these parts; for unpacked ones nobody states any."""
    from torchvision.datasets import MNIST

    called = tuple(FILES[part] for part in parts)
    return {f"{HOME}/{name}": md5 for name, md5 in MNIST.resources if name.startswith(called)}


def download(data: Path, *parts: str) -> None:
    """Fetch the files of these parts, gzipped, from torchvision's mirrors."""
    from torchvision.datasets import MNIST

    called = tuple(FILES[part] for part in parts)
    for name, md5 in (held for held in MNIST.resources if held[0].startswith(called)):
        fetch("MNIST", data / HOME, name, md5, [f"{mirror}{name}" for mirror in MNIST.mirrors])


def read(raw: Raw, data: Path, parts: Sequence[str]) -> tuple[list[str], list[int], list[np.ndarray]]:
    """Ids, labels and images (28, 28) of `train`, of `test`, or of one after the other."""
    files = {
        part: [_place(raw, data, f"{FILES[part]}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
        for part in parts
    }  # before the first md5, which loads torchvision
    ids: list[str] = []
    labels: list[int] = []
    images: list[np.ndarray] = []
    for part, (pictures, targets) in files.items():
        held = _idx(raw, data, pictures, (SIDE, SIDE))
        labels += matched(raw, targets, len(held), _idx(raw, data, targets, ()).tolist())
        ids += named(part, len(held))
        images += list(held)
    return ids, labels, images


def _place(raw: Raw, data: Path, name: str) -> Path:
    packed, plain = data / HOME / f"{name}.gz", data / HOME / name
    return plain if raw.there(plain) and not raw.there(packed) else raw.need(packed)


def _idx(raw: Raw, data: Path, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array in an idx file: items of uint8 and of this shape."""
    import numpy as np

    packed = raw.whole(path, data).suffix == ".gz"
    try:
        content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raw.broken(path, f"cannot be read ({said(error)})")
    length = 4 * (2 + len(shape))
    head = [int.from_bytes(content[at : at + 4], "big") for at in range(0, length, 4)]
    magic = 0x800 + 1 + len(shape)  # 8: uint8, then how many dimensions
    if len(content) < length or head[0] != magic:
        raw.broken(path, f"is no idx file of uint8 in {1 + len(shape)} dimensions: it does not begin with {magic}")
    if tuple(head[2:]) != shape:
        raw.broken(path, f"has images of {' x '.join(map(str, head[2:]))} pixels, not {' x '.join(map(str, shape))}")
    count, body = head[1], np.frombuffer(content, np.uint8, offset=length)
    if body.size != count * int(np.prod(shape, dtype=int)):
        raw.broken(path, f"is cut short or too long: {body.size:,} bytes for {count:,} items")
    return body.reshape(count, *shape)
