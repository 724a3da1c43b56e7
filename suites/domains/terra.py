"""Terra Incognita: ten animals (one of them is none) before the camera traps of four places.

    mapbench data terra-incognita

It is read from the folders that DomainBed's script makes, or from LILA's own distribution, of which the script makes
them; ids are `class/file` in both. A picture that shows two of the classes lies in two folders there. It has no one
truth, and could be trained on under one label and tested under the other, so it is left out here, from both. Pictures
of one burst, which differ by a second, are kept, as published; the rule deals them to the parts one by one.

How many images there are depends on LILA's version of the labels (24,330 and 24,788 are reported), so no number is
asked for. With both versions there, the five files that DomainBed's script uses now are taken.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from suites.domains import Domain
from suites.domains._files import Files, tree
from suites.domains._raw import Images, Raw
from suites.domains._trees import below, there

ROOTS = ("terra_incognita",)
IMAGES = "eccv_18_all_images_sm"
ANNOTATIONS = "eccv_18_annotation_files"
PARTS = ("train", "cis_val", "cis_test", "trans_val", "trans_test")
WHOLE = "caltech_images_20210113.json"
CLASSES = (
    "bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel",
)  # fmt: skip


class Flat(Files):
    """Images in one folder, whose class is not in their path but in their id."""

    def path(self, index: int) -> Path:
        return self.root / self.ids[index].partition("/")[2]


def _open(location: str, data: Path, raw: Raw) -> Images:
    root = data / ROOTS[0]
    if (root / IMAGES).is_dir() and not there(data, ROOTS, (f"location_{location}",)):
        return _lila(raw, root, location)
    files = tree(raw, below(raw, data, ROOTS, (f"location_{location}",)), CLASSES)
    held = Counter(PurePosixPath(name).name for name in files.ids)
    kept = [i for i, name in enumerate(files.ids) if held[PurePosixPath(name).name] == 1]
    return Files([files.ids[i] for i in kept], [files.labels[i] for i in kept], files.root, raw)


def _lila(raw: Raw, root: Path, location: str) -> Images:
    """The images of a place by LILA's labels, in COCO's format for camera traps."""
    kinds: dict[str, set[str]] = {}
    for path in _annotations(raw, root):
        try:
            for file, kind in _labels(json.loads(path.read_bytes()), location):
                kinds.setdefault(file, set()).add(kind)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raw.broken(path, "is not a list of images in COCO's format for camera traps: cut short, or another file")
    labels = {f"{kind}/{file}": CLASSES.index(kind) for file, (kind, *more) in kinds.items() if not more}
    for number, name in enumerate(CLASSES):
        if number not in labels.values():
            raw.broken(root, f"has no image of class {name!r} at location {location} in its labels")
    on_disk = {path.name for path in (root / IMAGES).iterdir()}
    ids = sorted(labels)
    gone = [name for name in ids if name.partition("/")[2] not in on_disk]
    if gone:
        raw.broken(
            root / IMAGES,
            f"is half extracted, or not all fetched: {len(gone):,} of {len(ids):,} images of location {location} are "
            f"not there, the first {gone[0].partition('/')[2]}",
        )
    return Flat(ids, [labels[name] for name in ids], root / IMAGES, raw)


def _annotations(raw: Raw, root: Path) -> list[Path]:
    """The files with LILA's labels: the five of eccv_18_annotations, or the one of all its images."""
    for folder in (root / ANNOTATIONS, root):
        five = [folder / f"{part}_annotations.json" for part in PARTS]
        if any(path.exists() for path in five):
            return [raw.need(path) for path in five]
    return [raw.need(root / WHOLE)]


def _labels(told: Any, location: str) -> Iterator[tuple[str, str]]:
    """Each image of a place, with each of the ten classes that it is annotated with."""
    names = {item["id"]: item["name"] for item in told["categories"]}
    here = {item["id"]: item["file_name"] for item in told["images"] if str(item.get("location")) == location}
    for item in told["annotations"]:
        if item["image_id"] in here and names[item["category_id"]] in CLASSES:
            file = here[item["image_id"]]
            if "/" in file:  # they lie in one folder: another path leads elsewhere
                raise ValueError(file)
            yield file, names[item["category_id"]]


DOMAINS = tuple(
    Domain(
        f"terra-{location}", f"Terra Incognita's camera trap no. {location}", CLASSES,
        raw=Raw(
            "Terra Incognita",
            (
                "terra_incognita/location_{38,43,46,100}/CLASS/IMAGE, as DomainBed's download.py makes it",
                f"or terra_incognita/{IMAGES}/IMAGE with terra_incognita/{ANNOTATIONS}/*.json or {WHOLE}",
            ),
            f"from https://lila.science/datasets/caltech-camera-traps: unpack {IMAGES}.tar.gz and "
            "eccv_18_annotations.tar.gz there",
            partial(_open, location),
        ),
    )
    for location in ("38", "43", "46", "100")
)  # fmt: skip
