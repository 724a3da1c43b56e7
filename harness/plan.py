"""Compares the cells a person asked for with the records there are: what is new, done, failed, stale, skipped.

    mapbench plan digits-mini

`plan` is the dry form of `run`; both come through here, so they cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import UsageError, known, shards, source_model
from harness.cells import Cell
from harness.executors.probe import Shape
from harness.forest import expand, imagenet
from harness.grid import Grid
from harness.tasks import Task
from results.store import Store
from suites import SuiteError, cache, prepare, schema, splits
from suites.backbones import weights
from suites.domains import MissingData

ABSENT = "absent"  # in the place of a fingerprint: no cell with it is ever run, or written down
RERUN = ("lost", "skipped")  # not the cell's own doing: `run` takes these up again, the others wait for `retry`


@dataclass(frozen=True)
class Plan:
    """The cells that are asked for, with what the run directory already knows of it."""

    cells: tuple[Cell, ...]
    winners: dict[str, dict[str, Any]]  # key -> the record that counts, or what results.records.slim leaves of it
    stale: dict[str, list[str]] = field(default_factory=dict)  # new key -> spec fields that changed since a done cell
    # (suite, split_seed) -> what of its data is not there, a line for each data set; its cells' keys are not known
    absent: dict[tuple[str, int], str] = field(default_factory=dict)

    def without_data(self, cell: Cell) -> bool:
        """Whether the cell's data is not there."""
        return bool(self.absent) and (cell.meta["suite"], cell.spec["split_seed"]) in self.absent

    @property
    def missing_data(self) -> list[str]:
        """What data is not there, one line for each data set."""
        return list(dict.fromkeys(line for lines in self.absent.values() for line in lines.split("\n")))

    def status(self, cell: Cell) -> str:
        """new | done | failed | stale | blocked (a cell above failed, or no data) | skipped (undefined on this
        backbone)"""
        if self.without_data(cell):
            return "blocked"
        record = self.winners.get(cell.key)
        if record is not None and record["status"] not in RERUN:
            return "done" if record["status"] == "ok" else "failed"
        if cell.skip:
            return "skipped"
        above = [self.winners.get(key) for key in cell.above if key]
        if any(record is not None and record["status"] not in ("ok", *RERUN) for record in above):
            return "blocked"
        return "stale" if cell.key in self.stale else "new"

    @cached_property
    def by_status(self) -> dict[str, list[Cell]]:
        groups: dict[str, list[Cell]] = {s: [] for s in ("new", "done", "failed", "stale", "blocked", "skipped")}
        for cell in self.cells:
            groups[self.status(cell)].append(cell)
        return groups

    def shard(self, text: str | None) -> Plan:
        """The part of this plan that is driver i's of n, by `--shard i/n`; all of it without one."""
        if text is None:
            return self
        index, count = shards.read(text)
        mine = shards.deal(self.cells, count)[index - 1]
        return replace(self, cells=tuple(cell for cell in self.cells if cell.key in mine))

    def todo(self, retry: bool = False) -> list[Cell]:
        """Cells to run now: the new and the stale; on `retry` the failed ones and what they block."""
        groups = ("failed", "blocked") if retry else ("new", "stale")
        chosen = {c.key for g in groups for c in self.by_status[g] if not self.without_data(c)}
        return [c for c in self.cells if c.key in chosen]

    @cached_property
    def edited(self) -> dict[str, int]:
        """Methods whose file changed since cells of theirs ran, under the same version: how many such cells."""
        found: dict[str, int] = {}
        for cell in self.by_status["done"]:
            ran = self.winners[cell.key]["environment"].get("method_sha256")
            if ran not in (None, cell.method["sha256"]) and cell.meta["kind"] != "train":
                found[cell.method["name"]] = found.get(cell.method["name"], 0) + 1
        return found

    def seconds_left(self, slots: int, retry: bool = False) -> float | None:
        """Expected wall time from the seconds per GFLOP of past cells of the same backbone and method; None if none."""

        def groups(cell: Cell) -> tuple[tuple[Any, ...], ...]:
            meta = cell.meta
            kind, backbone = meta["kind"], meta["backbone"]
            return (kind, backbone, cell.method["name"]), (kind, backbone), (kind,), ()

        paid: dict[tuple[Any, ...], list[float]] = {}
        for cell in self.cells:
            record = self.winners.get(cell.key)
            if record and record["status"] == "ok":
                for group in groups(cell):
                    paid.setdefault(group, []).append(record["seconds"] / cell.cost)
        if not paid:
            return None

        def rate(cell: Cell) -> float:
            return next(sum(paid[g]) / len(paid[g]) for g in groups(cell) if g in paid)

        return sum(rate(c) * c.cost for c in self.todo(retry)) / max(slots, 1)

    def gpu(self) -> str | None:
        """The GPU that cells of this plan ran on, the one that most did; None if none did."""
        done = (self.winners[cell.key]["environment"]["device"] for cell in self.by_status["done"])
        seen = Counter(device for device in done if device not in ("cpu", None))
        return seen.most_common(1)[0][0] if seen else None

    def peak_mb(self, shapes: Iterable[Shape]) -> float | None:
        """The most of a GPU's memory that a cell of this plan took, in MiB; None where none of some of these nets and
        sizes ran on one."""
        peaks: dict[tuple[str, int, bool], float] = {}
        for cell in self.by_status["done"]:
            record = self.winners[cell.key]
            if record["environment"]["device"] not in ("cpu", None) and record["peak_memory_mb"]:
                spec = cell.spec
                at = spec["backbone"], spec["image_size"], spec["kind"] == "synth"
                peaks[at] = max(peaks.get(at, 0.0), record["peak_memory_mb"])
        seen = all((shape.backbone, shape.image_size, shape.synth) in peaks for shape in shapes)
        return max(peaks.values(), default=None) if seen else None

    def tasks(self, retry: bool = False) -> list[Task]:
        """What the driver gets. `parent` and `inputs` are named only while they still have to run."""
        chosen = self.todo(retry)
        waiting = {c.key for c in chosen}
        return [_task(cell, waiting) for cell in chosen]


