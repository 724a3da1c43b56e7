"""One small JSON file per attempt at a cell: the truth that every table is rebuilt from.

    cat runs/digits-mini/records/*/*.json

A record exists if and only if its attempt ended and all it points to is on disk: it is written to a hidden temporary
file of the same directory, flushed, fsynced, renamed, and the directory is fsynced (of a URL: one PUT, which is as
good). Nothing is ever overwritten.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from results import place
from results.errors import StoreError

SCHEMA = 1
STATUSES = ("ok", "failed", "timeout", "oom", "lost", "quarantined", "skipped")
FINAL = ("ok", "failed", "timeout", "quarantined")  # after these no driver tries again by itself
CLOSED = "closed"  # the fidelity of a cell whose figures were imported: its code is not public (results/closed.py)
# A cell that differs from another in nothing but these is the same cell in another version (design 1).
VERSION_FIELDS = (
    "key_version", "protocol", "method_version", "attack_version", "init", "recipe", "domains", "parent", "inputs",
)  # fmt: skip
_KEY = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}")


class Damaged(NamedTuple):
    """A record file that cannot be used, and why."""

    path: Path
    reason: str


def name(record: Mapping[str, Any]) -> str:
    """`<key>.<attempt>.<uuid8>.json`. Raises ValueError where a part is missing or malformed."""
    key, attempt, mark = record.get("key"), record.get("attempt"), record.get("uuid")
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ValueError(f"a record's key is 64 hex digits, not {key!r}")
    if not (isinstance(attempt, int) and attempt >= 1):
        raise ValueError(f"a record's attempt is an integer from 1, not {attempt!r}")
    if not (isinstance(mark, str) and _UUID.fullmatch(mark)):
        raise ValueError(f"a record's uuid is 8 hex digits, not {mark!r}")
    return f"{key}.{attempt}.{mark}.json"


def write(out: Path, record: Mapping[str, Any]) -> Path:
    """Commit one attempt under `out`/records and return the file's path.

    Numbers that JSON lacks (NaN, infinity: the loss of a diverged run) are stored as null.
    Raises ValueError for a malformed record, StoreError where the disk refuses.
    """
    file = name(record)
    if record.get("status") not in STATUSES:
        raise ValueError(f"a record's status is one of {', '.join(STATUSES)}, not {record.get('status')!r}")
    path = out / "records" / file[:2] / file
    atomic_write(path, dump(record))
    return path


def dump(value: Any) -> bytes:
    """Strict JSON in UTF-8, one line; NaN and infinities become null."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def atomic_write(path: Path, content: bytes | Iterable[bytes], durable: bool = True) -> None:
    """Put `content`, or its pieces, at `path` whole or not at all; `durable` also survives a power cut right after the
    return.

    Raises StoreError (what and where) on any error of the disk and leaves no temporary file behind.
    """
    pieces = [content] if isinstance(content, bytes) else content
    if not place.is_local(path):
        place.put(path, b"".join(pieces))
        return
    # The leading dot hides it from readers; a unique name lets two drivers write the same file.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            if durable:
                _sync_directory(path.parent.parent)
        with temporary.open("xb") as stream:
            stream.writelines(pieces)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105 (beside the fsyncs it is ordered with)
        if durable:
            _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # its directory may be missing or a file: then there is nothing to remove
            temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files(out: Path) -> dict[str, Path]:
    """Every committed record file of a run directory, by name; hidden (unfinished) files are no records."""
    return {name.rpartition("/")[2]: out / "records" / name for name in _stored(out)}


def _stored(out: Path) -> list[str]:
    """What `files` finds, below records/, in the order of the files' names: text alone, because the paths of 100,000
    take ten seconds to make at a URL, and some 50 MB anywhere."""
    names = _listed(out / "records") if place.is_local(out) else place.names(out / "records")
    found = (name for name in names if name.count("/") == 1 and name.endswith(".json"))
    return sorted((name for name in found if "/." not in name), key=lambda name: name.partition("/")[2])


def _listed(folder: Path) -> Iterator[str]:
    """`folder/file` of each file in the folders below a local one that are not hidden."""
    try:
        with os.scandir(folder) as entries:
            below = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in below:
        yield from (f"{name}/{file}" for file in os.listdir(folder / name))  # noqa: PTH208 (names only)


def count(out: Path) -> int:
    """The number of committed record files, damaged ones included."""
    return len(_stored(out))


def read(path: Path) -> dict[str, Any] | Damaged:
    """One record, or what is wrong with its file; never raises for the file's content."""
    try:
        record = _parse(path.name, place.get(path))
    except OSError as error:
        record = _parse(path.name, error)
    return Damaged(path, record) if isinstance(record, str) else record


def _parse(file: str, content: bytes | OSError) -> dict[str, Any] | str:
    """A record out of the content of `file`, or what is wrong with it."""
    try:
        if isinstance(content, OSError):
            raise content
        record = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        return f"unreadable: {str(error).splitlines()[0]}"
    if not isinstance(record, dict):
        return "not a record: no JSON object"
    if record.get("schema") != SCHEMA:
        return f"schema {record.get('schema')!r}, this version reads {SCHEMA}"
    try:
        expected = name(record)
    except ValueError as error:
        return f"not a record: {error}"
    if expected != file:
        return f"the content belongs to {expected}"
    if record.get("status") not in STATUSES:
        return f"unknown status {record.get('status')!r}"
    if not (isinstance(record.get("cell"), dict) and isinstance(record.get("spec"), dict)):
        return "not a record: no cell or no spec"
    return record


