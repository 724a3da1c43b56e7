"""Data sets as their publishers distribute them: where they must lie, how they are read, what is said if they don't.

    mapbench data digits        what is there, what is missing, the layout that is expected, and where to get it

A domain that is read from a disk has a `Raw`. Its `open` gives `Images`: ids, labels, and pixels one by one, so that no
data set has to fit into memory. Ids are names inside the data set, sorted, never an order of listing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class MissingData(SuiteError):
    """Data that nobody has put where it is looked for. One line per data set."""


class Images(Protocol):
    """What a data set holds. `pixels(i, size)` is image i as uint8 (3, size, size), RGB."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def labels(self) -> Sequence[int]: ...
    def pixels(self, index: int, size: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Raw:
    """A data set below the data folder, as it is distributed.

    `open` gives the images of one domain; it calls `absent` and `broken` where it cannot. `sums` are the md5 that the
    publisher, or torchvision, states for files, by their path; `download` fetches them, where torchvision can."""

    title: str  # as people call it
    layout: tuple[str, ...]  # what must lie below the data folder, one line each
    get: str  # where it comes from, and what to do with it
    open: Callable[[Path, Raw], Images]
    count: int | None = None  # images of this domain, where it is known; fewer are refused
    sums: Callable[[], Mapping[str, str]] = dict
    download: Callable[[Path], None] | None = None

    def read(self, data: Path) -> Images:
        """The images of the domain. MissingData where they are not there, SuiteError where they are not whole."""
        try:
            images = self.open(data, self)
        except OSError as error:  # a disk, or rights: wherever a loader meets it, it is one line
            self.broken(Path(str(error.filename or data)), f"cannot be read ({error.strerror or error})")
        if self.count is not None and len(images.ids) < self.count:
            self.broken(data, f"has {len(images.ids):,} of {self.count:,} images: half extracted, or not all fetched")
        return images

    def absent(self, path: Path, but: str = "") -> NoReturn:
        """`path` is not there, `but` something else is."""
        but = but and f", {but}"
        raise MissingData(_line(f"{self.title} is not there: no {path}{but}; expected {self._expected}; {self.get}"))

    def broken(self, path: Path, why: str) -> NoReturn:
        """What lies at `path` is not what is expected."""
        raise SuiteError(_line(f"{self.title}: {path} {why}; expected {self._expected}; {self.get}"))

    def need(self, path: Path) -> Path:
        """`path`, which must be there."""
        return path if self.there(path) else self.absent(path)

    def there(self, path: Path) -> bool:
        """Whether there is something at `path`."""
        try:
            return path.exists()
        except OSError as error:  # in a folder that may not be looked into
            self.broken(path, f"cannot be read ({error.strerror})")

    def whole(self, path: Path, data: Path, stated: str | None = None, why: str = "is damaged") -> Path:
        """`path`, which must be there and have the md5 that is stated for it, or for `stated`, where it lies elsewhere.

        `why` says what else may be wrong than its bytes."""
        self.need(path)  # before `sums`, which may load torchvision
        try:
            wanted, found = self.sums().get(stated or path.relative_to(data).as_posix()), _md5(path)
        except OSError as error:
            self.broken(path, f"cannot be read ({error.strerror})")
        if wanted not in (None, found):
            self.broken(path, f"{why}: its md5 is {found}, not {wanted}")
        return path

    @property
    def _expected(self) -> str:
        where = "" if self.layout[0].startswith(("/", "~")) else "below the data folder: "
        return where + ", ".join(line.strip() for line in self.layout)


def _line(text: str) -> str:
    """One line, whatever stands in a path or in a library's message."""
    return " ".join(text.splitlines())


def _md5(path: Path) -> str:
    """32 hex digits: what publishers state."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def squared(image: Image, size: int) -> np.ndarray:
    """A picture as uint8 (3, size, size): the published chain, torchvision's Resize((size, size)) of a PIL image, which
    is PIL's bilinear, whatever the proportions (baselines.md A3). At its own size a picture stays as it is."""
    import numpy as np
    from PIL import Image as pil

    image = image.convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), pil.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


@dataclass(frozen=True)
class Arrays:
    """Images that were decoded at once: each of `stored` uint8 (h, w) or (h, w, 3). `enlarge` makes of each what the
    published loaders keep, before it is brought to the suite's size."""

    ids: Sequence[str]
    labels: Sequence[int]
    stored: Sequence[np.ndarray]  # views of an array, so that some of them are chosen without a copy
    enlarge: Callable[[np.ndarray], np.ndarray] | None = None

    def pixels(self, index: int, size: int) -> np.ndarray:
        from PIL import Image as pil

        image = self.stored[index]
        return squared(pil.fromarray(self.enlarge(image) if self.enlarge else image), size)


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

    def kept(self, image: Image) -> Image:
        """What the published loaders keep of a picture, before it is brought to the suite's size."""
        return image


@dataclass(frozen=True)
class Patched:
    """Images with a change made to each, at the suite's size."""

    images: Images
    change: Callable[[np.ndarray], np.ndarray]

    @property
    def ids(self) -> Sequence[str]:
        return self.images.ids

    @property
    def labels(self) -> Sequence[int]:
        return self.images.labels

    def __getattr__(self, name: str) -> Any:  # what only some images tell: classes, origin
        return getattr(object.__getattribute__(self, "images"), name)

    def pixels(self, index: int, size: int) -> np.ndarray:
        return self.change(self.images.pixels(index, size))


def patched(raw: Raw, change: Callable[[np.ndarray], np.ndarray]) -> Raw:
    """The data set with `change` made to every image."""
    return replace(raw, open=lambda data, _: Patched(raw.read(data), change))


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
    ids: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(_images(raw, root / name, f"{name}/", set()))
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


def _images(raw: Raw, folder: Path, prefix: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """The images anywhere below a folder. Links are followed, as ImageFolder does, and no folder is read twice: a link
    back up would put every picture into two parts."""
    told = folder.stat()
    if (told.st_dev, told.st_ino) in seen:
        return
    seen.add((told.st_dev, told.st_ino))
    with os.scandir(folder) as entries:
        held = sorted(entries, key=lambda entry: entry.name)  # of two names of one folder, the first counts everywhere
    for entry in held:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _images(raw, folder / entry.name, f"{prefix}{entry.name}/", seen)
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


def first(raw: Raw, data: Path, *names: str) -> Path:
    """The first of several names under which a data set is found on disks; the first of all where none is."""
    there = (data / name for name in names if (data / name).is_dir())
    return next(there, None) or raw.absent(data / names[0])


def origin(images: Images, index: int) -> dict[str, Any]:
    """Where an image came from, where that says more than its id does."""
    told = getattr(images, "origin", None)
    return dict(told(index)) if told else {}
