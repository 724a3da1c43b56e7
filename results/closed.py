"""Figures of a method whose code is not public, as records of a run directory: on the board, marked, never ours.

    mapbench merge runs/digits-mini closed.csv

results/closed_csv.py has the columns. A model becomes an ok record of kind protect with a key of its own, the fidelity
`closed` and the flag `not-rerunnable`; boards call it NAME[closed]. It hangs on the run's f_s and stands in that table,
unless it has figures of its own f_s: then its backbone is called `NAME@closed`, for nobody here can say how that was
trained. What was not given is undefined, never guessed, and so is every rank that would need it. The same file again
adds nothing; corrected figures are a newer version of the same cell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from results import records
from results.closed_csv import Line, Row
from results.errors import StoreError
from results.keys import key_of
from results.merge import Merged, ready
from results.records import CLOSED
from results.store import Store

FLAG = "not-rerunnable"
IMPORTED = 1  # in the spec of what was imported: the form of that spec
OF_THE_MODEL = ("source_before", "source_after", "source_after_balanced", "source_images", "cite")


@dataclass(frozen=True)
class Known:
    """What the figures are held against: the run's suites, its own methods, and its f_s by place."""

    suites: Mapping[str, Mapping[str, Any]]
    methods: set[str]
    trained: Mapping[tuple[Any, ...], list[dict[str, Any]]]  # by suite, split_seed, backbone, source, seed

    def f_s(self, row: Row) -> dict[str, Any] | None:
        """The record of the run's own f_s for a row, one that was scored on both of its domains."""
        found = self.trained.get((row.suite, row.split_seed, row.backbone, row.source, row.seed), [])
        whole = (one for one in found if {row.source, row.target} <= _images(one).keys())
        return next(whole, None)


def known(stores: Iterable[Store]) -> Known:
    """What run directories know together; one that does not exist knows nothing."""
    suites: dict[str, Mapping[str, Any]] = {}
    cells: list[Mapping[str, Any]] = []
    found: list[dict[str, Any]] = []
    for store in stores:
        plan = store.plan() or {}
        suites |= plan.get("suites") or {}
        cells += plan.get("cells") or ()
        found += store.records()
    chosen = records.winners(found)
    current = records.current(chosen)
    cells += [one["cell"] for one in chosen.values()]
    trained: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in (chosen[key] for key in sorted(current)):
        cell = one["cell"]
        if (cell["kind"], cell["score"], one["status"]) == ("train", "test", "ok") and cell["fidelity"] != CLOSED:
            at = (cell["suite"], one["spec"].get("split_seed", 0), cell["backbone"], cell["source"], cell["seed"])
            trained.setdefault(at, []).append(one)
    methods = {str(cell["method"]) for cell in cells if cell["method"] and cell["fidelity"] != CLOSED}
    return Known(suites, methods, trained)


def made(lines: Sequence[Line], of: Known) -> list[dict[str, Any]]:
    """The records of a file's lines, parents first. Raises StoreError for the first line that the run cannot take."""
    models: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        _fits(line, of)
        models.setdefault(line.row.model, []).append(line)
    return [record for mine in models.values() for record in _model(mine, of)]


def commit(into: Store, found: Sequence[dict[str, Any]]) -> Merged:
    """Write the records that `into` lacks, then its tables. Raises StoreError where it cannot be written to."""
    ready(into)
    there, told = records.files(into.out), Merged()
    for record in found:
        if records.name(record) in there:
            told.known += 1
        else:
            into.commit(record)
            told.new += 1
    into.write_tables(force=True)
    return told


def _fits(line: Line, of: Known) -> None:
    """StoreError where a name is not one of the run's, or is taken."""
    row = line.row
    if row.suite not in of.suites:
        have = ", ".join(sorted(of.suites)) or "none"
        raise StoreError(f"{line.at}: this run has no suite {row.suite!r}; it has {have}")
    domains = list(of.suites[row.suite]["domains"])
    for name in (row.source, row.target):
        if name not in domains:
            close = get_close_matches(name, domains, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(domains)}"
            raise StoreError(f"{line.at}: {row.suite} has no domain {name!r}; {hint}")
    if row.method in of.methods:
        raise StoreError(f"{line.at}: {row.method!r} is a method of this run: give the closed one a name of its own")
    if (row.source_before is None) != (row.target_before is None):
        raise StoreError(f"{line.at}: give source_before and target_before, or neither")


