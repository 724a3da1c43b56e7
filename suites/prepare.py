"""Builds a domain's cache: deals its images to the parts, decodes and resizes them in threads, and can be interrupted.

    mapbench data digits

Images go to their place in the arrays block by block, and a journal says which are there. Whoever comes after a kill,
or after a reboot, checks these blocks against the journal and makes the rest; nothing is held in memory but the blocks
in work. Threads, because PIL decodes and resizes outside Python's lock: two do 1.8 times what one does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from suites import splits
from suites.domains import Domain, Parts
from suites.domains._raw import Images, origin
from suites.errors import SuiteError

if TYPE_CHECKING:
    import numpy as np

BLOCK = 64  # images: 10 MB at 224 px, so that what is in work stays small, and a kill costs little
JOURNAL = "journal.jsonl"
ELSEWHERE = "choose another folder with --data (links to the data sets in it will do)"


class Watch(Protocol):
    """Told how far the images of a domain are."""

    def __call__(self, domain: str, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Job:
    """The images of a domain, and which of them each part has, in the order in which they are stored."""

    images: Images
    parts: Mapping[str, Sequence[int]]
    origins: Callable[[int], dict[str, Any]]
    classes: Sequence[str]

    @property
    def total(self) -> int:
        return sum(len(held) for held in self.parts.values())

    def digest(self, size: int) -> str:
        """sha256 of what is to be stored: whether a half-built cache is of the same images. Of files it looks at size
        and time, of arrays at the bytes."""
        digest, state = hashlib.sha256(str(size).encode()), getattr(self.images, "state", lambda index: "")
        for part, held in self.parts.items():
            for i in held:
                digest.update(f"{part}\0{self.images.ids[i]}\0{int(self.images.labels[i])}\0{state(i)}\0".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Made:
    """An embedded domain's images, which are there already."""

    ids: Sequence[str]
    labels: Sequence[int]
    images: Sequence[np.ndarray]

    def pixels(self, index: int, size: int) -> np.ndarray:
        return self.images[index]


def job(domain: Domain, size: int, rule: splits.Rule, split_seed: int, data: Path) -> Job:
    """What is to be stored of a domain. MissingData where its files are not there, SuiteError where they are broken."""
    if domain.raw is None:
        assert domain.build is not None
        return _embedded(domain, domain.build(size, split_seed, data))
    if domain.raw.unpack:
        domain.raw.unpack(data, domain.raw)
    images = domain.raw.read(data)
    # a domain and the same with a watermark must fall into the same parts
    salt = (domain.name.partition("@")[0], split_seed)
    parts = splits.deal(images.ids, images.labels, rule, salt, domain.per_class, domain.capped)
    ordered = {part: sorted(held, key=lambda i: images.ids[i]) for part, held in parts.items()}
    return Job(images, ordered, lambda i: origin(images, i), getattr(images, "classes", domain.classes))


def _embedded(domain: Domain, parts: Parts) -> Job:
    splits.check(domain.name, parts, domain.alone, domain.halves)
    # sorted: the order a folder was listed in must not count
    items = [item for part in splits.PARTS for item in sorted(parts[part], key=lambda item: item.id)]
    held, start = {}, 0
    for part in splits.PARTS:
        held[part] = range(start, start + len(parts[part]))
        start += len(parts[part])
    made = Made([i.id for i in items], [i.label for i in items], [i.image for i in items])
    return Job(made, held, lambda i: dict(items[i].origin), domain.classes)


def build(
    at: Path, job: Job, size: int, finish: Callable[[Path], None], watch: Callable[[int], None], jobs: int
) -> None:
    """Store the images of `job` in the folder `at`: PART.images.npy, PART.labels.npy, items.jsonl.

    `finish` puts the rest into the folder before it gets its name. `watch` is told how many images are done. SuiteError
    for an image that is not what it should be, for a disk that is full, or a folder that cannot be written."""
    with _place(at, lambda: watch(0)) as ready:
        if at.is_dir():  # whoever was first has made it
            return
        try:
            _room(ready, job, size)
            arrays = _arrays(ready, job, size)
            sums = _resumed(ready, job, size, arrays)
            _fill(ready, job, size, arrays, sums, watch, jobs)
            _items(ready, job, sums)
            finish(ready)
            (ready / JOURNAL).unlink()
        except OSError as error:
            reason = error.strerror or error
            raise SuiteError(
                f"{at}: cannot write the image cache ({reason}); free some space, or {ELSEWHERE}"
            ) from None
        try:
            ready.rename(at)
        except OSError:
            if not at.is_dir():  # otherwise another process was first, with the same pixels
                raise
            shutil.rmtree(ready, ignore_errors=True)


@contextlib.contextmanager
def _place(at: Path, waiting: Callable[[], None]) -> Iterator[Path]:
    """The folder that becomes `at`, for this process alone: others wait, say so, and take what it made. Where a file
    system has no locks, each has a folder of its own, the first to be done wins, and nothing can be taken up again."""
    lock, ready = at.parent / f".{at.name}.lock", at.parent / f".{at.name}.partial"
    try:
        at.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise SuiteError(f"{at}: cannot write the image cache ({error.strerror}); {ELSEWHERE}") from None
    with file:
        locked = _lock(file, waiting)
        if not locked:
            ready = ready.with_name(f"{ready.name}.{uuid.uuid4().hex[:8]}")
        try:
            yield ready
        except BaseException:
            if not locked:
                shutil.rmtree(ready, ignore_errors=True)
            raise
        lock.unlink(missing_ok=True)  # only now that `at` is there: who waits for the old one finds it


