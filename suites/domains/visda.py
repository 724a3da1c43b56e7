"""VisDA-2017: twelve things as renderings of 3D models (visda-train) and as photographs (visda-val).

    mapbench data visda

As published, 1,000 images of each class are taken; here these are the first in the order of the split's hash, where
NTL, CUTI and NTLBench take the first that a disk lists. Classes are numbered by name, where these take them as listed,
so that theirs may differ between the two domains. The publisher's image_list.txt, where it is there, says which images
must be. A train.tar or validation.tar that nobody has unpacked is unpacked by who prepares.
"""

from __future__ import annotations

import shutil
import uuid
from functools import partial
from pathlib import Path

from suites import archives
from suites.domains import Domain
from suites.domains._files import listed, tree
from suites.domains._raw import Images, Raw
from suites.domains._trees import below, there

ROOTS = ("visda", "VisDA")  # NTLBench's is the second
CLASSES = (
    "aeroplane", "bicycle", "bus", "car", "horse", "knife", "motorcycle", "person", "plant", "skateboard", "train",
    "truck",
)  # fmt: skip


def _open(part: str, data: Path, raw: Raw) -> Images:
    tar = _packed(part, data)
    if tar:
        raw.absent(tar.with_suffix(""), f"but {tar} is there: `mapbench data visda` unpacks it")
    root = below(raw, data, ROOTS, (part,))
    stated = root / "image_list.txt"
    return listed(raw, root, [stated], CLASSES) if stated.exists() else tree(raw, root, CLASSES)


def _packed(part: str, data: Path) -> Path | None:
    """The tar of a part that nobody has unpacked."""
    tar = next((data / root / f"{part}.tar" for root in ROOTS if (data / root / f"{part}.tar").is_file()), None)
    return None if there(data, ROOTS, (part,)) else tar


def _unpack(part: str, data: Path, raw: Raw) -> None:
    """`train.tar` to `train/` beside it, which gets its name when all of it is there; nothing where it is already."""
    tar = _packed(part, data)
    if tar is None:
        return
    ready = tar.parent / f".{part}.{uuid.uuid4().hex[:8]}"  # one's own: two processes may be at it
    try:
        archives.extract(tar, ready)
        if not (ready / part).is_dir():
            raw.broken(tar, f"has no folder {part}/ in it")
        try:
            (ready / part).rename(tar.parent / part)
        except OSError:
            if not (tar.parent / part).is_dir():  # otherwise another process was first
                raise
    finally:
        shutil.rmtree(ready, ignore_errors=True)


DOMAINS = tuple(
    Domain(
        name, about, CLASSES, per_class=1000,
        raw=Raw(
            "VisDA-2017",
            ("visda/{train,validation}/CLASS/IMAGE, each with image_list.txt", "or visda/train.tar and validation.tar"),
            "from http://csr.bu.edu/ftp/visda17/clf (for research that is not commercial)",
            partial(_open, part),
            count,
            unpack=partial(_unpack, part),
        ),
    )
    for name, about, part, count in (
        ("visda-train", "VisDA-2017's renderings of 3D models, 1,000 a class", "train", 152397),
        ("visda-val", "VisDA-2017's photographs (from COCO), 1,000 a class", "validation", 55388),
    )
)  # fmt: skip
