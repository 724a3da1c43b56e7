"""`mapbench data SUITE`: which data sets are there, which are not and where they must lie; it prepares what it can.

    mapbench data digits            mapbench data map-paper --check            mapbench data digits --download

Preparing (decode, resize, split, fingerprint: suites/prepare.py) happens once; the same command again goes on where it
was interrupted, and then is a no-op.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from harness import api, environment, grid
from suites import SuiteError, backbones, cache, splits
from suites.backbones import weights as fetch
from suites.domains import Domain, MissingData, Raw
from suites.schema import Suite

EVERY = 5.0  # seconds before a line of progress, and between two, where there is no terminal


@dataclass(frozen=True)
class Found:
    """One domain of a suite. `state`: ready | prepared (just now) | there (--check only) | missing | broken."""

    suite: str
    domain: str
    data_set: str
    state: str
    why: str = ""
    parts: dict[str, int] = field(default_factory=dict)  # images of each part
    image_size: int = 0
    split_sha256: str = ""
    fingerprint: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Weights:
    """The file of a backbone's ImageNet weights. `state`: ready | missing."""

    backbone: str
    file: str
    state: str


@dataclass(frozen=True)
class Survey:
    """What there is of a suite's data, and what is missing of it."""

    found: list[Found]
    missing: list[Raw]
    weights: list[Weights]
    failed: list[str] = field(default_factory=list)  # downloads, a line each
    left: list[str] = field(default_factory=list)  # folders of builds that did not end, or go on now

    @property
    def complete(self) -> bool:
        """Whether everything is there that a run needs."""
        return not self.missing and all(one.state == "ready" for one in self.weights)


def data(
    target: str, folder: str | None, weights: str | None = None, download: bool = False, check: bool = False,
    verify: bool = False, jobs: int | None = None,
) -> Survey:  # fmt: skip
    """What there is of each domain of a suite or grid file, prepared unless `check`; and of ImageNet weights.

    `download`: fetch what torchvision can first. `verify`: read every byte of what was prepared before."""
    suites, where, nets = grid.suites(target), api.data_dir(folder), api.weights_dir(weights)
    begun = [b for suite, _, names in suites for b in names if suite.recipes[b].init == "imagenet"]
    files = {b: nets / str(backbones.card(b).weights) for b in dict.fromkeys(begun)}
    failed = list(_downloads(suites, where, files)) if download else []
    found, missing = [], dict[str, Raw]()
    with Bar() as bar:
        for suite, seed, _ in suites:
            for name in suite.domains:
                seen = _look(suite, seed, name, where, check, verify, jobs or environment.cores(), bar)
                raw = suite.domain(name).raw
                if seen.state in ("missing", "broken") and raw:
                    missing[raw.title] = raw
                found.append(seen)
            if all(seen.state in ("ready", "prepared") for seen in found if seen.suite == suite.suite):
                cache.fingerprints(suite, where, seed)  # whether they fit together
    there = [Weights(b, api.show(path), "ready" if path.is_file() else "missing") for b, path in files.items()]
    left = sorted(api.show(path) for path in (where / cache.HOME).glob(".*") if path.is_dir())
    return Survey(found, list(missing.values()), there, failed, left)


def _downloads(suites: Any, where: Path, files: dict[str, Path]) -> Iterator[str]:
    """Fetches what torchvision can, of what is neither prepared nor there; a line for each that could not be."""
    wanted = {raw.title: raw for suite, seed, _ in suites for raw in _fetchable(suite, seed, where)}
    for raw in wanted.values():
        yield from _fetch(raw.title, where, raw.download, raw.get)
    for backbone, path in files.items():
        if not path.is_file():
            what = f"{path.name}, the ImageNet weights of {backbone},"
            yield from _fetch(what, path.parent, partial(fetch.download, backbone), fetch.url(backbone))


def _fetchable(suite: Suite, seed: int, where: Path) -> Iterator[Raw]:
    """The data sets of a suite that torchvision fetches, and that are neither prepared nor there."""
    for name in suite.domains:
        raw = suite.domain(name).raw
        if raw and raw.download and not cache.folder(suite, where, seed, name).is_dir():
            try:
                raw.read(where)
            except SuiteError:
                yield raw


def _fetch(what: str, where: Path, download: Callable[[Path], object] | None, get: str) -> Iterator[str]:
    assert download is not None
    print(f"downloading {what.rstrip(',')}", file=sys.stderr, flush=True)
    try:
        where.mkdir(parents=True, exist_ok=True)
        download(where)
    except (OSError, RuntimeError, ValueError) as error:  # no network, a dead link, another checksum, a full disk
        if isinstance(error, HTTPError):
            error.close()  # an answer like others: it holds the connection
        said = " ".join(str(error).split()) or type(error).__name__
        yield f"{what} cannot be downloaded ({said}); {get}"