def _model(lines: Sequence[Line], of: Known) -> list[dict[str, Any]]:
    """The records of one model: that of its own f_s, where it has one, and its own."""
    first, f_s = lines[0].row, [of.f_s(line.row) for line in lines]
    _agree(lines)
    own, above = first.source_before is not None, f_s[0]
    if not own and (above is None or any(one is not above for one in f_s)):
        who = f"{first.suite} {first.backbone} {first.source} seed {first.seed}"
        raise StoreError(f"{lines[0].at}: no f_s of {who} here: run it, or give source_before and target_before")
    held = [_images(one) if one else {} for one in f_s]
    after, before = (
        [_score(lines[0], "source", when, held[0])]
        + [_score(line, "target", when, images) for line, images in zip(lines, held, strict=True)]
        for when in ("after", "before")
    )  # of the run's f_s, `before` holds nothing
    suite = of.suites[first.suite]
    # the figures are the version: other ones of the same model are newer ones, not another model
    place_of = {
        "imported": IMPORTED, "suite": first.suite, "split_seed": first.split_seed, "classes": suite["classes"],
        "backbone": first.backbone, "source": first.source, "score": "test", "seed": first.seed,
        "recipe": {"figures": key_of({"after": after, "before": before}), "cite": first.cite},
    }  # fmt: skip
    what = {"method": first.method, "scenario": first.scenario, "start": first.start, "targets": first.targets}
    cell = {
        "inputs": [], "suite": first.suite, "suite_version": suite["version"], "fidelity": CLOSED, "control": False,
        "backbone": f"{first.backbone}@{CLOSED}" if own else first.backbone, "tuned": first.tuned, "params": {},
        "source": first.source, "seed": first.seed, "classes": suite["classes"], "score": "test",
        "domains": list(above["cell"]["domains"] if above else suite["domains"]),
    }  # fmt: skip
    found = []
    if own:  # one for each model: what other lines say of their f_s is theirs
        nothing = dict.fromkeys(("parent", "method", "method_version", "start", "scenario"))
        bare = {**cell, **nothing, "kind": "train", "variant": "", "targets": []}
        above = _record({**place_of, "kind": "train", "of": {**what, "tuned": first.tuned}}, bare, before, None)
        found.append(above)
    assert above is not None
    spec = {**place_of, **what, "kind": "protect", "tuned": first.tuned, "params": {}, "method_version": 0}
    facts = {**what, "kind": "protect", "variant": f"{first.method}[{CLOSED}]", "method_version": 0}
    mine = _record(
        {**spec, "parent": above["key"]}, {**cell, **facts, "parent": above["key"]}, after, above["checkpoint_sha256"]
    )
    return [*found, mine]


def _agree(lines: Sequence[Line]) -> None:
    """StoreError where lines of one model contradict each other."""
    first, seen = lines[0], dict[str, str]()
    for line in lines:
        if earlier := seen.get(line.row.target):
            raise StoreError(f"{line.at}: the same model and target as in {earlier}")
        seen[line.row.target] = line.at
        for name in OF_THE_MODEL:
            if getattr(line.row, name) != getattr(first.row, name):
                raise StoreError(f"{line.at}: {name} is not what {first.at} says of the same model")


def _score(line: Line, side: str, when: str, held: Mapping[str, int]) -> dict[str, Any] | None:
    """The accuracy row of a figure, None where it was not given: how many images are right, as it must follow."""
    row, name = line.row, f"{side}_{when}"
    domain, value = getattr(row, side), getattr(row, name)
    if value is None:
        return None
    images = getattr(row, f"{side}_images") or held.get(domain)
    if images is None:
        raise StoreError(f"{line.at}: of how many test images {name} is, is not known: give {side}_images")
    correct, typed = round(value * images), line.typed[name]
    decimals = 12 if "e" in typed.lower() else len(typed.partition(".")[2])
    if abs(correct / images - value) > 0.5 * 10**-decimals + 1e-12:
        near = f"{correct} of them are {correct / images:.{decimals + 2}f}"
        raise StoreError(f"{line.at}: {name} cannot be {typed} of {images} images, {near}: give {side}_images")
    after = when == "after"
    probes = {"matched": row.target_matched, "decoded": row.target_decoded} if after and side == "target" else {}
    return {
        "domain": domain, "part": "test", "correct": correct, "total": images,
        "balanced": getattr(row, f"{name}_balanced") if after else None, "matched": None, "decoded": None,
        "confusion": None, **probes,
    }  # fmt: skip


def _images(f_s: Mapping[str, Any]) -> dict[str, int]:
    """How many test images of each domain an f_s was scored on."""
    return {row["domain"]: row["total"] for row in f_s["accuracy"] if row["part"] == "test" and row["total"]}


def _record(
    spec: dict[str, Any], cell: dict[str, Any], accuracy: Sequence[dict[str, Any] | None], parent_checkpoint: str | None
) -> dict[str, Any]:
    """An ok record of what is imported now. Its name follows from its key: it can be there only once."""
    key, now = key_of(spec), time.time()
    unknown = dict.fromkeys(("device", "torch", "git_commit", "git_dirty", "host", "method_sha256"))
    return {
        "schema": records.SCHEMA, "key": key, "attempt": 1, "uuid": key[:8], "status": "ok", "spec": spec, "cell": cell,
        "parent_checkpoint": parent_checkpoint, "input_checkpoints": [], "flags": [FLAG], "error": None,
        "started": now, "finished": now, "seconds": None, "peak_memory_mb": None,
        "environment": {**unknown, "packages": {}}, "accuracy": [row for row in accuracy if row], "curves": {},
        "checkpoint": None, "checkpoint_sha256": None, "predictions": None, "quality": {}, "picture": None, "log": None,
    }  # fmt: skip
