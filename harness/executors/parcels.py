"""What a worker on another machine lacks, where no directory is shared: sent along, and what it made brought back.

    mapbench run digits-mini --address HEAD:6379          (docs/cluster.md)

A cell reads its data, its method's file, and the models and records above it; it writes artefacts and a record. On the
machine of the driver, and wherever the run directory is the same one (a shared disk, a URL), none of this is used. On
another machine what is not there already is put into a folder of the run's own, the cell works there, and the driver's
side writes down what it made, artefacts first, the record last.
"""

from __future__ import annotations

import getpass
import hashlib
import itertools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import environment

SMALL = 4 * 2**20  # bytes up to which a file is compared by content; beyond, by size: a manifest's sums cover the rest
MADE = ("checkpoint", "predictions", "picture", "log")  # of a record: files that it names


@dataclass(frozen=True)
class Piece:
    """A file that a cell reads: `name` below the directory `root` of the context, and enough to know it by."""

    root: str  # out | data | weights | source_model | methods
    name: str
    size: int
    sha256: str | None  # of small files
    path: str  # where the driver has it

    def equals(self, path: Path) -> bool:
        """Whether `path` is this file already."""
        try:
            if path.stat().st_size != self.size:
                return False
            return self.sha256 is None or hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Marker:
    """How a worker finds out whether it sees the run directory: a file there with a text that only this run can know.
    `path` is empty for a URL, which is the same one everywhere."""

    path: str
    text: str
    root: str  # where the driver's mapbench is

    def receiver(self) -> Receiver:
        """The worker's side, on this machine."""
        try:
            shared = not self.path or Path(self.path).read_text() == self.text
        except OSError:
            shared = False
        return Receiver(self.text, self.root, shared)


# -- the driver's side


class Sender:
    """Knows which files a cell reads, and writes down what a worker brought back. `put` makes a handle of bytes that a
    worker can fetch; a file is read and put once, when the first worker lacks it."""

    def __init__(self, context: dict[str, Any], put: Callable[[bytes], Any]) -> None:
        self.context, self.put = context, put
        self._known: dict[tuple[str, int], Piece] = {}
        self._handles: dict[Piece, Any] = {}

    def pieces(self, payload: dict[str, Any]) -> list[Piece]:
        """The files that a cell reads; a work function other than harness.worker's has none."""
        if "suite" not in payload:
            return []
        found = [self._data(payload), self._above(payload), self._weights(payload), self._methods(payload)]
        return [self._piece(*piece) for part in found for piece in part]

    def parcel(self, pieces: list[Piece], lacking: list[bool]) -> list[tuple[Piece, Any]]:
        """The pieces, those that a worker lacks with a handle to fetch them by."""
        for piece in itertools.compress(pieces, lacking):
            if piece not in self._handles:
                self._handles[piece] = self.put(Path(piece.path).read_bytes())
        wanted = zip(pieces, lacking, strict=True)
        return [(piece, self._handles[piece] if lacks else None) for piece, lacks in wanted]

    def keep(self, record: dict[str, Any], files: dict[str, bytes]) -> None:
        """Write what a worker made into the run directory, as it would have."""
        from results import records

        out = Path(self.context["out"])
        for name, blob in files.items():
            records.atomic_write(out / name, blob)
        records.write(out, record)

    def _piece(self, root: str, path: Path, name: str) -> Piece:
        key = str(path), path.stat().st_mtime_ns
        if key not in self._known:
            size = path.stat().st_size
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if size <= SMALL else None
            self._known[key] = Piece(root, name, size, digest, str(path))
        return self._known[key]

    def _data(self, payload: dict[str, Any]) -> Iterator[tuple[str, Path, str]]:
        from suites import cache, schema

        data, suite = Path(self.context["data"]), schema.Suite(**payload["suite"])
        for domain in suite.domains:
            for path in cache.files(suite, data, payload["spec"]["split_seed"], domain):
                yield "data", path, path.relative_to(data).as_posix()

    def _above(self, payload: dict[str, Any]) -> Iterator[tuple[str, Path, str]]:
        from results import records

        if "://" in self.context["out"]:  # a URL is the same one everywhere
            return
        out, spec = Path(self.context["out"]), payload["spec"]
        for key in filter(None, (spec.get("parent"), *spec.get("inputs", ()))):
            winner = records.winners(records.read_key(out, key)).get(key)
            if winner is not None and winner["status"] == "ok":  # otherwise the cell itself says what is missing
                for name in (f"records/{key[:2]}/{records.name(winner)}", winner["checkpoint"]):
                    yield "out", out / name, name

    def _weights(self, payload: dict[str, Any]) -> Iterator[tuple[str, Path, str]]:
        from suites.backbones import weights

        spec = payload["spec"]
        if "source_model" in spec:
            path = Path(self.context["source_model"])
            yield "source_model", path, path.name
        elif spec.get("init", "random") != "random":
            path = weights.find(spec["backbone"], Path(self.context["weights"]))
            yield "weights", path, path.name

    def _methods(self, payload: dict[str, Any]) -> Iterator[tuple[str, Path, str]]:
        for card in (payload["method"], *payload["synthesisers"]):
            path = Path(card["file"])
            if not path.is_relative_to(environment.ROOT):
                yield "methods", path, f"{card['sha256'][:16]}/{path.name}"