def _task(cell: Cell, waiting: set[str]) -> Task:
    parent, *inputs = cell.above
    payload = Payload(cell)
    return Task(
        key=cell.key,
        parent=parent if parent in waiting else None,
        inputs=tuple(key for key in inputs if key in waiting),
        label=payload["label"],
        cost=cell.cost,
        timeout=cell.timeout,
        payload=payload,
    )


class Payload(Mapping[str, Any]):
    """What the worker is told of a cell, put together when it is asked for: the driver holds one for each cell.

    Pickled, it is a dict."""

    __slots__ = ("_cell", "_label")
    FIELDS = ("label", "spec", "cell", "method", "suite", "synthesisers", "timeout")

    def __init__(self, cell: Cell) -> None:
        self._cell, self._label = cell, cell.label

    def __getitem__(self, name: str) -> Any:
        if name == "label":
            return self._label
        if name not in self.FIELDS:
            raise KeyError(name)
        return getattr(self._cell, "meta" if name == "cell" else name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.FIELDS)

    def __len__(self) -> int:
        return len(self.FIELDS)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def make(
    grid: Grid, store: Store, data: Path, pretrained: Path, f_s: Path | None = None,
    watch: prepare.Watch | None = None,
) -> Plan:  # fmt: skip
    """The plan of a grid in a run directory. Prepares the data that is there, and tells `watch` how far that is; trains
    nothing.

    `pretrained` is the folder of ImageNet weights; SuiteError names every file that is missing in it. `f_s` is the
    file of the user's own source model, where the grid stands on one."""
    hashes = _hashes(grid, imagenet(grid, f_s is not None), pretrained, data)  # first: a person must fetch them
    done = (record["spec"] for record in store.each() if record["status"] == "ok")
    given = None if f_s is None else source_model.check(grid, f_s, done)
    prints, counts, absent = _data(grid, data, watch)
    _enough(grid, data, absent)
    cells = tuple(expand(grid, prints, hashes, given, counts))
    there = cells if not absent else tuple(c for c in cells if (c.meta["suite"], c.spec["split_seed"]) not in absent)
    versions = known.Versions(there)
    winners = known.winners(store, (cell.key for cell in versions.cells), versions.see)
    return Plan(cells, winners, versions.stale(winners), absent)


