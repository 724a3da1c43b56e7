"""Pixels of a domain as uint8 on disk: built once, verified, memory-mapped, and named by a fingerprint.

    <data>/prepared/<domain>-64px-v1-ntlbench-split0/{train,attacker,val,test}.{images,labels}.npy
                                                     items.jsonl  manifest.json  stamps.json

items.jsonl lists every image (id, label, part, sha256, where it came from); its own sha256 stands in the manifest. The
fingerprint, which enters the keys of all cells, is a sha256 over pixels, labels and parts. Processes may race: one
builds, and the folder gets its name when all is there, so a reader never sees half a cache. Suites share what they have
in common.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites import prepare, splits
from suites.domains import _folder
from suites.domains._raw import MissingData
from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

    from suites.schema import Suite

SCHEMA = 2
HOME = "prepared"  # below the data folder: what publishers distribute lies beside it, as they name it
READ = 2**24  # bytes at once, where a file is only summed
_verified: dict[Path, tuple[int, int, str]] = {}  # array file -> size, mtime, sha256 of its content


@dataclass(frozen=True)
class Part:
    """One part of a domain: images uint8 (n, 3, size, size), memory-mapped and read-only; labels int64 (n,)."""

    images: np.ndarray
    labels: np.ndarray


def fingerprints(
    suite: Suite,
    data: Path,
    split_seed: int | None = None,
    watch: prepare.Watch | None = None,
    jobs: int | None = None,
) -> dict[str, str]:
    """sha256 of every domain of the suite over pixels, labels and parts; builds what is missing, in `jobs` threads.

    `watch` is told how far the building is. MissingData says for every data set that is not there what is expected
    where; SuiteError for a damaged cache, or for a folder that cannot be written."""
    found, missing, classes = {}, [], {}
    for domain in suite.domains:
        try:
            held = manifest(suite, data, split_seed, domain, watch, jobs)
        except MissingData as error:
            missing.append(str(error))
            continue
        at = folder(suite, data, split_seed, domain)
        if not _stamped(at, held):
            for part in splits.PARTS:
                _load(at, held, part)
            _stamp(at, held)
        found[domain] = str(held["fingerprint"])
        classes[domain] = held["classes"]
        _fits(suite, domain, len(held["classes"]))
    if missing:
        raise MissingData("\n".join(dict.fromkeys(missing)))
    _same_classes(suite, classes)
    return found


def _fits(suite: Suite, domain: str, classes: int) -> None:
    """SuiteError where a domain does not have as many classes as its suite."""
    if classes != suite.classes:
        raise SuiteError(f"suite {suite.suite} has {suite.classes} classes, its domain {domain} {classes}")


def _same_classes(suite: Suite, classes: dict[str, list[str]]) -> None:
    """SuiteError where a folder of a user's own does not have the classes of the suite's other domains, by their names.

    Domains of ours are not compared: CIFAR-10's `automobile` is STL-10's `car`, and its file says so."""
    own = [name for name in classes if suite.domain(name).folder]
    first = next((name for name in classes if name not in own), own[0] if own else "")
    for domain in own:
        if classes[domain] != classes[first]:
            odd = sorted(set(classes[domain]) ^ set(classes[first]))[0]
            where = domain if odd in classes[domain] else first
            raise SuiteError(
                f"suite {suite.suite}: {first} and {domain} do not have the same classes: only {where} has {odd!r}; "
                "the folders need the same names in them"
            )


def read(suite: Suite, data: Path, split_seed: int | None, domain: str, part: str) -> Part:
    """One part of one domain, built when missing and verified against its sha256 once per process and file state."""
    if domain not in suite.domains:
        raise SuiteError(f"suite {suite.suite} has no domain {domain!r}; it has {', '.join(suite.domains)}")
    if part not in splits.PARTS:
        raise SuiteError(f"unknown part {part!r}; a domain has {', '.join(splits.PARTS)}")
    return _load(folder(suite, data, split_seed, domain), manifest(suite, data, split_seed, domain), part)


def counts(suite: Suite, data: Path, split_seed: int | None, part: str = "train") -> dict[str, int]:
    """How many images a part of each domain of the suite has."""
    return {d: int(manifest(suite, data, split_seed, d)["parts"][part]["count"]) for d in suite.domains}


def items(suite: Suite, data: Path, split_seed: int | None, domain: str) -> Iterator[dict[str, Any]]:
    """The images of a domain, in the order of the arrays, part by part: `id`, `label`, `part`, `sha256`, `origin`.

    SuiteError where the list is not what was built."""
    held = manifest(suite, data, split_seed, domain)
    path = folder(suite, data, split_seed, domain) / "items.jsonl"
    if not path.is_file() or _sum_file(path) != held["items_sha256"]:
        raise _damaged(path)
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def files(suite: Suite, data: Path, split_seed: int | None, domain: str) -> list[Path]:
    """What of a domain's cache a cell reads: the arrays and the manifest."""
    at = folder(suite, data, split_seed, domain)
    return [at / "manifest.json", *_arrays(at)]