def _lock(file: Any, waiting: Callable[[], None]) -> bool:
    """Whether the file could be locked, at once or when who has it lets go; False where there are no locks."""
    try:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return False
    return True


def _room(ready: Path, job: Job, size: int) -> None:
    """SuiteError where the disk has less room than the images take."""
    ready.mkdir(parents=True, exist_ok=True)
    held = sum(path.stat().st_blocks * 512 for path in ready.iterdir())
    wanted, free = job.total * 3 * size * size - held, shutil.disk_usage(ready).free
    if wanted > free:
        raise SuiteError(
            f"{ready.parent}: No space left for {job.total:,} images: {_size(wanted)} are needed, {_size(free)} are "
            f"free; free some, or {ELSEWHERE}"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _arrays(ready: Path, job: Job, size: int) -> dict[str, int]:
    """Makes the files of the images where they are not there, empty; the place of the first image in each."""
    import numpy as np

    offsets = {}
    for part, held in job.parts.items():
        path, shape = ready / f"{part}.images.npy", (len(held), 3, size, size)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if array.shape != shape:
                raise ValueError
        except (OSError, ValueError, EOFError):
            (ready / JOURNAL).unlink(missing_ok=True)
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        offsets[part] = int(array.offset)  # type: ignore[attr-defined]
    return offsets


def _resumed(ready: Path, job: Job, size: int, offsets: dict[str, int]) -> dict[tuple[str, int], list[str]]:
    """The sha256 of the images that are there already, by block; what the journal says is checked."""
    journal, head = ready / JOURNAL, {"of": job.digest(size)}
    found: dict[tuple[str, int], list[str]] = {}
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []  # the last one may be half a line
    if not lines or _parsed(lines[0]) != head:
        journal.write_text(json.dumps(head) + "\n")
        return {}
    one = 3 * size * size
    for line in lines[1:]:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # whatever a power cut made of it
            told = json.loads(line)
            offset = offsets[told["part"]]
            with (ready / f"{told['part']}.images.npy").open("rb") as file:
                file.seek(offset + told["start"] * one)
                if [hashlib.sha256(file.read(one)).hexdigest() for _ in told["sums"]] == told["sums"]:
                    found[told["part"], told["start"]] = told["sums"]
    with journal.open("r+b") as file:  # without what a kill left of its last line
        file.truncate(sum(len(line) + 1 for line in lines))
    return found


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _fill(
    ready: Path, job: Job, size: int, offsets: dict[str, int], sums: dict[tuple[str, int], list[str]],
    watch: Callable[[int], None], jobs: int,
) -> None:  # fmt: skip
    """Stores every block that is not there, and notes it."""
    todo = [
        (part, start)
        for part, held in job.parts.items()
        for start in range(0, len(held), BLOCK)
        if (part, start) not in sums
    ]
    done = sum(len(block) for block in sums.values())
    watch(done)
    with (ready / JOURNAL).open("a") as journal, ThreadPoolExecutor(max(jobs, 1)) as pool:
        waiting: set[Future[tuple[str, int, list[str]]]] = set()
        queue = iter(todo)
        try:
            while True:
                for part, start in queue:
                    waiting.add(pool.submit(_block, ready, job, size, offsets[part], part, start))
                    if len(waiting) >= 2 * jobs:
                        break
                if not waiting:
                    return
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for part, start, block in (future.result() for future in ended):
                    sums[part, start] = block
                    journal.write(json.dumps({"part": part, "start": start, "sums": block}) + "\n")
                    journal.flush()
                    done += len(block)
                    watch(done)
        finally:
            for future in waiting:
                future.cancel()


def _block(ready: Path, job: Job, size: int, offset: int, part: str, start: int) -> tuple[str, int, list[str]]:
    """Decodes, resizes and stores one block; the sha256 of its images."""
    import numpy as np

    chosen, sums = job.parts[part][start : start + BLOCK], []
    made = np.empty((len(chosen), 3, size, size), np.uint8)
    for row, index in enumerate(chosen):
        image = job.images.pixels(index, size)
        if image.dtype != np.uint8 or image.shape != (3, size, size):
            raise SuiteError(f"image {job.images.ids[index]} is not uint8 (3, {size}, {size})")
        made[row] = image
        sums.append(hashlib.sha256(made[row].data).hexdigest())
    with (ready / f"{part}.images.npy").open("r+b") as file:  # not by the memory map: on a full disk that kills
        file.seek(offset + start * made[0].nbytes)
        file.write(made.data)
    return part, start, sums


def _items(ready: Path, job: Job, sums: dict[tuple[str, int], list[str]]) -> None:
    """The labels, and the list of the images: one JSON object a line, in the order of the arrays."""
    import numpy as np

    with (ready / "items.jsonl").open("w", encoding="utf-8") as file:
        for part, held in job.parts.items():
            labels = np.array([job.images.labels[i] for i in held], dtype="<i8")
            if not set(labels) <= set(range(len(job.classes))):
                raise SuiteError(f"a label of {part} is not below {len(job.classes)}, the number of classes")
            np.save(ready / f"{part}.labels.npy", labels)
            for row, i in enumerate(held):
                told = {
                    "id": job.images.ids[i], "label": int(job.images.labels[i]), "part": part,
                    "sha256": sums[part, row - row % BLOCK][row % BLOCK], "origin": job.origins(i),
                }  # fmt: skip
                file.write(json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
