"""A folder of a user's own as a domain: one folder per class below it, as torchvision's ImageFolder has it.

    domains: ["folder:photos/store", "folder:photos/web"]      in a suite file; called `store` and `web`
    domains: [{shop: "folder:photos/store"}, ...]              or by a name of your own

The path is below the data folder (--data), or absolute. The folders of a suite must have the same classes. What is in a
folder is looked at each time, so that images that were added or changed are noticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from suites.domains import Domain
from suites.domains._files import EXTENSIONS, Files, subfolders, tree
from suites.domains._raw import Raw
from suites.errors import SuiteError


@dataclass(frozen=True)
class Folder(Files):
    """The images of a user's folder, and what its classes are called."""

    classes: tuple[str, ...] = ()


def own(name: str, path: str) -> Domain:
    """The domain `name` behind `folder:PATH`."""

    try:
        place = Path(path).expanduser()
    except RuntimeError:  # ~somebody, who is not here
        raise SuiteError(f"cannot find the folder {path!r}: nobody here is called so; write its path") from None

    def open_(data: Path, raw: Raw) -> Folder:
        root = raw.need(data / place)
        classes = tuple(subfolders(root))
        if not classes:
            raw.broken(root, "has no folders in it")
        files = tree(raw, root, classes)
        return Folder(files.ids, files.labels, files.root, raw, classes)

    layout = (f"{path}/CLASS/IMAGE ({' '.join(EXTENSIONS)}), one folder per class",)
    raw = Raw(f"your own {name!r}", layout, "put it there, or name another folder in the suite file", open_)
    # not capped: what a person puts there is meant
    return Domain(name, f"a folder of your own, {path}", (), raw=raw, folder=path, capped=False)


def state(data: Path, domain: Domain) -> str:
    """What the listing of a user's folder looks like now: sha256 of its paths, sizes and times. Nothing is read."""
    assert domain.raw is not None
    images = domain.raw.read(data)
    root = data / Path(domain.folder).expanduser()
    digest = hashlib.sha256()
    for name in images.ids:
        try:
            told = (root / name).stat()
        except OSError as error:  # removed since it was listed
            domain.raw.broken(root / name, f"cannot be read ({error.strerror})")
        digest.update(f"{name}\0{told.st_size}\0{told.st_mtime_ns}\0".encode())
    return digest.hexdigest()
