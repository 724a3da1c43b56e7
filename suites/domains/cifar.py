"""CIFAR-10, the five train batches: 50,000 photographs of 32 px. `cifar9` is the same without `frog`.

    <data>/cifar-10-batches-py/data_batch_1 ... data_batch_5, batches.meta

`cifar9` goes with `stl9` (stl.py): nine classes that both sets have, numbered 0 to 8. Ids are places in a batch:
data_batch_1-00000. The md5 that torchvision states is checked before a batch is opened, and nothing in it is run
(_pickles.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from suites.domains import Domain, Raw
from suites.domains._arrays import by_torchvision, fetch_archive, matched, named, without
from suites.domains._pickles import load
from suites.domains._raw import Arrays

HOME = "cifar-10-batches-py"
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
NAMES = "batches.meta"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FROG = CLASSES.index("frog")


def all_ten(data: Path, raw: Raw) -> Arrays:
    """The images of the five batches, one after the other."""
    import numpy as np

    paths = [raw.need(data / HOME / name) for name in (*BATCHES, NAMES)]  # before the first md5: that loads torchvision
    for path in paths:
        raw.whole(path, data)
    if tuple(load(raw, paths[-1]).get("label_names", ())) != CLASSES:
        raw.broken(paths[-1], f"has other label_names than {' '.join(CLASSES)}")
    ids: list[str] = []
    labels: list[int] = []
    images: list[np.ndarray] = []
    for path in paths[:-1]:
        held = load(raw, path)
        pixels, told = held.get("data"), held.get("labels")
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3 * 32 * 32,):
            raw.broken(path, "has no `data` of uint8 (images, 3072)")
        if not isinstance(told, list) or not all(isinstance(label, int) for label in told):
            raw.broken(path, "has no `labels`, a number per image")
        labels += matched(raw, path, len(pixels), told)
        ids += named(path.name, len(pixels))
        images += list(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Arrays(ids, labels, images)


def sums() -> Mapping[str, str]:
    from torchvision.datasets import CIFAR10

    stated = {**dict(CIFAR10.train_list), NAMES: CIFAR10.meta["md5"]}
    return {f"{HOME}/{name}": md5 for name, md5 in stated.items()}


def download(data: Path) -> None:
    """Fetch the archive from where torchvision has it, and unpack it."""
    from torchvision.datasets import CIFAR10

    fetch_archive("CIFAR-10", data, sums(), CIFAR10.url, CIFAR10.filename, CIFAR10.tgz_md5)


def _raw(open_: Callable[[Path, Raw], Arrays], count: int) -> Raw:
    return Raw(
        "CIFAR-10", (f"{HOME}/data_batch_1 to data_batch_5", f"{HOME}/{NAMES}"),
        by_torchvision("https://www.cs.toronto.edu/~kriz/cifar.html"), open_, count, sums, download,
    )  # fmt: skip


DOMAINS = (
    Domain("cifar10", "photographs of ten kinds (CIFAR-10, train)", CLASSES, raw=_raw(all_ten, 50_000)),
    Domain(
        "cifar9", "CIFAR-10 without frogs, which STL-10 has not", tuple(name for name in CLASSES if name != "frog"),
        raw=_raw(lambda data, raw: without(all_ten(data, raw), FROG), 45_000),
    ),
)  # fmt: skip
