"""SVHN, the train file of the cropped digits: 73,257 house numbers, 32 px, colour.

    <data>/train_32x32.mat        read by torchvision; the file's label 10 is the digit 0

Ids are places in the file: train-00000.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from suites.domains import DIGITS, Domain, Raw
from suites.domains._arrays import by_torchvision, fetch, matched, named, said
from suites.domains._raw import Arrays

FILE = "train_32x32.mat"


def read(data: Path, raw: Raw) -> Arrays:
    path = raw.whole(raw.need(data / FILE), data)
    from torchvision.datasets import SVHN

    try:
        held = SVHN(str(data), split="train")
    except KeyError as error:
        raw.broken(path, f"has no array {error}; there must be X, the images, and y, their labels")
    except Exception as error:  # scipy's readers raise a dozen kinds
        raw.broken(path, f"cannot be read as a MATLAB file with X and y ({said(error)})")
    if held.data.dtype != "uint8" or held.data.shape[1:] != (3, 32, 32):
        raw.broken(path, f"has an X of {held.data.dtype} {held.data.shape}, not of uint8 (images, 3, 32, 32)")
    labels = matched(raw, path, len(held.data), held.labels.reshape(-1))
    return Arrays(named("train", len(labels)), labels, list(held.data.transpose(0, 2, 3, 1)))


def sums() -> Mapping[str, str]:
    from torchvision.datasets import SVHN

    return {FILE: SVHN.split_list["train"][2]}


def download(data: Path) -> None:
    """Fetch the train file from where torchvision has it."""
    from torchvision.datasets import SVHN

    url, name, md5 = SVHN.split_list["train"]
    fetch("SVHN", data, name, md5, [url])


RAW = Raw(
    "SVHN",
    (FILE,),
    by_torchvision("http://ufldl.stanford.edu/housenumbers/"),
    read,
    count=73_257,
    sums=sums,
    download=download,
)
DOMAINS = (Domain("svhn", "house numbers, cropped to a digit, in colour (SVHN, train)", DIGITS, raw=RAW),)
