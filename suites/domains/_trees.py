"""Data sets that are folders of image files: what their loaders share. A domain is a folder, a class is one in it.

mapbench data pacs          # uses it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from suites.domains import Domain
from suites.domains._files import subfolders, tree
from suites.domains._raw import Images, Raw


def family(
    title: str, layout: Sequence[str], get: str, roots: Sequence[str], classes: Sequence[str],
    folders: Mapping[str, tuple[str, int, tuple[str, ...]]],
) -> tuple[Domain, ...]:  # fmt: skip
    """The domains of a data set that is published as `domain/class/image`.

    `roots` are the folders it may lie in, the first is what people are told; `folders`, by the domain's name: what it
    is, how many images it has, and what its folder may be called."""
    return tuple(
        Domain(
            name,
            about,
            tuple(classes),
            raw=Raw(title, tuple(layout), get, partial(_open, roots, names, tuple(classes)), count),
        )
        for name, (about, count, names) in folders.items()
    )


def _open(roots: Sequence[str], names: Sequence[str], classes: Sequence[str], data: Path, raw: Raw) -> Images:
    return tree(raw, below(raw, data, roots, names), classes)


def there(data: Path, roots: Sequence[str], names: Sequence[str]) -> Path | None:
    """The first folder that has one of `names` in one of `roots`, or None."""
    return next((data / root / name for root in roots for name in names if (data / root / name).is_dir()), None)


def below(raw: Raw, data: Path, roots: Sequence[str], names: Sequence[str]) -> Path:
    """That folder; MissingData where there is none, SuiteError where it lies one folder too deep."""
    return there(data, roots, names) or _nowhere(raw, data, roots, names)


def _nowhere(raw: Raw, data: Path, roots: Sequence[str], names: Sequence[str]) -> NoReturn:
    held = [data / root for root in roots if (data / root).is_dir()]
    for root in held:
        for inner in subfolders(root):
            for name in names:
                # a folder of folders: VisDA has a class called `train`, which is not its domain of that name
                if (root / inner / name).is_dir() and subfolders(root / inner / name):
                    raw.broken(root, f"has {name} one folder too deep: move up what is in {root / inner}")
    raw.absent(held[0] / names[0] if held else data / roots[0])


def words(text: str) -> tuple[str, ...]:
    """Names of classes, as they are written in a file."""
    return tuple(text.split())
