"""manifest.json: what a publication says of itself, and what `mapbench verify` holds it to.

    mapbench publish runs/demo && cat runs/demo-published/manifest.json

Every list has one item a line, so that a pull request shows what changed. Claims on cells and coverage are computed by
the functions below from plan.json and the cells table, by whoever publishes and by whoever verifies.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from results import place
from results.errors import StoreError
from results.records import CLOSED
from results.stats import ROW

SCHEMA = 1
PAGE = "index.html"
FORMS = ("board.csv", "board.json", "board.md", "board.tex")
MISSING = "missing"  # the status of a cell that was asked for and has no record
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Code(_Strict):
    """A commit of mapbench that cells ran with; null where it was no checkout."""

    commit: str | None
    modified: bool | None
    cells: Count


class Environment(_Strict):
    """What cells ran on and with."""

    device: str | None
    torch: str | None
    packages: dict[str, str | None]
    cells: Count


class Data(_Strict):
    """A suite in one split: its version and the fingerprint of each domain (images, labels and split)."""

    suite: str
    version: int
    split_seed: int
    domains: dict[str, str]


class Listed(_Strict):
    """A cell that was asked for, or that is there besides. `record`: sha256 of its public record, null without one."""

    key: Sha256
    kind: str
    status: str
    planned: bool
    current: bool
    imported: bool  # its figures, of a method whose code is not public: nobody here ran it
    record: Sha256 | None


class Kind(_Strict):
    """How many current cells of a kind are there of those expected, without imported ones. `other`: how the rest ended,
    or missing."""

    kind: str
    done: Count
    expected: Count
    other: dict[str, Count]


class Variant(_Strict):
    """The same of the protect cells of one row of the board."""

    suite: str
    split_seed: int
    score: str
    backbone: str
    scenario: str | None
    variant: str
    start: str | None
    done: Count
    expected: Count
    other: dict[str, Count]


class File(_Strict):
    """A file of the publication, by its name in it."""

    name: str = Field(min_length=1)
    size: Count  # bytes
    sha256: Sha256


class Manifest(_Strict):
    """All that manifest.json holds."""

    version: Literal[1] = Field(alias="schema")
    mapbench: str
    tables: int  # results.tables.SCHEMA_VERSION of the writer
    grid: str
    command: str | None
    created: str  # ISO 8601, UTC: when the newest record was finished
    score: Literal["test", "val"]  # what the board is scored on
    emptied: list[str]  # fields that were taken out, see results/public.py
    damaged: Count  # records of the run directory that could not be read, and so are not here
    code: list[Code]
    environments: list[Environment]
    data: list[Data]
    kinds: list[Kind]
    variants: list[Variant]
    # keys of cells whose model was made from another attempt at its parent than the one in the accuracy table, where
    # two drivers had both trained it: what their rows say of the parent cannot be computed from that table
    other_parents: list[Sha256]
    cells: list[Listed]
    files: list[File]


def hidden(name: str) -> bool:
    """Whether a file is no part of a publication, though it lies there: `.git/config`, `.nojekyll`."""
    return any(part.startswith(".") for part in name.split("/"))


def scored(plan: Mapping[str, Any]) -> str:
    """The part that the board is of: test, unless every cell was asked for on val."""
    return "val" if {cell["score"] for cell in plan["cells"]} == {"val"} else "test"


def counted(cells: Iterable[Listed]) -> tuple[int, dict[str, int]]:
    """How many current cells there are, without those that were imported, and how those ended that are not ok."""
    ends = Counter(cell.status for cell in cells if cell.current and not cell.imported)
    return ends.total(), {status: n for status, n in sorted(ends.items()) if status != "ok"}


def dump(manifest: Manifest) -> bytes:
    """The file's content: a line per item of a list, so that a change of one is a change of one line."""
    lines = []
    for name, value in manifest.model_dump(by_alias=True).items():
        text = _json(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n" + ",\n".join(f"  {_json(item)}" for item in value) + "\n ]"
        lines.append(f" {_json(name)}: {text}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def peek(folder: Path) -> dict[str, Any]:
    """manifest.json as far as it is JSON of a schema that this version reads. Raises StoreError: not a publication."""
    path = folder / place.MANIFEST
    try:
        found = json.loads(place.get(path))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"{folder} is not a publication: it has no {place.MANIFEST}; `mapbench publish` makes one"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{folder} is not a publication: its {place.MANIFEST} is no JSON ({error})") from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema is None or "files" not in found:
        raise StoreError(f"{folder} is not a publication: its {place.MANIFEST} is not one of `mapbench publish`")
    if schema != SCHEMA:
        raise StoreError(f"{path} has schema {schema!r}, this version reads {SCHEMA}: use the mapbench that wrote it")
    return dict(found)


def read(found: Mapping[str, Any]) -> Manifest | list[str]:
    """What `peek` found as a Manifest, or what is wrong with it, a line each."""
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]


