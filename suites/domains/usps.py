"""USPS, the train file: 7,291 digits from envelopes, 16 px, grey.

    <data>/usps.bz2        libsvm's text, read by torchvision: `label 1:value ... 256:value`, labels from 1 to 10

Enlarged to 32 px as the published loaders do (_digits.py). Ids are lines of the file, from 0: train-00000.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from suites.domains import DIGITS, Domain, Raw
from suites.domains._arrays import by_torchvision, fetch, matched, named, said
from suites.domains._digits import enlarged
from suites.domains._raw import Arrays

FILE = "usps.bz2"


def read(data: Path, raw: Raw) -> Arrays:
    path = raw.whole(raw.need(data / FILE), data)
    from torchvision.datasets import USPS

    try:
        held = USPS(str(data), train=True)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raw.broken(path, f"cannot be read as lines of a label and 256 values ({said(error)})")
    labels = matched(raw, path, len(held.data), held.targets)
    return Arrays(named("train", len(labels)), labels, list(held.data), enlarged)


def sums() -> Mapping[str, str]:
    from torchvision.datasets import USPS

    return {FILE: USPS.split_list["train"][2]}


def download(data: Path) -> None:
    """Fetch the train file from where torchvision has it."""
    from torchvision.datasets import USPS

    url, name, md5 = USPS.split_list["train"]
    fetch("USPS", data, name, md5, [url])


RAW = Raw(
    "USPS",
    (FILE,),
    by_torchvision("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps"),
    read,
    count=7_291,
    sums=sums,
    download=download,
)
DOMAINS = (Domain("usps", "digits from envelopes, grey (USPS, train)", DIGITS, raw=RAW),)
