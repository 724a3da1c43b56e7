"""Data sets as their publishers distribute them: where they must lie, how they are read, what is said if they don't.

    mapbench data digits        what is there, what is missing, the layout that is expected, and where to get it

A domain that is read from a disk has a `Raw`. Its `open` gives `Images`: ids, labels, and pixels one by one, so that no
data set has to fit into memory. Ids are names inside the data set, sorted, never an order of listing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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
    count: int | None = None  # images of this domain, where it is known; others are refused, a split follows from all
    sums: Callable[[], Mapping[str, str]] = dict
    download: Callable[[Path], None] | None = None
    unpack: Callable[[Path, Raw], None] | None = None  # an archive that may lie there instead, when it is prepared

    def read(self, data: Path) -> Images:
        """The images of the domain. MissingData where they are not there, SuiteError where they are not whole. Writes
        nothing: who prepares them calls `unpack` first."""
        try:
            images = self.open(data, self)
        except OSError as error:  # a disk, or rights: wherever a loader meets it, it is one line
            self.broken(Path(str(error.filename or data)), f"cannot be read ({error.strerror or error})")
        if self.count is not None and len(images.ids) != self.count:
            why = (
                "half extracted, or not all fetched" if len(images.ids) < self.count else "some are not the publisher's"
            )
            self.broken(data, f"has {len(images.ids):,} of {self.count:,} images: {why}")
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

    if image.mode != "RGB":  # else it would be copied
        image = image.convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), pil.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


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

    def state(self, index: int) -> str:
        """Tells other pixels under the same id."""
        return hashlib.sha256(self.stored[index].tobytes()).hexdigest()


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


def origin(images: Images, index: int) -> dict[str, Any]:
    """Where an image came from, where that says more than its id does."""
    told = getattr(images, "origin", None)
    return dict(told(index)) if told else {}
