"""Brings the records of other run directories, and all that they name, into one: nothing is overwritten.

    mapbench merge runs/all runs/here runs/there

Same key, same cell: of a cell that several computed the first ok record counts, as everywhere. The same command again
does nothing, and one that was cut short goes on.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import place, records
from results.clean import ARTEFACTS
from results.errors import StoreError
from results.store import Store


@dataclass
class Merged:
    """What became of the records of one directory."""

    new: int = 0
    known: int = 0
    damaged: int = 0  # records that cannot be read; they are left out
    missing: int = 0  # files that a record names and that are not there, or not what they were

    def __str__(self) -> str:
        told = [f"{self.new} new records, {self.known} known"]
        if self.damaged:
            told.append(f"{self.damaged} left out, which cannot be read")
        if self.missing:
            told.append(f"{self.missing} files missing or damaged there: `mapbench run` trains what hangs on them anew")
        return "; ".join(told)


def merge(into: Store, sources: list[Store]) -> list[Merged]:
    """Copy what `into` lacks of each source, artefacts first, each record last; then plan and tables. `into` need not
    exist. Raises StoreError where a source holds no run or is `into` itself, before anything is written."""
    for source in sources:
        if not place.is_run(source.out):
            raise StoreError(f"{source.out} is not a run directory: it has neither a plan.json nor records")
        if same(source.out, into.out):
            raise StoreError(f"{source.out} is to be merged into itself: name another directory first")
        if place.is_publication(source.out) and not records.count(source.out):
            raise StoreError(f"{source.out} was published without its records: ask for `mapbench publish --records`")
    plan = _plan([store for store in (into, *sources) if place.is_run(store.out)])
    ready(into)
    told = [_copy(into, source) for source in sources]
    if plan is not None:
        into.write_plan(plan)
    into.write_tables(force=True)
    return told


def ready(into: Store) -> None:
    """Raise StoreError where records cannot be added."""
    if place.is_publication(into.out):
        raise StoreError(f"{into.out} is a publication, which is not written to: merge it into a run directory")
    into.check_writable()


def same(one: Path, other: Path) -> bool:
    """Whether two run directories are one."""
    return str(one) == str(other) or (
        place.is_local(one) and place.is_local(other) and one.resolve() == other.resolve()
    )


def _copy(into: Store, source: Store) -> Merged:
    told, known = Merged(), records.files(into.out)
    for name, path in records.files(source.out).items():
        if name in known:
            told.known += 1
            continue
        record = records.read(path)
        if not isinstance(record, dict):
            told.damaged += 1
            continue
        for field in ARTEFACTS:
            if record.get(field):
                told.missing += not _bring(into.out, source.out, record, field)
        records.write(into.out, record)
        told.new += 1
    return told


def _bring(into: Path, source: Path, record: dict[str, Any], field: str) -> bool:
    """One file that a record names; False where it is not there, or not what the record says."""
    name = str(record[field])
    try:
        blob = place.get(source / name)
    except (OSError, StoreError):
        return False
    if field == "checkpoint" and hashlib.sha256(blob).hexdigest() != record["checkpoint_sha256"]:
        return False
    if field == "log":  # the only name that two directories may both have
        before = place.get(into / name) if place.exists(into / name) else b""
        if blob not in before:
            records.atomic_write(into / name, before + blob)
    elif not place.exists(into / name):
        records.atomic_write(into / name, blob)
    return True


def _plan(stores: list[Store]) -> dict[str, Any] | None:
    """The union of what was asked for. Of two definitions of a suite the one of the higher version stands, with the
    domains of both; StoreError where they differ under one version: somebody edited the file."""
    merged: dict[str, Any] | None = None
    for store in stores:
        plan = store.plan()
        if plan is None:
            continue
        if merged is None:
            merged = {**plan, "cells": list(plan["cells"]), "suites": dict(plan["suites"])}
            continue
        held = {cell["key"] for cell in merged["cells"]}
        merged["cells"] += [cell for cell in plan["cells"] if cell["key"] not in held]
        for name, suite in plan["suites"].items():
            mine = merged["suites"].get(name, suite)
            if mine["version"] == suite["version"] and _facts(mine) != _facts(suite):
                raise StoreError(
                    f"{store.out}: its suite {name} is of version {suite['version']} as in the other directory, but "
                    "not the same: give the edited file a version of its own"
                )
            newest = max(mine, suite, key=lambda s: int(s["version"]))
            merged["suites"][name] = {**newest, "domains": list(dict.fromkeys([*mine["domains"], *suite["domains"]]))}
    return merged and {**merged, "written": time.time()}


def _facts(suite: dict[str, Any]) -> dict[str, Any]:
    """What tables and boards read of a suite; which domains, and what its grid has, may differ from run to run."""
    return {name: suite.get(name) for name in ("classes", "image_size", "eligible", "twins")}
