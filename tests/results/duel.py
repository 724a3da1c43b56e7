"""A make-believe run of some variants that are to be compared, with the answers that their models gave.

pytest tests/results/test_versus.py tests/harness/test_versus.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from results import records
from results.store import Store
from tests.results.conftest import DOMAINS, plan, protect, train

SCENARIO = "labelled source, labelled target"
IMAGES = 100  # of every domain
FROZEN = ["a:b", "a:c", "b:a", "b:c"]
Counts = Callable[[str, str, str, int], dict[str, Any]]  # variant, source, target, seed -> right answers by domain


def model(
    parent: dict[str, Any], variant: str, target: str, right: dict[str, Any] | None = None, *, scenario: str = SCENARIO,
    control: bool = False, tuned: bool = False, start: str = "source", **changed: Any,
) -> dict[str, Any]:  # fmt: skip
    """A protected model, whose variant says all its settings but lam=0.1 and cap=batch, the defaults."""
    method, _, said = variant.partition("[")
    params: dict[str, Any] = {"lam": 0.1, "cap": "batch", "start": start}
    for item in filter(None, said.rstrip("]").split(",")):
        name, _, value = item.partition("=")
        params[name] = float(value) if name == "lam" else value
    facts = {"method": method, "variant": variant, "params": params, "scenario": scenario, "control": control,
             "tuned": tuned, "start": start}  # fmt: skip
    spec = {"start": start, **changed.pop("spec", {})}
    return protect(parent, [target], right, variant, facts, spec=spec, **changed)


def grid(
    counts: Counts, variants: Sequence[str] = ("cut", "ntl"), seeds: int = 3, sources: str = "ab", spec: Any = None,
    **facts: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every pair of these sources and domains a, b, c; targets at 10 of 100 unless `counts` says else."""
    made = []
    for source, seed in itertools.product(sources, range(seeds)):
        parent = train(source, seed, spec=spec or {})
        made.append(parent)
        for variant, target in itertools.product(variants, DOMAINS):
            if target != source:
                made.append(model(parent, variant, target, counts(variant, source, target, seed), **facts))
    return made


def written(out: Path, made: Sequence[dict[str, Any]], kept: bool = True, **suite: Any) -> Path:
    """A run directory that holds these records, its plan, and what every model answered (`kept`)."""
    for record in made:
        files = {}
        if kept and record["accuracy"] and record["cell"]["kind"] == "protect":
            files = {"predictions": f"predictions/{record['key']}.1.parquet"}
            answered(out / files["predictions"], record["accuracy"])
        name = records.name(record)
        # as Store.commit does, but for the fsync, which is most of its time
        records.atomic_write(out / "records" / name[:2] / name, records.dump(record | files), durable=False)
    Store(out).write_plan(plan(*made, **{"eligible": FROZEN, **suite}))
    return out


def answered(path: Path, rows: Sequence[dict[str, Any]], label: int = 0) -> None:
    """Write answers to IMAGES images per domain: the first ones right, the rest a class too high."""
    table: dict[str, list[Any]] = {name: [] for name in ("domain", "part", "index", "label", "predicted")}
    for row, index in itertools.product(rows, range(IMAGES)):
        true = (label + index) % 10
        said = true if index < row["correct"] else (true + 1) % 10
        for name, value in zip(table, (row["domain"], row["part"], index, true, said), strict=True):
            table[name].append(value)
    buffer = BytesIO()
    pq.write_table(pa.table(table), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def wavy(variant: str, source: str, target: str, seed: int) -> dict[str, Any]:
    """Counts that differ by variant, pair and seed; ntl leaves more of the target and costs the source something."""
    bump = (7 * ord(source) + 3 * ord(target) + 5 * seed) % 9
    more = 20 + (3 * seed + ord(source)) % 5 if variant == "ntl" else 0
    return {source: 88 - seed - (4 + seed % 2 if variant == "ntl" else 0), target: 14 + bump + more}
