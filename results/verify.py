"""Whether a publication is what it says: its files, its keys, its coverage and every number that follows from another.

    mapbench verify runs/demo-published

A results repository can run it in its CI: exit code 0, 3 with a line per problem, 2 for what is no publication. It
trains nothing and needs nothing but the folder. Of board.md, board.tex, README.md and what the page draws, only the
sha256 is held to. Hidden files, .git among them, are no part of a publication.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from results import manifest, place, public, records, tables
from results.differing import Problem
from results.manifest import FORMS, PAGE, Manifest
from results.publish_text import README
from results.recount import Evidence, file, recount

MOST = 20  # problems of one file that are told one by one
# what a page would fetch from elsewhere
_OUTSIDE = re.compile(
    r"""<[a-z][^>]*\b(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//[^"'>\s]*"""
    r"""|@import\s+(?:url|["'])|url\(\s*["']?\s*(?:https?:)?//""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verified:
    """What was found; nothing is wrong where there are no problems. `gaps`: how cells ended that are not ok."""

    cells: int
    files: int
    gaps: dict[str, int]
    problems: list[Problem]


def verify(folder: Path) -> Verified:
    """Check a publication, a folder or a URL. Raises StoreError where it is none that this version reads."""
    claims = manifest.read(manifest.peek(folder))
    if not isinstance(claims, Manifest):
        return Verified(0, 0, {}, _told(Problem(place.MANIFEST, line) for line in claims))
    contents, problems = _contents(folder, claims)
    evidence, unreadable = _evidence(folder, claims, contents)
    problems += unreadable
    if evidence is not None:
        problems += recount(evidence)
    problems += _page(contents)
    cells, gaps = manifest.counted(claims.cells)
    return Verified(cells, len(claims.files) + 1, gaps, _told(problems))


def _told(problems: Iterable[Problem]) -> list[Problem]:
    """The first problems of each file, and how many more it has."""
    found = list(dict.fromkeys(problems))
    count: Counter[str] = Counter()
    told = []
    for problem in found:
        count[problem.where] += 1
        if count[problem.where] <= MOST:
            told.append(problem)
    return told + [Problem(where, f"and {n - MOST} more") for where, n in count.items() if n > MOST]


def _contents(folder: Path, claims: Manifest) -> tuple[dict[str, bytes], list[Problem]]:
    """The content of every file that the manifest lists, and what of the files is not as it says."""
    contents: dict[str, bytes] = {}
    problems: list[Problem] = []
    there = {name for name in place.sizes(folder) if not manifest.hidden(name)} - {place.MANIFEST}
    listed = Counter(one.name for one in claims.files)
    problems += [Problem(place.MANIFEST, f"files: {name} stands there twice") for name, n in listed.items() if n > 1]
    for name in (*FORMS, PAGE, README, "plan.json", *map(file, tables.SCHEMAS)):
        if name not in listed:
            problems.append(Problem(place.MANIFEST, f"files: {name} is not listed"))
    for one in claims.files:
        if one.name not in there:  # so none that leads out of the folder
            problems.append(Problem(one.name, "is not there, and manifest.json lists it"))
            continue
        try:
            contents[one.name] = content = place.get(folder / one.name)
        except OSError as error:
            problems.append(Problem(one.name, f"cannot be read: {error.strerror or error}"))
            continue
        if len(content) != one.size:
            problems.append(Problem(one.name, f"has {len(content)} bytes, by manifest.json {one.size}"))
        elif (digest := hashlib.sha256(content).hexdigest()) != one.sha256:
            problems.append(Problem(one.name, f"was changed: its sha256 is {digest}, by manifest.json {one.sha256}"))
    problems += [Problem(name, "is not listed in manifest.json") for name in sorted(there - listed.keys())]
    return contents, problems


def _evidence(folder: Path, claims: Manifest, contents: Mapping[str, bytes]) -> tuple[Evidence | None, list[Problem]]:
    """What numbers can be computed from; None where a table or plan.json cannot be read."""
    problems: list[Problem] = []
    found: dict[str, pa.Table] = {}
    for name in tables.SCHEMAS:
        if file(name) in contents:
            try:
                found[name] = tables.decoded(contents[file(name)])
            except (OSError, pa.ArrowException) as error:
                problems.append(Problem(file(name), f"cannot be read: {' '.join(str(error).split())[:200]}"))
                continue
            problems += [Problem(file(name), what) for what in _unlike(name, found[name])]
    plan: Any = None
    if "plan.json" in contents:
        try:
            plan = json.loads(contents["plan.json"])
        except (ValueError, RecursionError) as error:
            problems.append(Problem("plan.json", f"is no JSON: {error}"))
        if plan is not None and not isinstance(plan, dict):
            problems.append(Problem("plan.json", "is no JSON object"))
    made, damaged = _records(folder, claims, contents)
    if problems or len(found) < len(tables.SCHEMAS) or not isinstance(plan, dict):
        return None, problems + damaged
    forms = {name: contents[name] for name in ("board.json", "board.csv") if name in contents}
    return Evidence(claims, plan, found, made, forms), damaged


def _unlike(name: str, table: pa.Table) -> Iterator[str]:
    """In what a table is not of its schema."""
    wanted, have = tables.SCHEMAS[name], table.schema
    version = (have.metadata or {}).get(b"mapbench.schema_version", b"of no version").decode(errors="replace")
    if version != str(tables.SCHEMA_VERSION):
        yield f"its schema is {version}, this version reads {tables.SCHEMA_VERSION}: use the mapbench that wrote it"
    elif not have.equals(wanted):
        types = {field.name: field.type for field in have}
        for field in wanted:
            if field.name not in types:
                yield f"has no column {field.name}"
            elif types[field.name] != field.type:
                yield f"its column {field.name} holds {types[field.name]}, not {field.type}"
        for unknown in sorted(types.keys() - set(wanted.names)):
            yield f"has a column {unknown}, which nobody knows"
        if types.keys() == set(wanted.names) and have.names != wanted.names:
            yield "has its columns in another order, or one of them twice"


def _records(
    folder: Path, claims: Manifest, contents: Mapping[str, bytes]
) -> tuple[list[dict[str, Any]] | None, list[Problem]]:
    """The records, in the order of their names; None where there are none, or one cannot be used."""
    names = [one.name for one in claims.files if one.name.startswith("records/")]
    if not contents.keys() >= set(names):
        return None, []
    found: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for name in sorted(names, key=lambda name: name.rpartition("/")[2]):
        record = records.read(folder / name)
        if not isinstance(record, dict):
            problems.append(Problem(name, record.reason))
        elif public.record(record, ()) != record:
            problems.append(Problem(name, "holds what is not published, see `emptied` in manifest.json"))
        else:
            found.append(record)
    return (found if found and not problems else None), problems


def _page(contents: Mapping[str, bytes]) -> Iterator[Problem]:
    """The page fetches nothing: it must open from a mail, and years from now."""
    page = contents.get(PAGE, b"").decode(errors="replace")
    tags = re.sub(r"(<script\b[^>]*>).*?(</script>)", r"\1\2", page, flags=re.DOTALL | re.IGNORECASE)
    for hit in dict.fromkeys(match[0][-80:] for match in _OUTSIDE.finditer(tags)):
        yield Problem(PAGE, f"fetches from elsewhere: {' '.join(hit.split())}")


def said(found: Verified) -> str:
    """What was found, for people: a line per problem, or one that all is well."""
    if found.problems:
        return "\n".join(map(str, found.problems))
    gaps = "".join(f", {n} {status}" for status, n in found.gaps.items())
    return f"ok: {found.cells} cells{gaps}, {found.files} files"