# -- the worker's side


class Receiver:
    """A machine that may share no directory with the driver's. `shared`: the run directory is the same one. `home` is
    where the run's pieces go on this machine, for all of its slots; `root` is where the driver's mapbench is."""

    def __init__(self, token: str, root: str, shared: bool) -> None:
        self.home = Path(tempfile.gettempdir()) / f"mapbench-{getpass.getuser()}-{token}"
        self.root, self.shared = root, shared

    def lacks(self, pieces: list[Piece]) -> list[bool]:
        """For each piece whether it has to be sent: it is neither at the driver's own path nor here already."""
        there = self._roots_there(pieces)
        return [piece.root not in there and not piece.equals(self._at(piece)) for piece in pieces]

    def unpack(
        self, context: dict[str, Any], payload: dict[str, Any], parcel: list[tuple[Piece, Any]],
        fetch: Callable[[Any], bytes],
    ) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
        """Context and payload with the places where this machine has everything; what was sent is put there."""
        there = self._roots_there([piece for piece, _ in parcel])
        self.home.mkdir(mode=0o700, exist_ok=True)
        for piece, handle in parcel:
            if handle is not None and not piece.equals(self._at(piece)):
                self._place(self._at(piece), fetch(handle))
        context = dict(context)
        for root in ("out", "data", "weights"):
            if root not in there:
                context[root] = str(self.home / root)
        for piece, _ in parcel:
            if piece.root == "source_model" and "source_model" not in there:
                context["source_model"] = str(self._at(piece))
        payload = json.loads(json.dumps(dict(payload)))
        for card in (payload["method"], *payload["synthesisers"]):
            path = Path(card["file"])
            if path.is_relative_to(self.root):  # one of ours: this machine's copy, which is equal
                card["file"] = str(environment.ROOT / path.relative_to(self.root))
            elif "methods" not in there:
                card["file"] = str(self.home / "methods" / card["sha256"][:16] / path.name)
        return context, payload

    def made(self, record: dict[str, Any]) -> dict[str, bytes]:
        """The files that a record names, by name; none where the run directory is shared: they are there."""
        names = [str(record[field]) for field in MADE if record.get(field)] if not self.shared else []
        out = self.home / "out"
        return {name: (out / name).read_bytes() for name in names if (out / name).exists()}

    def clean(self) -> None:
        """Remove the folder: everything in it is the driver's by now."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _roots_there(self, pieces: list[Piece]) -> set[str]:
        """The roots of which every piece lies at the driver's own path, as it does where a disk is shared."""
        missing = {piece.root for piece in pieces if piece.root != "out" and not piece.equals(Path(piece.path))}
        return {"data", "weights", "source_model", "methods"} - missing | ({"out"} if self.shared else set())

    def _at(self, piece: Piece) -> Path:
        return self.home / piece.root / piece.name

    @staticmethod
    def _place(path: Path, blob: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        temporary.write_bytes(blob)
        os.replace(temporary, path)  # noqa: PTH105 (another slot of this machine may do the same)