Data = tuple[dict[tuple[str, int], dict[str, str]], dict[tuple[str, int], dict[str, int]], dict[tuple[str, int], str]]


def _data(grid: Grid, data: Path, watch: prepare.Watch | None) -> Data:
    """Of each suite and split: the domains' fingerprints, the sizes of their train parts, and what is not there.

    SuiteError where data is there and broken, with a line for each suite."""
    prints: dict[tuple[str, int], dict[str, str]] = {}
    counts: dict[tuple[str, int], dict[str, int]] = {}
    absent: dict[tuple[str, int], str] = {}
    broken: list[str] = []
    for p in grid.parts:  # parts of one suite may differ in their watermark domains
        at = p.suite.suite, p.split_seed
        try:
            cache.renew(p.suite, data, p.split_seed)
            prints.setdefault(at, {}).update(cache.fingerprints(p.suite, data, p.split_seed, watch))
            sizes = cache.counts(p.suite, data, p.split_seed)
        except MissingData as error:
            absent[at] = "\n".join(dict.fromkeys([*absent.get(at, "").split("\n"), *str(error).split("\n")])).strip()
            prints.setdefault(at, {}).update(dict.fromkeys(p.suite.domains, ABSENT))
            sizes = {domain: _nominal(p.suite, domain) for domain in p.suite.domains}
        except SuiteError as error:
            broken.append(str(error))
            continue
        counts.setdefault(at, {}).update(sizes)
    if broken:
        raise SuiteError("\n".join(dict.fromkeys([*broken, *(absent[at] for at in absent)])))
    return prints, counts, absent


def _nominal(suite: schema.Suite, domain: str) -> int:
    """How many images the train part of a domain will have that is not there yet."""
    held = suite.domain(domain)
    count = held.raw.count if held.raw and held.raw.count else 10_000
    if held.per_class:
        count = min(count, held.per_class * suite.classes)
    try:
        return splits.sizes(suite.split, count, held.capped)["train"]
    except SuiteError:  # too few for the rule, which is said when they are there
        return count


def _enough(grid: Grid, data: Path, absent: Container[tuple[str, int]]) -> None:
    """UsageError where an attack is to have more images than the attacker's part of a target holds."""
    errors: set[str] = set()
    for part in (p for p in grid.parts if (p.suite.suite, p.split_seed) not in absent):
        for target in {target for _, targets in part.pairs for target in targets} if part.attacks else ():
            held = cache.manifest(part.suite, data, part.split_seed, target)["parts"]["attacker"]["count"]
            for attack in part.attacks:
                if attack.params["n"] > held:
                    said = f"{attack.name}: the attacker's part of {target} holds {held} images"
                    errors.add(f"{said}, not {attack.params['n']}: make n smaller")
    if errors:
        raise UsageError("\n".join(sorted(errors)))


def _hashes(grid: Grid, backbones: Iterable[str], pretrained: Path, data: Path) -> dict[str, str]:
    """sha256 of each backbone's weights file. SuiteError for each that is missing, and with them for each data set that
    is, so that a person can fetch all at once."""
    found, errors = {}, []
    for backbone in backbones:
        try:
            found[backbone] = weights.fingerprint(backbone, pretrained)
        except SuiteError as error:
            errors.append(str(error))
    if errors:
        raise SuiteError("\n".join(dict.fromkeys([*errors, *_not_there(grid, data)])))
    return found


def _not_there(grid: Grid, data: Path) -> Iterator[str]:
    """A line for each data set that is neither prepared nor there to be prepared."""
    for part in grid.parts:
        for domain in part.suite.domains:
            raw = part.suite.domain(domain).raw
            if raw and not cache.folder(part.suite, data, part.split_seed, domain).is_dir():
                try:
                    raw.read(data)
                except SuiteError as error:
                    yield str(error)