def folder(suite: Suite, data: Path, split_seed: int | None, domain: str) -> Path:
    """Where a domain's cache lies; `split_seed` None means the suite's own."""
    held, seed = suite.domain(domain), suite.split_seed if split_seed is None else split_seed
    rule = f"-{suite.split}" if held.raw else ""  # an embedded domain has its own
    own = f"-{hashlib.sha256(held.folder.encode()).hexdigest()[:8]}" if held.folder else ""
    return data / HOME / f"{domain}-{suite.image_size}px-v{held.version}{rule}-split{seed}{own}"


def manifest(
    suite: Suite, data: Path, split_seed: int | None, domain: str, watch: prepare.Watch | None = None,
    jobs: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The manifest of a domain, built when missing: fingerprint, `parts` (count and hashes), and of the list of images
    `items_sha256`, with pixels, and `split_sha256`, of ids, labels and parts alone."""
    at = folder(suite, data, split_seed, domain)
    if not at.is_dir():
        _build(suite, data, suite.split_seed if split_seed is None else split_seed, domain, at, watch, jobs)
    return _manifest(at)


def _manifest(at: Path) -> dict[str, Any]:
    path = at / "manifest.json"
    try:
        stat = path.stat()
        return _parse(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(path) from None


@lru_cache(maxsize=256)
def _parse(path: Path, size: int, mtime: int) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(path.read_bytes())
    if held.pop("sha256") != _sha(held) or held["schema"] != SCHEMA:
        raise ValueError
    return held


def changed(suite: Suite, data: Path, split_seed: int | None) -> list[str]:
    """The domains that are folders of a user's own and have changed since they were prepared."""
    found = []
    for name in suite.domains:
        at, domain = folder(suite, data, split_seed, name), suite.domain(name)
        if not domain.folder or not at.is_dir() or not (data / Path(domain.folder).expanduser()).is_dir():
            continue  # without the folder itself, what was made of it still stands
        if _manifest(at).get("folder") != _folder.state(data, domain):
            found.append(name)
    return found


def renew(suite: Suite, data: Path, split_seed: int | None) -> list[str]:
    """Remove what was made of folders that have `changed`, and return these; SuiteError where that cannot be done.

    Whoever reads the old pixels at this moment keeps them; a cell that starts on them says that they are gone."""
    gone = changed(suite, data, split_seed)
    for name in gone:
        at = folder(suite, data, split_seed, name)
        away = at.with_name(f".{at.name}.old.{uuid.uuid4().hex[:8]}")
        try:
            at.rename(away)  # at once: half a cache is never seen, and of two who do this one finds nothing
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SuiteError(
                f"{at} is of images that have changed, and cannot be replaced ({error.strerror}); {prepare.ELSEWHERE}"
            ) from None
        shutil.rmtree(away, ignore_errors=True)
    return gone


def _build(
    suite: Suite, data: Path, split_seed: int, name: str, at: Path, watch: prepare.Watch | None, jobs: int | None
) -> None:
    import numpy as np

    domain = suite.domain(name)
    # before its images are listed: what is added from now on is noticed later
    before = _folder.state(data, domain) if domain.folder else None
    job = prepare.job(domain, suite.image_size, suite.split, split_seed, data)
    _fits(suite, name, len(job.classes))

    def told(done: int) -> None:
        if watch:
            watch(name, done, job.total)

    def finish(ready: Path) -> None:
        sums = {
            part: {
                "count": len(job.parts[part]),
                "images": _sum(np.load(ready / f"{part}.images.npy", mmap_mode="r", allow_pickle=False)),
                "labels": _sum(np.load(ready / f"{part}.labels.npy", allow_pickle=False)),
            }
            for part in splits.PARTS
        }
        told = [(job.images.ids[i], int(job.images.labels[i]), part) for part, rows in job.parts.items() for i in rows]
        said = {
            "schema": SCHEMA, "domain": domain.name, "version": domain.version, "classes": list(job.classes),
            "image_size": suite.image_size, "split": suite.split if domain.raw else None, "split_seed": split_seed,
            "fingerprint": _fingerprint(sums), "parts": sums, "split_sha256": _sha(sorted(told)),
            "items_sha256": _sum_file(ready / "items.jsonl"), "folder": before, "of": len(job.images.ids),
        }  # fmt: skip
        (ready / "manifest.json").write_text(json.dumps({**said, "sha256": _sha(said)}, indent=1))
        _stamp(ready, said)

    prepare.build(at, job, suite.image_size, finish, told, jobs or len(os.sched_getaffinity(0)))


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


def _arrays(at: Path) -> list[Path]:
    return [at / f"{part}.{kind}.npy" for part in splits.PARTS for kind in ("images", "labels")]


def _stamp(at: Path, held: dict[str, Any]) -> None:
    """Note the state in which the files had the content that the manifest says. Best effort: the folder may be
    read-only."""
    told = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in _arrays(at)}
    try:
        temporary = at / f".stamps.{os.getpid()}"
        temporary.write_text(json.dumps({"fingerprint": held["fingerprint"], "files": told}))
        temporary.rename(at / "stamps.json")
    except OSError:
        return


