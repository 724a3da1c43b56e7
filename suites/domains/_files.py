"""Images in files: a folder per class, or the files that a list names; listed in the order of their names, always.

    mapbench data office-home           mapbench data domainnet

`tree` follows the rules of torchvision's ImageFolder, `listed` reads `path label` lines. Both tell at once what is half
there, and open no image: that is left to who prepares them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from suites.domains._raw import Raw, squared

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True)
class Files:
    """Images in files: `ids` are their paths below `root`. They are read as torchvision's default_loader reads them:
    PIL's convert("RGB") of whatever mode a file has, CMYK, palette, 16 bits or alpha."""

    ids: Sequence[str]
    labels: Sequence[int]
    root: Path
    raw: Raw

    def path(self, index: int) -> Path:
        """The file of image `index`."""
        return self.root / self.ids[index]

    def pixels(self, index: int, size: int) -> np.ndarray:
        from PIL import Image as pil

        path = self.path(index)
        try:
            with pil.open(path) as image:
                return squared(self.kept(image), size)
        except FileNotFoundError:
            self.raw.broken(path, "is not there: half extracted, or not all fetched")
        except pil.UnidentifiedImageError:
            self.raw.broken(path, "is empty" if not path.stat().st_size else "cannot be decoded (it is no image)")
        except Exception as error:  # whatever PIL's parsers meet in damaged bytes: struct.error, IndexError, zlib.error
            self.raw.broken(path, f"cannot be decoded ({' '.join(str(error).split()) or type(error).__name__})")

    def state(self, index: int) -> str:
        """Tells another file under the same name."""
        try:
            told = self.path(index).stat()
        except OSError:
            return ""  # who decodes it says so
        return f"{told.st_size} {told.st_mtime_ns}"

    def kept(self, image: Image) -> Image:
        """What the published loaders keep of a picture, before it is brought to the suite's size."""
        return image


EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder


def tree(raw: Raw, root: Path, classes: Sequence[str]) -> Files:
    """A folder per class, images anywhere below it (torchvision's ImageFolder layout); labels in `classes`' order.

    Ids are `class/path`, sorted. What is no image by its ending is passed over, as ImageFolder does, and so is what is
    hidden: `._1.jpg`, `.ipynb_checkpoints/`. A class without a folder is refused: who numbers the folders that are
    there gives all later classes the wrong label."""
    raw.need(root)
    there = subfolders(root)
    absent = [name for name in classes if name not in there]
    if absent:
        for inner in there:
            if (root / inner / absent[0]).is_dir():
                raw.broken(root, f"has its class folders one folder too deep: move up what is in {root / inner}")
        more = f", nor are {len(absent) - 1} more of {len(classes)} class folders" if absent[1:] else ""
        raw.broken(root / absent[0], f"is not there{more} (there is {', '.join(there[:3]) or 'no folder'})")
    owners = {_place(root): ""}  # by what a folder is, not how it is called
    for name in classes:
        if owners.setdefault(_place(root / name), name) != name:
            raw.broken(root / name, f"is the same folder as {owners[_place(root / name)] or 'the one it is in'}")
    ids: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(_images(raw, root / name, f"{name}/", name, owners))
        if not found:
            raw.broken(root / name, "has no image in it")
        ids += found
        labels += [label] * len(found)
    odd = next((name for name in ids if re.search("[\ud800-\udfff]", name)), None)  # how Python reads such bytes
    if odd:
        raw.broken(root, f"has a file whose name is not UTF-8: {odd!a}")
    return Files(ids, labels, root, raw)


def subfolders(root: Path) -> list[str]:
    """The names of the folders in `root`, sorted, without hidden ones."""
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _place(folder: Path) -> tuple[int, int]:
    told = folder.stat()
    return told.st_dev, told.st_ino


def _images(
    raw: Raw, folder: Path, prefix: str, name: str, owners: dict[tuple[int, int], str]
) -> Iterator[str]:  # fmt: skip
    """The images anywhere below a folder of the class `name`. Links are followed, as ImageFolder does, and no folder is
    read twice: a link back up would put every picture into two parts, and one to another class's give it two labels.
    `owners` are the folders that were read, and for which class."""
    with os.scandir(folder) as entries:
        held = sorted(entries, key=lambda entry: entry.name)  # of two names of one folder, the first counts everywhere
    for entry in held:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            before = owners.get(_place(folder / entry.name))
            if before not in (None, "", name):
                raw.broken(folder / entry.name, f"leads to images of {before!r}, which cannot be {name!r} too")
            if before is None:
                owners[_place(folder / entry.name)] = name
                yield from _images(raw, folder / entry.name, f"{prefix}{entry.name}/", name, owners)
        elif entry.name.lower().endswith(EXTENSIONS):
            if not entry.is_file():
                raw.broken(folder / entry.name, "is a link to nothing: not all fetched")
            yield f"{prefix}{entry.name}"


def listed(raw: Raw, root: Path, lists: Sequence[Path], classes: Sequence[str] | None = None) -> Files:
    """The images that text files name, one `path label` a line, paths below `root`. Ids are these paths, sorted.

    All must be there. With `classes`, the folder of each must be called as the class of its label."""
    found: dict[str, int] = {}
    for path in lists:
        try:
            lines = raw.need(path).read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raw.broken(path, f"cannot be read ({error})")
        for number, line in enumerate(lines, 1):
            if line.strip():
                name, label = _line_of_a_list(line) or raw.broken(
                    path, f"has a line {number} that is not `path label`: {line.strip()[:60]!a}"
                )
                if classes and (label >= len(classes) or PurePosixPath(name).parent.name != classes[label]):
                    called = f"is {classes[label]!r}" if label < len(classes) else f"is not below {len(classes)}"
                    raw.broken(path, f"has a line {number} whose label, {label}, {called}: {name}")
                if found.setdefault(name, label) != label:
                    raw.broken(path, f"has a line {number} that gives {name} label {label}, after {found[name]}")
    if not found:
        raw.broken(lists[0], "names no image")
    names = sorted(found)
    there = {name for folder in {PurePosixPath(name).parent for name in names} for name in _names(root, folder)}
    gone = [name for name in names if name not in there]
    if gone:
        raw.broken(
            root,
            f"is half extracted, or not all fetched: {len(gone):,} of {len(names):,} listed images are not there, "
            f"the first {gone[0]}",
        )
    return Files(names, [found[name] for name in names], root, raw)


def _line_of_a_list(line: str) -> tuple[str, int] | None:
    """`path label` as both, or None for what is none: a path must stay below the folder it is in."""
    told = re.fullmatch(r"\s*(\S.*?)\s+([0-9]{1,9})\s*", line)
    path = PurePosixPath(told[1]) if told else None
    if told is None or path is None or path.is_absolute() or ".." in path.parts:
        return None
    return path.as_posix(), int(told[2])


def _names(root: Path, folder: PurePosixPath) -> Iterator[str]:
    """What is in one folder below `root`: a listing, since 150,000 questions for one file each take minutes."""
    try:
        with os.scandir(root / folder) as entries:
            yield from ((folder / entry.name).as_posix() for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