def each(out: Path) -> Iterator[dict[str, Any] | Damaged]:
    """Every record of a run directory, or what is wrong with its file, in the order of their names, one at a time."""
    if place.is_local(out):
        yield from (read(out / "records" / name) for name in _stored(out))
        return
    folder = out / "records"
    for name, content in place.many(folder, _stored(out)):
        record = _parse(name.rpartition("/")[2], content)
        yield Damaged(folder / name, record) if isinstance(record, str) else record


def read_all(out: Path) -> tuple[list[dict[str, Any]], list[Damaged]]:
    """Every record of a run directory in the order of their names, and the files that are none."""
    good: list[dict[str, Any]] = []
    damaged: list[Damaged] = []
    for record in each(out):
        if isinstance(record, Damaged):
            damaged.append(record)
        else:
            good.append(record)
    return good, damaged


def read_key(out: Path, key: str) -> list[dict[str, Any]]:
    """The readable records of one key, without opening any other."""
    folder = out / "records" / key[:2]
    if place.is_local(out):
        paths = sorted(folder.glob(f"{key}.*.json"))
    else:
        here = place.names(folder, deep=False)
        paths = [folder / name for name in here if name.startswith(f"{key}.") and name.endswith(".json")]
    found = map(read, paths)
    return [record for record in found if not isinstance(record, Damaged)]


def winners(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The record that stands for each key: the first ok one (by `finished`, then uuid), else the last attempt."""
    chosen: dict[str, dict[str, Any]] = {}
    for record in records:
        rival = chosen.get(record["key"])
        if rival is None or _precedes(record, rival):
            chosen[record["key"]] = record
    return chosen


def _precedes(record: Mapping[str, Any], rival: Mapping[str, Any]) -> bool:
    ok, rival_ok = record["status"] == "ok", rival["status"] == "ok"
    if ok != rival_ok:
        return ok
    if ok:
        return _ended(record) < _ended(rival)
    return (record["attempt"], *_ended(record)) > (rival["attempt"], *_ended(rival))


def _ended(record: Mapping[str, Any]) -> tuple[float, str]:
    return (record.get("finished") or 0.0, record["uuid"])


def parent_of(
    record: Mapping[str, Any], by_key: Mapping[str, Collection[dict[str, Any]]], chosen: Mapping[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """The ok record of the parent that this attempt was made from, or None.

    It is the one whose checkpoint hash the child noted (two drivers may both have trained the parent, each a little
    differently); where no such record is here, the parent's winner.
    """
    key = record["cell"].get("parent")
    if key is None or key not in chosen or chosen[key]["status"] != "ok":
        return None
    noted = record.get("parent_checkpoint")
    same = [r for r in by_key[key] if r["status"] == "ok" and noted and r.get("checkpoint_sha256") == noted]
    return min(same, key=_ended) if same else chosen[key]


def meaning(spec: Mapping[str, Any]) -> str:
    """What a cell is, whatever its version: equal for cells that differ in VERSION_FIELDS alone.

    Of `domains` the fingerprints are the version; which domains a cell is scored on is what it is, in any order: uci
    with and without its watermark domains are two cells, neither of them stale."""
    same = {field: value for field, value in spec.items() if field not in VERSION_FIELDS}
    return json.dumps([same, sorted(spec.get("domains") or ())], sort_keys=True)


def current(chosen: Mapping[str, dict[str, Any]]) -> set[str]:
    """Keys of the cells that are not stale, out of winners by key.

    Of cells that are identical but for VERSION_FIELDS the newest finished one is current. A cell whose parent or input
    is stale is stale as well, however new: its "before" belongs to an older version.
    """
    newest: dict[str, dict[str, Any]] = {}
    for record in chosen.values():
        identity = meaning(record["spec"])
        rival = newest.get(identity)
        if rival is None or _ended(record) > _ended(rival):
            newest[identity] = record
    alive = {record["key"] for record in newest.values()}

    def lives(key: str) -> bool:
        cell = chosen[key]["cell"]
        above = [cell.get("parent"), *(cell.get("inputs") or ())]
        return key in alive and all(other not in chosen or lives(other) for other in above if other is not None)

    return {key for key in alive if lives(key)}


def slim(record: Mapping[str, Any]) -> dict[str, Any]:
    """What planning and the closing lines need of a winning record: a twentieth of it or less, for a driver that holds
    one for each of its cells."""
    ok = record["status"] == "ok"
    kept = ("status", "finished", "seconds", "peak_memory_mb") if ok else ("status", "finished", "error", "log")
    made = record.get("environment") or {}
    return {
        **{name: record.get(name) for name in kept},
        "status": sys.intern(record["status"]),  # one for all: ten thousand times the same word
        "environment": _made_by(made.get("method_sha256"), made.get("device")),
    }


@lru_cache(maxsize=256)
def _made_by(method_sha256: str | None, device: str | None) -> dict[str, str | None]:
    return {"method_sha256": method_sha256, "device": device}
