"""STL-10, train and test: 5,000 and 8,000 photographs of 96 px, labelled in CIFAR-10's order. `stl9`: without `monkey`.

    <data>/stl10_binary/train_X.bin, train_y.bin, test_X.bin, test_y.bin

The order is the published loaders' (baselines.md A1): it puts STL's monkey where CIFAR has its frog, class 6, and calls
it by CIFAR's number. `stl10` keeps that, for numbers that can be compared; `stl9` and `cifar9` leave class 6 out, and
mean the same by every number. torchvision's own reader is not used: it wants the md5 of the 2.6 GB of unlabelled images
too. Ids are places in a file: train-00000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from suites.domains import Domain, Raw
from suites.domains._arrays import by_torchvision, fetch_archive, matched, named, without
from suites.domains._raw import Arrays

HOME = "stl10_binary"
FILES = {part: (f"{part}_X.bin", f"{part}_y.bin") for part in ("train", "test")}
PUBLISHED = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
CIFARS = (0, 2, 1, 3, 4, 5, 7, 6, 8, 9)  # STL's class i is CIFAR's class CIFARS[i]
CLASSES = tuple(name for _, name in sorted(zip(CIFARS, PUBLISHED, strict=True)))
MONKEY = CLASSES.index("monkey")
SIDE = 96  # pixels


def all_ten(data: Path, raw: Raw) -> Arrays:
    """The images of train, and then of test."""
    import numpy as np

    paths = {part: [raw.need(data / HOME / name) for name in names] for part, names in FILES.items()}
    ids: list[str] = []
    labels: list[int] = []
    images: list[np.ndarray] = []
    for part, (pictures, targets) in paths.items():
        raw.whole(pictures, data)
        told = np.fromfile(raw.whole(targets, data), np.uint8).astype(int) - 1  # the file's are 1 to 10
        size = pictures.stat().st_size
        if size == 0 or size % (3 * SIDE * SIDE):
            raw.broken(pictures, f"is cut short: {size:,} bytes are no whole number of images of {3 * SIDE * SIDE:,}")
        held = np.asarray(np.memmap(pictures, np.uint8, mode="r")).reshape(-1, 3, SIDE, SIDE)
        labels += [CIFARS[label] for label in matched(raw, targets, len(held), told)]
        ids += named(part, len(held))
        images += list(held.transpose(0, 3, 2, 1))  # stored column by column, as MATLAB does
    return Arrays(ids, labels, images)


def sums() -> Mapping[str, str]:
    from torchvision.datasets import STL10

    stated = dict([*STL10.train_list, *STL10.test_list])
    return {f"{HOME}/{name}": stated[name] for names in FILES.values() for name in names}


def download(data: Path) -> None:
    """Fetch the archive, 2.6 GB with its unlabelled images, from where torchvision has it, and unpack it."""
    from torchvision.datasets import STL10

    fetch_archive("STL-10", data, sums(), STL10.url, STL10.filename, STL10.tgz_md5)


def _raw(open_: Callable[[Path, Raw], Arrays], count: int) -> Raw:
    return Raw(
        "STL-10", tuple(f"{HOME}/{name}" for names in FILES.values() for name in names),
        by_torchvision("https://cs.stanford.edu/~acoates/stl10/ (2.6 GB)"), open_, count, sums, download,
    )  # fmt: skip


DOMAINS = (
    Domain("stl10", "photographs of ten kinds, in CIFAR's order (STL-10)", CLASSES, raw=_raw(all_ten, 13_000)),
    Domain(
        "stl9", "STL-10 without monkeys, which CIFAR-10 has not", tuple(name for name in CLASSES if name != "monkey"),
        raw=_raw(lambda data, raw: without(all_ten(data, raw), MONKEY), 11_700),
    ),
)  # fmt: skip