def _look(
    suite: Suite, seed: int, name: str, where: Path, check: bool, verify: bool, jobs: int, bar: Bar
) -> Found:  # fmt: skip
    domain, at = suite.domain(name), cache.folder(suite, where, seed, name)
    one = Found(suite.suite, name, _title(domain), "missing", image_size=suite.image_size)
    alone = suite.model_copy(update={"domains": [name]})
    try:
        changed = cache.changed(alone, where, seed) if check else cache.renew(alone, where, seed)
        before = at.is_dir() and not changed
        if before and domain.raw and domain.raw.count is None and not domain.folder:
            _same(domain.raw, at, where, cache.manifest(suite, where, seed, name)["of"])
        if check and not before:
            if domain.raw:
                domain.raw.read(where)
            return replace(one, state="there")
        held = cache.manifest(suite, where, seed, name, bar, jobs)
        if verify and before:
            cache.verify(suite, where, seed, name)
        else:
            cache.fingerprints(alone, where, seed)
    except MissingData as error:
        return replace(one, why=str(error))
    except SuiteError as error:
        return replace(one, state="broken", why=str(error))
    return replace(
        one, state="ready" if before else "prepared",
        parts={part: held["parts"][part]["count"] for part in splits.PARTS},
        split_sha256=held["split_sha256"], fingerprint=held["fingerprint"], folder=api.show(at),
    )  # fmt: skip


def _same(raw: Raw, at: Path, where: Path, prepared: int) -> None:
    """SuiteError where a data set of which nobody says how many images it has has others now than when it was prepared:
    it was half there then."""
    try:
        now = len(raw.read(where).ids)
    except SuiteError:  # its files may be gone: what was prepared stands
        return
    if now != prepared:
        raise SuiteError(
            f"{raw.title}: {at} was prepared from {prepared:,} images, and now there are {now:,}; "
            "delete that folder to prepare it anew"
        )


def _title(domain: Domain) -> str:
    return domain.raw.title if domain.raw else "embedded"


def as_json(survey: Survey) -> dict[str, Any]:
    """For scripts: the domains, the weights, and of each data set that is missing what is expected."""
    return {
        "domains": [asdict(one) for one in survey.found],
        "weights": [asdict(one) for one in survey.weights],
        "failed_downloads": survey.failed,
        "unfinished": survey.left,
        "expected": [
            {"data_set": raw.title, "layout": list(raw.layout), "md5": dict(raw.sums()), "get": raw.get}
            for raw in survey.missing
        ],
    }


def text(survey: Survey, where: Path, target: str) -> str:
    """For people."""
    found, missing = survey.found, survey.missing
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len({one.suite for one in found}) > 1
    for name in (*(["suite"] if several else []), "domain", "data set", "state"):
        table.add_column(name, no_wrap=True)
    for name in (*splits.PARTS, "px", "split", "fingerprint"):
        table.add_column(name, justify="right" if name in (*splits.PARTS, "px") else "left", no_wrap=True)
    for one in found:
        cells = [f"{one.parts[part]:,}" if one.parts else "-" for part in splits.PARTS]
        table.add_row(
            *([one.suite] if several else []), one.domain, one.data_set, one.state, *cells, str(one.image_size),
            one.split_sha256[:8] or "-", one.fingerprint[:8] or "-",
        )  # fmt: skip
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().rstrip().split("\n")]
    for why in dict.fromkeys(one.why for one in found if one.state == "broken"):
        lines += ["", *why.split("\n")]
    for raw in missing:
        sums = raw.sums()
        lines += ["", f"{raw.title}: expected below {api.show(where)}/"]
        lines += [f"    {line}" for line in raw.layout]
        lines += [f"    md5 {md5}  {path}" for path, md5 in sums.items()]
        lines += [f"    {raw.get.replace('SUITE', target)}"]
    if survey.weights:
        lines += ["", "ImageNet weights"]
        lines += [f"    {one.backbone:<10}{one.state:<9}{one.file}" for one in survey.weights]
        gone = [one.backbone for one in survey.weights if one.state == "missing"]
        lines += [f"    get {fetch.url(backbone)}" for backbone in gone]
        if gone:
            lines += [f"    or: mapbench data {target} --download; another folder: --weights DIR"]
    if survey.failed:
        lines += ["", *survey.failed]
    if survey.left:
        lines += ["", "of builds that did not end; the same command takes them up, and none else needs them:"]
        lines += [f"    {path}" for path in survey.left]
    if survey.complete:
        there = any(one.state == "there" for one in found)
        lines += ["", f"next     mapbench {'data' if there else 'run'} {target}"]
    return "\n".join(lines)


class Bar:
    """Shows how far the preparing is, on stderr: a bar on a terminal, else a line now and then. A context manager."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, domain: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            now = time.monotonic()
            if now - self._tasks.setdefault(domain, now) >= EVERY:  # what is done in a moment is not worth a line
                self._tasks[domain] = now
                print(f"preparing {domain}: {done:,} of {total:,} images", file=sys.stderr, flush=True)
            return
        if self._progress is None:
            from rich import progress as bars
            from rich.console import Console

            self._progress = bars.Progress(
                bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(),
                bars.TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._progress.start()
        if domain not in self._tasks:
            self._tasks[domain] = self._progress.add_task(f"preparing {domain}", total=total)
        self._progress.update(self._tasks[domain], completed=done)
