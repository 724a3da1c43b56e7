"""Data sets that are folders of pictures, a handful of images each, as their publishers lay them out."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suites import SuiteError, domains
from suites.domains import MissingData, domainnet


@dataclass(frozen=True)
class Form:
    """How a domain lies below the data folder: `root/folder/CLASS/file`, so many images of each class."""

    root: str
    folder: str
    each: int
    listed: str = ""  # how its lists name an image


FORMS = {
    "visda-train": Form("visda", "train", 2, "{kind}/{file}"),
    "visda-val": Form("visda", "validation", 2, "{kind}/{file}"),
    "art": Form("office_home", "Art", 1),
    "clipart": Form("office_home", "Clipart", 1),
    "product": Form("office_home", "Product", 1),
    "real-world": Form("office_home", "Real World", 1),
    **{f"domainnet-{n}": Form("domain_net", n, 3, n + "/{kind}/{file}") for n in domainnet.COUNTS},
    "pacs-photo": Form("PACS", "photo", 3),
    "pacs-art": Form("PACS", "art_painting", 3),
    "pacs-cartoon": Form("PACS", "cartoon", 3),
    "pacs-sketch": Form("PACS", "sketch", 3),
    "vlcs-voc2007": Form("VLCS", "VOC2007", 4),
    "vlcs-caltech101": Form("VLCS", "Caltech101", 4),
    "vlcs-labelme": Form("VLCS", "LabelMe", 4),
    "vlcs-sun09": Form("VLCS", "SUN09", 4),
    **{f"terra-{n}": Form("terra_incognita", f"location_{n}", 2) for n in ("38", "43", "46", "100")},
}
ONE_OF_EACH = ("visda-val", "real-world", "domainnet-sketch", "pacs-art", "vlcs-sun09", "terra-38")
Pictures = dict[str, tuple[int, np.ndarray]]  # by id: label, and pixels (height, width, 3)


def picture(name: str) -> np.ndarray:
    """Noise that depends on a name; every other one is of 32 pixels."""
    draw = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    shape = (32, 32) if draw.integers(2) else (24, 41)
    return draw.integers(0, 256, (*shape, 3), dtype=np.uint8)


def some_classes(name: str) -> list[str]:
    """The classes that are written: all, but of DomainNet the ones whose order is odd."""
    if name.startswith("domainnet"):
        return ["aircraft_carrier", "cell_phone", "cello", "t-shirt", "The_Eiffel_Tower", "zigzag"]
    return list(domains.known()[name].classes)


def write(data: Path, name: str, backwards: bool = False) -> Pictures:
    """The images of a domain in files; what is written."""
    form, classes = FORMS[name], domains.known()[name].classes
    at, made = data / form.root / form.folder, {}
    lines: list[str] = []
    for kind in some_classes(name)[:: -1 if backwards else 1]:
        (at / kind).mkdir(parents=True)
        label = classes.index(kind)
        for number in range(form.each)[:: -1 if backwards else 1]:
            file = f"{form.folder.split()[0]}_{label + 1:03}_{number:06}.png"
            array = picture(f"{name}/{file}")
            Image.fromarray(array).save(at / kind / file)
            listed = (form.listed or "{kind}/{file}").format(kind=kind, file=file)
            made[listed] = (label, array)
            lines.append(f"{listed} {label}\n")
    lines.sort()  # the lists are files of the publisher, the same for all
    if name.startswith("domainnet"):
        for half, part in (("train", lines[::3]), ("test", lines[1::3] + lines[2::3])):
            (data / form.root / f"{form.folder}_{half}.txt").write_text("".join(part))
    elif form.listed:
        (at / "image_list.txt").write_text("".join(lines))
    return made


def fit(monkeypatch: pytest.MonkeyPatch, data: Path, name: str, count: int | None) -> None:
    """Make the domain expect what is written: so many images, lists of these md5."""
    held = domains.known()[name]
    assert held.raw
    sums = {
        path.relative_to(data).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in data.glob("domain_net/*.txt")
    }
    monkeypatch.setitem(domains.known(), name, replace(held, raw=replace(held.raw, count=count, sums=lambda: sums)))


def unpacked(data: Path, name: str) -> None:
    """What who prepares does before it reads."""
    raw = domains.known()[name].raw
    assert raw is not None
    if raw.unpack:
        raw.unpack(data, raw)


def read(data: Path, name: str) -> Any:
    raw = domains.find(name).raw
    assert raw
    return raw.read(data)


def check(images: Any, made: Pictures) -> None:
    """The images are those that were written: ids, labels and pixels, exactly."""
    assert list(images.ids) == sorted(made)
    assert list(images.labels) == [made[i][0] for i in images.ids]
    for index, name in enumerate(images.ids):
        wanted = Image.fromarray(made[name][1])
        if wanted.size != (32, 32):
            wanted = wanted.resize((32, 32), Image.Resampling.BILINEAR)
        assert (images.pixels(index, 32) == np.asarray(wanted).transpose(2, 0, 1)).all(), name


def refused(data: Path, name: str, *parts: object, missing: bool = False) -> str:
    """The one line that is said of a domain, which has all of `parts` in it, and the layout."""
    raw = domains.find(name).raw
    assert raw
    with pytest.raises(SuiteError) as error:
        images = raw.read(data)
        for index in range(len(images.ids)):
            images.pixels(index, 32)
    said = str(error.value)
    assert isinstance(error.value, MissingData) == missing
    assert "\n" not in said and said.startswith(raw.title)
    for part in (*parts, *raw.layout, raw.get):
        assert str(part) in said, said
    return said


class Shuffled:
    """os.scandir in an order of its own."""

    def __init__(self, path: Any, seed: int = 0):
        with SCANDIR(path) as entries:
            self.held = sorted(entries, key=lambda entry: entry.name)
        random.Random(seed).shuffle(self.held)

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return iter(self.held)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return iter(self.held)

    def __exit__(self, *_: object) -> None:
        pass


SCANDIR = os.scandir


def annotations(
    data: Path, shown: dict[str, tuple[Any, list[str]]], kinds: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """LILA's five files, by name: `shown` says of each file where it was taken and what it shows."""
    parts = ("train", "cis_val", "cis_test", "trans_val", "trans_test")
    numbers = {kind: 3 * i + 1 for i, kind in enumerate(kinds)}
    told: dict[str, dict[str, Any]] = {
        f"{part}_annotations.json": {
            "categories": [{"id": number, "name": kind} for kind, number in numbers.items()],
            "images": [], "annotations": [],
        }
        for part in parts
    }  # fmt: skip
    for i, (file, (location, held)) in enumerate(shown.items()):
        into = told[f"{parts[i % 5]}_annotations.json"]
        into["images"].append({"id": file.partition(".")[0], "file_name": file, "location": location})
        into["annotations"] += [
            {"id": f"{file}{n}", "image_id": file.partition(".")[0], "category_id": numbers[kind]}
            for n, kind in enumerate(held)
        ]
    for file, content in told.items():
        at = data / "terra_incognita" / "eccv_18_annotation_files" / file
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(json.dumps(content))
    return told
