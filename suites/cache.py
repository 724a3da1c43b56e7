"""Pixels of a suite as uint8 on disk: built once in seconds, verified, memory-mapped, and named by a fingerprint.

    <data>/<suite>/<domain>-32px-v1-split0/{train,attacker,val,test}.{images,labels}.npy, manifest.json

The manifest lists every image (id, label, part, sha256, where it came from). The fingerprint, which enters the keys of
all cells, is a sha256 over pixels, labels and parts. Processes may race: each builds in a folder of its own and the
first rename wins, so a reader never sees half a cache.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites import domains, splits
from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

    from suites.schema import Suite

SCHEMA = 1
_verified: dict[Path, tuple[int, int, str]] = {}  # array file -> size, mtime, sha256 of its content


@dataclass(frozen=True)
class Part:
    """One part of a domain: images uint8 (n, 3, size, size), memory-mapped and read-only; labels int64 (n,)."""

    images: np.ndarray
    labels: np.ndarray


def fingerprints(
    suite: Suite, data: Path, split_seed: int | None = None, say: Callable[[str], None] = lambda line: None
) -> dict[str, str]:
    """sha256 of every domain of the suite over pixels, labels and parts; builds what is missing.

    `say` gets one line per domain that has to be built. SuiteError for a damaged cache, or for a folder that cannot
    be written."""
    found = {}
    for domain in suite.domains:
        held = manifest(suite, data, split_seed, domain, say)
        for part in splits.PARTS:
            _load(folder(suite, data, split_seed, domain), held, part)
        found[domain] = str(held["fingerprint"])
    return found


def read(suite: Suite, data: Path, split_seed: int | None, domain: str, part: str) -> Part:
    """One part of one domain, built when missing and verified against its sha256 once per process and file state."""
    if domain not in suite.domains:
        raise SuiteError(f"suite {suite.suite} has no domain {domain!r}; it has {', '.join(suite.domains)}")
    if part not in splits.PARTS:
        raise SuiteError(f"unknown part {part!r}; a domain has {', '.join(splits.PARTS)}")
    return _load(folder(suite, data, split_seed, domain), manifest(suite, data, split_seed, domain), part)


def folder(suite: Suite, data: Path, split_seed: int | None, domain: str) -> Path:
    """Where a domain's cache lies; `split_seed` None means the suite's own."""
    seed = suite.split_seed if split_seed is None else split_seed
    return data / suite.suite / f"{domain}-{suite.image_size}px-v{domains.find(domain).version}-split{seed}"


def manifest(
    suite: Suite, data: Path, split_seed: int | None, domain: str, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """The manifest of a domain, built when missing: fingerprint, `parts` (count and hashes) and `items`."""
    at = folder(suite, data, split_seed, domain)
    if not at.is_dir():
        say(f"building {domain} ({suite.image_size} px) in {at}")
        _build(suite, data, suite.split_seed if split_seed is None else split_seed, domain, at)
    path = at / "manifest.json"
    try:
        stat = path.stat()
        return _parse(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(path) from None


@lru_cache(maxsize=64)
def _parse(path: Path, size: int, mtime: int) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(path.read_bytes())
    if held["fingerprint"] != _fingerprint(held["parts"]) or held["items_sha256"] != _sha(held["items"]):
        raise ValueError
    return held


def _build(suite: Suite, data: Path, split_seed: int, name: str, at: Path) -> None:
    domain = domains.find(name)
    if len(domain.classes) != suite.classes:
        raise SuiteError(f"suite {suite.suite} has {suite.classes} classes, its domain {name} {len(domain.classes)}")
    parts = domain.build(suite.image_size, split_seed, data)
    splits.check(name, parts, domain.alone, domain.halves)
    ready = at.parent / f".{at.name}.{uuid.uuid4().hex}"
    try:
        ready.mkdir(parents=True)
        _write(ready, parts, suite, split_seed, domain)
        try:
            ready.rename(at)
        except OSError:
            if not at.is_dir():  # otherwise another process was first, with the same pixels
                raise
    except OSError as error:
        reason = error.strerror or error
        raise SuiteError(f"{at}: cannot write the image cache ({reason}); choose another folder with --data") from None
    finally:
        shutil.rmtree(ready, ignore_errors=True)


def _write(at: Path, parts: domains.Parts, suite: Suite, split_seed: int, domain: domains.Domain) -> None:
    import numpy as np

    sums, items = {}, []
    for part in splits.PARTS:
        held = sorted(parts[part], key=lambda item: item.id)  # the order a folder was listed in must not count
        images = np.stack([item.image for item in held])
        labels = np.array([item.label for item in held], dtype="<i8")
        shape = (3, suite.image_size, suite.image_size)
        if images.dtype != np.uint8 or images.shape[1:] != shape or not set(labels) <= set(range(suite.classes)):
            raise SuiteError(f"{domain.name}: its build() must give uint8 images {shape}, labels below {suite.classes}")
        for kind, array in (("images", images), ("labels", labels)):
            np.save(at / f"{part}.{kind}.npy", array)
        sums[part] = {"count": len(held), "images": _sum(images), "labels": _sum(labels)}
        items += [
            {"id": i.id, "label": i.label, "part": part, "sha256": _sum(i.image), "origin": dict(i.origin)}
            for i in held
        ]
    said = {
        "schema": SCHEMA, "domain": domain.name, "version": domain.version, "classes": list(domain.classes),
        "image_size": suite.image_size, "split_seed": split_seed, "fingerprint": _fingerprint(sums), "parts": sums,
        "items_sha256": _sha(items), "items": items,
    }  # fmt: skip
    (at / "manifest.json").write_text(json.dumps(said, separators=(",", ":")))


def _load(at: Path, held: dict[str, Any], part: str) -> Part:
    import numpy as np

    arrays = []
    for kind in ("images", "labels"):
        path = at / f"{part}.{kind}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            stat = path.stat()
        except (OSError, ValueError, EOFError):
            raise _damaged(path) from None
        state = (stat.st_size, stat.st_mtime_ns, held["parts"][part][kind])
        if _verified.get(path) != state:
            if _sum(array) != state[2] or len(array) != held["parts"][part]["count"]:
                raise _damaged(path)
            _verified[path] = state
        arrays.append(array)
    return Part(arrays[0], np.array(arrays[1], dtype=np.int64))


def _damaged(path: Path) -> SuiteError:
    return SuiteError(f"{path}: missing or damaged, not what was built; delete the folder {path.parent} and run again")


def _sum(array: np.ndarray) -> str:
    import numpy as np

    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _fingerprint(sums: dict[str, dict[str, Any]]) -> str:
    """Of the hashes of labels and pixels, part by part; ids and file names are not in it, the images' order is."""
    return _sha([[part, *(sums[part][key] for key in ("count", "labels", "images"))] for part in splits.PARTS])