def _stamped(at: Path, held: dict[str, Any]) -> bool:
    """Whether the files are in that state still: then a plan need not read tens of gigabytes. A cell that trains on a
    part reads it anyway, and so verifies it (`read`)."""
    try:
        told = json.loads((at / "stamps.json").read_bytes())
        states = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in _arrays(at)}
        return bool(told["fingerprint"] == held["fingerprint"] and told["files"] == states)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def verify(suite: Suite, data: Path, split_seed: int | None, domain: str) -> None:
    """Read every byte of a domain's cache. SuiteError where it is not what was built."""
    at, held = folder(suite, data, split_seed, domain), manifest(suite, data, split_seed, domain)
    for path in _arrays(at):
        _verified.pop(path, None)
    for part in splits.PARTS:
        _load(at, held, part)
    for _ in items(suite, data, split_seed, domain):
        break
    _stamp(at, held)


def _damaged(path: Path) -> SuiteError:
    return SuiteError(f"{path}: missing or damaged, not what was built; delete the folder {path.parent} and run again")


def _sum(array: np.ndarray) -> str:
    """sha256 of the content, some images at a time: a part may be larger than the memory."""
    import numpy as np

    digest, step = hashlib.sha256(), max(1, READ // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return digest.hexdigest()


def _sum_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _fingerprint(sums: dict[str, dict[str, Any]]) -> str:
    """Of the hashes of labels and pixels, part by part; ids and file names are not in it, the images' order is."""
    return _sha([[part, *(sums[part][key] for key in ("count", "labels", "images"))] for part in splits.PARTS])
