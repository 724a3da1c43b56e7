"""A run directory as a folder to be served, or sent as a pull request: the board, its tables, what vouches for them.

    mapbench publish runs/digits-mini          writes runs/digits-mini-published
    mapbench verify runs/digits-mini-published

Everything in it is made from the records as results/public.py leaves them, so nothing of the machine can come through,
and made again from the same records it is the same, byte for byte: its date is that of the newest of them. The manifest
is written before the files it names: a publication that was cut short fails its verification, and can be repeated.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results import leaderboard, manifest, place, public, records, tables
from results.errors import StoreError
from results.leaderboard import Board, html, text
from results.manifest import Manifest, hidden
from results.merge import same
from results.publish_text import README, readme
from results.store import Store


@dataclass(frozen=True)
class Published:
    """What was written. `gaps`: how cells ended that have no number, or `missing`."""

    folder: Path
    files: int
    size: int  # bytes
    cells: int
    gaps: dict[str, int]
    damaged: int


def beside(out: Path) -> Path:
    """Where a run directory is published unless somebody says where."""
    return place.place(f"{out}-published") if not place.is_local(out) else out.with_name(f"{out.name}-published")


def publish(store: Store, to: Path, with_records: bool = False) -> Published:
    """Write `to`, a folder or a URL: new, empty but for hidden files, or an earlier publication of the same grid.

    Raises StoreError, before anything is written, where `store` holds nothing to publish or `to` holds something else.
    """
    if not place.is_run(store.out):
        raise StoreError(f"{store.out} is not a run directory: it has neither a plan.json nor records")
    asked = store.plan()
    if asked is None:
        raise StoreError(f"{store.out} has no plan.json, which says what was asked for: its `mapbench run` writes one")
    if same(store.out, to):
        raise StoreError(f"{to} is to be published into itself: name another folder with --to")
    before = _before(to, str(asked["grid"]))
    kept = store.records()
    if not kept:
        raise StoreError(f"{store.out} has no records: there is nothing to publish")
    hosts = public.hosts_of(kept)
    found = [public.record(one, hosts) for one in kept]
    newest = max(float(one.get("finished") or 0.0) for one in found)
    plan = public.plan(asked, hosts, newest)
    built = tables.stamped(found, plan, len(found) if with_records else 0)
    cells, pairs, attacks = (built[name].to_pandas() for name in ("cells", "pairs", "attacks"))
    board = leaderboard.assemble(cells, pairs, attacks, plan, manifest.scored(plan), str(store.out))
    board = replace(board, generated=f"{datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M UTC}")
    facts = _facts(found, plan, built["cells"].to_pylist(), newest) | {"damaged": len(store.damaged())}
    claims = Manifest.model_validate({**facts, "files": []})
    contents = _contents(board, plan, built) | {README: readme(claims, board, with_records).encode()}
    named = {f"records/{one['key'][:2]}/{records.name(one)}": one for one in found if with_records}
    files = [_file(name, content) for name, content in contents.items()]
    files += [_file(name, records.dump(one)) for name, one in named.items()]
    files.sort(key=lambda file: str(file["name"]))
    _write(to, before, Manifest.model_validate({**facts, "files": files}), contents, named)
    count, gaps = manifest.counted(claims.cells)
    return Published(to, len(files) + 1, sum(int(file["size"]) for file in files), count, gaps, claims.damaged)


def _before(to: Path, grid: str) -> list[str]:
    """The files of the publication that `to` is, if it is one; StoreError where what is there is something else."""
    there = [name for name in place.sizes(to) if not hidden(name)] if place.exists(to) else []
    if place.is_local(to) and to.exists() and not to.is_dir():
        raise StoreError(f"{to} is in the way: it is not a folder")
    if not there:
        return []
    if place.MANIFEST not in there:
        raise StoreError(f"{to} holds files and is no earlier publication: name another folder with --to")
    earlier = manifest.peek(to)
    if (other := earlier.get("grid")) != grid:
        raise StoreError(f"{to} is a publication of {other}, not of {grid}: name another folder with --to")
    claimed = manifest.read(earlier)
    # of a damaged manifest nothing is taken to be ours, and nothing is removed
    named = [file.name for file in claimed.files] if isinstance(claimed, Manifest) else []
    return [name for name in named if name in there]  # so none that leads out of the folder


def _contents(board: Board, plan: Mapping[str, Any], built: Mapping[str, Any]) -> dict[str, bytes]:
    """Every file but README.md, manifest.json and the records."""
    forms: dict[str, Callable[[Board], str]] = {
        manifest.PAGE: html.page, "board.csv": text.to_csv, "board.json": text.to_json, "board.md": text.to_markdown,
        "board.tex": text.to_latex,
    }  # fmt: skip
    return {
        **{name: (form(board).rstrip("\n") + "\n").encode() for name, form in forms.items()},
        "plan.json": records.dump(plan),
        **{f"tables/{name}.parquet": tables.encoded(table) for name, table in built.items()},
    }


def _facts(
    found: Sequence[dict[str, Any]], plan: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], newest: float
) -> dict[str, Any]:
    """What the manifest says, but for the files."""
    chosen = records.winners(found)
    hashes = {key: hashlib.sha256(records.dump(one)).hexdigest() for key, one in chosen.items()}
    cells = manifest.listed(rows, plan["cells"], hashes)
    kinds, variants = manifest.coverage(cells, rows, plan["cells"])
    ok = [chosen[row["key"]] for row in rows if row["current"] and row["status"] == "ok"]
    return {
        "schema": manifest.SCHEMA, "mapbench": tables.version(), "tables": tables.SCHEMA_VERSION,
        "grid": str(plan["grid"]), "command": plan["command"], "created": manifest.date(newest),
        "score": manifest.scored(plan), "emptied": list(public.EMPTIED),
        "code": manifest.code(rows), "environments": _environments(ok), "data": manifest.data(rows),
        "kinds": kinds, "variants": variants, "other_parents": _other_parents(found, chosen),
        "cells": cells,
    }  # fmt: skip


def _environments(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What cells ran on and with, and how many did, the most common first."""
    seen: Counter[str] = Counter()
    facts: dict[str, dict[str, Any]] = {}
    for there in (one["environment"] for one in found):
        what = {"device": there.get("device"), "torch": there.get("torch"), "packages": there.get("packages") or {}}
        name = repr(what)
        seen[name] += 1
        facts[name] = what
    return [{**facts[name], "cells": n} for name, n in sorted(seen.items(), key=lambda item: (-item[1], item[0]))]


def _other_parents(found: Sequence[dict[str, Any]], chosen: Mapping[str, dict[str, Any]]) -> list[str]:
    """Keys of the ok cells that were made from another attempt at their parent than the one that stands for it."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        by_key.setdefault(one["key"], []).append(one)
    made = {key: records.parent_of(one, by_key, chosen) for key, one in chosen.items() if one["status"] == "ok"}
    return sorted(key for key, parent in made.items() if parent and parent["uuid"] != chosen[parent["key"]]["uuid"])


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write(
    to: Path, before: Iterable[str], claims: Manifest, contents: Mapping[str, bytes],
    named: Mapping[str, Mapping[str, Any]],
) -> None:  # fmt: skip
    """Takes away what the new publication no longer has, then writes the manifest, then the files."""
    for name in sorted(set(before) - {file.name for file in claims.files}):
        place.remove(to / name)
    records.atomic_write(to / place.MANIFEST, manifest.dump(claims))
    for name, content in contents.items():
        records.atomic_write(to / name, content)
    for name, one in named.items():
        records.atomic_write(to / name, records.dump(one))
