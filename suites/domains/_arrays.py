"""What the data sets that come as arrays have in common: labels that are checked, and torchvision's downloads.

mapbench data digits --download
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.error import HTTPError

from suites.domains._raw import Arrays, Raw
from suites.errors import SuiteError


def named(part: str, count: int) -> list[str]:
    """The ids of the images of a file that has no names for them: their place in it."""
    return [f"{part}-{index:05}" for index in range(count)]


def matched(raw: Raw, path: Path, images: int, labels: Iterable[int]) -> list[int]:
    """The labels: as many as the images, and each from 0 to 9. `path` is named where they are not."""
    held = [int(label) for label in labels]
    if len(held) != images:
        raw.broken(path, f"has {len(held):,} labels for {images:,} images")
    for index, label in enumerate(held):
        if not 0 <= label <= 9:
            raw.broken(path, f"has a label that is none of the ten classes: {label}, of image {index}")
    return held


def without(images: Arrays, number: int) -> Arrays:
    """All images but those of one class; the classes behind it move up."""
    kept = [index for index, label in enumerate(images.labels) if label != number]
    return Arrays(
        [images.ids[i] for i in kept], [images.labels[i] - (images.labels[i] > number) for i in kept],
        [images.stored[i] for i in kept], images.enlarge,
    )  # fmt: skip


def said(error: BaseException) -> str:
    """An exception's message in one line, its name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def by_torchvision(page: str) -> str:
    """Where a data set comes from that torchvision can fetch."""
    return f"`mapbench data SUITE --download` fetches it by torchvision, or get it by hand from {page}"


def fetch(title: str, folder: Path, name: str, md5: str, urls: Sequence[str]) -> None:
    """Fetch one file into `folder` from the first of `urls` that has it; one that is there and whole stays."""
    from torchvision.datasets.utils import download_url

    for last, url in enumerate(urls, 1 - len(urls)):
        try:
            _told(title, url, lambda url=url: download_url(url, folder, name, md5))  # type: ignore[misc]
            return
        except SuiteError:
            if last == 0:
                raise


def fetch_archive(title: str, data: Path, sums: Mapping[str, str], url: str, name: str, md5: str) -> None:
    """Fetch an archive and unpack it in `data`, unless all files of `sums` are there and whole."""
    from torchvision.datasets.utils import check_integrity, download_and_extract_archive

    if not all(check_integrity(data / path, wanted) for path, wanted in sums.items()):
        _told(title, url, lambda: download_and_extract_archive(url, str(data), filename=name, md5=md5))


def _told(title: str, url: str, call: Callable[[], None]) -> None:
    try:
        call()
    except (RuntimeError, OSError, EOFError, ValueError, tarfile.TarError) as error:  # URLError is an OSError
        if isinstance(error, HTTPError):
            error.close()  # an answer like others: it holds the connection
        raise SuiteError(f"{title} cannot be fetched from {url}: {said(error)}; fetch it by hand") from None
