"""MNIST-M, the train part: handwritten digits blended with patches of photographs, colour, in either distribution.

    <data>/mnist_m/mnist_m_train/*.png, mnist_m/mnist_m_train_labels.txt      59,001 images; `00022776.png 4` a line
    <data>/mnistm_data.pkl        a pickled dict: train, uint8 (n, 28, 28, 3), and train_label, numbers or one-hot

Where both are there the PNGs are read. The two are not the same images; the pickle's backgrounds were drawn anew by
whoever made one, so nobody can state an md5. Channels are RGB; NTL's and NTLBench's are BGR, a slip of OpenCV's reader
that is not repeated. Ids are file names, or places in the array: train-00000. Nothing in a pickle is run (_pickles.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suites.domains import DIGITS, Domain, Raw
from suites.domains._arrays import matched, named
from suites.domains._files import Files, listed
from suites.domains._pickles import load
from suites.domains._raw import Arrays, Images

HOME, PICKLE, ARCHIVE = "mnist_m", "mnistm_data.pkl", "mnist_m.tar.gz"
COUNT = 59_001  # of the PNGs
MD5 = "859df31c91afe82e80e5012ba928f279"  # of the archive, as pytorch-adapt and dm_nevis have it


def read(data: Path, raw: Raw) -> Images:
    folder = data / HOME / "mnist_m_train"
    if raw.there(folder):
        return pictures(data / HOME, raw)
    if raw.there(data / PICKLE):
        return pickled(data / PICKLE, raw)
    if raw.there(data / ARCHIVE):
        return raw.absent(folder, f"but {raw.whole(data / ARCHIVE, data)} is: unpack it there (tar xzf {ARCHIVE})")
    return raw.absent(folder)


def pictures(root: Path, raw: Raw) -> Files:
    """The PNGs that the list names; each must be there."""
    labels, folder = root / "mnist_m_train_labels.txt", root / "mnist_m_train"
    found = listed(raw, folder, [labels])
    if len(found.ids) < COUNT:
        raw.broken(labels, f"names {len(found.ids):,} of {COUNT:,} images: it is cut short")
    matched(raw, labels, len(found.ids), found.labels)
    return found


def pickled(path: Path, raw: Raw) -> Arrays:
    """The arrays `train` and `train_label` of the pickle."""
    import numpy as np

    held = load(raw, path)
    if "train" in held and "train_label" not in held:
        raw.broken(path, "has images and no train_label: tf-dann's own script leaves the labels out; take the PNGs")
    images, labels = held.get("train"), _numbers(held.get("train_label"))
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (28, 28, 3):
        raw.broken(path, "has no `train` of uint8 (images, 28, 28, 3)")
    if labels is None:
        raw.broken(path, "has a `train_label` that is neither a number per image nor one-hot (images, 10)")
    numbers = matched(raw, path, len(images), labels)
    return Arrays(named("train", len(numbers)), numbers, list(images))


def _numbers(labels: Any) -> list[int] | None:
    """The labels as numbers; None where they can be read in no way."""
    import numpy as np

    try:
        array = np.asarray(labels)
        if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
            return None
    except ValueError:  # lists of several lengths
        return None
    if array.ndim == 2 and array.shape[1] == 10:
        return array.argmax(1).tolist() if ((array != 0).sum(1) == 1).all() and (array.sum(1) == 1).all() else None
    return array.astype(int).tolist() if array.ndim == 1 and (array == array.astype(int)).all() else None


def sums() -> dict[str, str]:
    return {ARCHIVE: MD5}


RAW = Raw(
    "MNIST-M",
    (f"{HOME}/mnist_m_train/*.png with {HOME}/mnist_m_train_labels.txt", f"or {PICKLE} with train and train_label"),
    f"get {ARCHIVE} from the link at http://yaroslav.ganin.net and unpack it there",
    read,
    sums=sums,
)
DOMAINS = (Domain("mnist-m", "handwritten digits on photographs, in colour (MNIST-M, train)", DIGITS, raw=RAW),)
