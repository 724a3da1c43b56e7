"""MNIST, the train files: 60,000 handwritten digits of 28 px, grey.

    <data>/MNIST/raw/train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz        or both without .gz

Enlarged to 32 px as the published loaders do (_digits.py). Ids are places in the file: train-00000.
"""

from __future__ import annotations

from pathlib import Path

from suites.domains import DIGITS, Domain, Raw, _mnist
from suites.domains._digits import enlarged
from suites.domains._raw import Arrays


def read(data: Path, raw: Raw) -> Arrays:
    return Arrays(*_mnist.read(raw, data, ["train"]), enlarged)


RAW = Raw(
    "MNIST", _mnist.layout("train"), _mnist.GET, read, count=60_000,
    sums=lambda: _mnist.sums("train"), download=lambda data: _mnist.download(data, "train"),
)  # fmt: skip
DOMAINS = (Domain("mnist", "handwritten digits, grey (MNIST, train)", DIGITS, raw=RAW),)