def code(rows: Iterable[Mapping[str, Any]]) -> list[Code]:
    """The commits that current ok rows of the cells table ran with, the most common first."""
    seen = Counter((row["git_commit"], row["git_dirty"]) for row in rows if _counts(row))
    ordered = sorted(seen.items(), key=lambda item: (-item[1], str(item[0])))
    return [Code(commit=commit, modified=modified, cells=n) for (commit, modified), n in ordered]


def data(rows: Iterable[Mapping[str, Any]]) -> list[Data]:
    """The suites that current ok rows of the cells table are of. Cells with a watermark domain and without it share the
    fingerprints of the others."""
    versions: dict[tuple[str, int], int] = {}
    prints: dict[tuple[str, int], dict[str, str]] = {}
    for row in (row for row in rows if _counts(row)):
        at, domains = (row["suite"], row["split_seed"]), json.loads(row["spec"]).get("domains")
        versions[at] = max(versions.get(at, 0), row["suite_version"])
        prints.setdefault(at, {}).update(domains if isinstance(domains, dict) else {})
    return [Data(suite=at[0], split_seed=at[1], version=versions[at], domains=prints[at]) for at in sorted(versions)]


def date(seconds: float) -> str:
    """ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _counts(row: Mapping[str, Any]) -> bool:
    return bool(row["current"]) and row["status"] == "ok"


def listed(
    rows: Iterable[Mapping[str, Any]], planned: Sequence[Mapping[str, Any]], hashes: Mapping[str, str]
) -> list[Listed]:
    """Every cell of plan.json, in its order, then those that are in the cells table alone, by key. `hashes`: sha256 of
    the public record that stands for each key."""
    by_key = {row["key"]: row for row in rows}
    asked = {cell["key"]: cell for cell in planned}
    found = []
    for key in [*asked, *sorted(by_key.keys() - asked.keys())]:
        row, cell = by_key.get(key), asked.get(key)
        facts = cell or row or {}
        found.append(
            Listed(
                key=key, kind=facts["kind"], status=row["status"] if row else MISSING, planned=cell is not None,
                current=bool(row["current"]) if row else True, record=hashes.get(key),
                imported=facts["fidelity"] == CLOSED,
            )
        )  # fmt: skip
    return found


def coverage(
    cells: Sequence[Listed], rows: Iterable[Mapping[str, Any]], planned: Iterable[Mapping[str, Any]]
) -> tuple[list[Kind], list[Variant]]:
    """How much of each kind, and of each row of the board, is there, of current cells; kinds and rows in the order of
    their first cell."""
    facts = {cell["key"]: cell for cell in (*rows, *({"split_seed": 0, **cell} for cell in planned))}
    kinds: dict[str, Counter[str]] = {}
    variants: dict[tuple[Any, ...], Counter[str]] = {}
    for cell in cells:
        if cell.current:
            if not cell.imported:
                kinds.setdefault(cell.kind, Counter())[cell.status] += 1
            if cell.kind == "protect":
                identity = tuple(facts[cell.key][name] for name in ROW)
                variants.setdefault(identity, Counter())[cell.status] += 1
    return (
        [Kind(kind=kind, **_covered(counts)) for kind, counts in kinds.items()],
        [Variant(**dict(zip(ROW, row, strict=True)), **_covered(counts)) for row, counts in variants.items()],
    )


def _covered(counts: Counter[str]) -> dict[str, Any]:
    other = {status: n for status, n in sorted(counts.items()) if status != "ok"}
    return {"done": counts["ok"], "expected": counts.total(), "other": other}
