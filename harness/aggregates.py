"""What the MLflow mirror says, worked out of the records without MLflow: one `Mirrored` per run it should hold.

One parent run for the run directory (counts), one run per setting of a method with the means over its seeds, one per
unprotected model, one per synthesiser, one per attack on a model and, when asked for, one per cell. harness/mlruns.py
writes them.

    pytest tests/harness/test_tracking.py
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from results.plain import plain

METRICS = (
    "source_before", "source_after", "target_before", "target_after", "source_drop", "target_drop",
    "target_matched", "target_decoded", "target_removed",
)  # fmt: skip
ATTACK_METRICS = ("target_attacked", "target_attacked_before", "target_scratch", "source_attacked", "target_removed")
INTERVALS = ("source_drop", "target_drop", "target_removed", "target_attacked")  # these have one; all have their _sd
GROUP = ("kind", "suite", "split_seed", "score", "backbone", "variant", "start", "source")


@dataclass
class Mirrored:
    """One MLflow run as it should be; metrics are fractions in 0..1 or seconds, times are Unix seconds."""

    identity: str
    name: str
    started: float
    finished: float
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    status: str = "FINISHED"  # FINISHED | FAILED
    parent: str | None = None  # the parent's identity
    curves: dict[str, list[float]] = field(default_factory=dict)  # one value per epoch
    files: dict[str, str] = field(default_factory=dict)  # name in MLflow -> below the run directory; not in the content

    def content(self) -> str:
        """Hash of what an update can change."""
        parts = [self.name, self.finished, self.status, self.metrics, self.params, self.tags, self.curves]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def aggregate(read: list[dict[str, Any]], plan: dict[str, Any], sweep: str, per_cell: bool = False) -> list[Mirrored]:
    """The runs that mirror these records (any number, at least one), parents before children. `plan`: plan.json or {}.

    A cell's targets are averaged first, then seeds; `_sd` has ddof=1 and needs two seeds, as do `_low` and `_high` of
    INTERVALS, 95 % t-intervals over them. st_d is the ratio of the mean drops, absent where target_drop <= 0;
    target_removed is clipped after the mean, over eligible targets if any are.
    """
    from results import tables

    built = tables.build(read, plan)
    cells = {cell["key"]: cell for cell in built["cells"].to_pylist()}
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in built["pairs"].to_pylist():
        if row["role"] == "target":
            rows.setdefault(row["key"], []).append(row)
    measured: dict[str, dict[str, float | None]] = {key: _measured(of) for key, of in rows.items()}
    measured |= {row["key"]: {name: row[name] for name in ATTACK_METRICS} for row in built["attacks"].to_pylist()}
    for row in built["accuracy"].to_pylist():
        cell = cells[row["key"]]
        if (cell["kind"], cell["source"], cell["score"]) == ("train", row["domain"], row["part"]) and row["total"]:
            measured[row["key"]] = {"source_before": row["correct"] / row["total"]}
    for cell in cells.values():
        if cell["kind"] == "synth":
            found = json.loads(cell["quality"] or "{}")
            measured[cell["key"]] = {f"quality_{name}": value for name, value in sorted(found.items())}
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells.values():
        if cell["current"]:
            groups.setdefault((*(cell[name] for name in GROUP), *_where(cell)), []).append(cell)

    runs = [_parent(list(cells.values()), plan, sweep)]
    curves = {record["uuid"]: record.get("curves") or {} for record in read}
    for _, group in sorted(groups.items(), key=lambda item: str(item[0])):
        run = _run(group, sweep, measured)
        eligible = {str(row["eligible"]).lower() for cell in group for row in rows.get(cell["key"], ())}
        if eligible:
            run.tags["mapbench.eligible"] = eligible.pop() if len(eligible) == 1 else "partly"
        runs.append(run)
        for cell in group if per_cell else ():
            single = _run([cell], sweep, measured)
            single.identity, single.parent = f"{sweep}/cell/{cell['key']}", run.identity
            single.name = f"{run.name} s{cell['seed']}"
            lines = curves[cell["uuid"]].items()
            single.curves = {_curve(name): [math.nan if v is None else v for v in line] for name, line in lines}
            runs.append(single)
    return runs


def _measured(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """One protect cell's numbers, the mean over its targets."""
    counted = [row for row in rows if row["eligible"]] or rows
    return {name: _mean(row[name] for row in (counted if name == "target_removed" else rows)) for name in METRICS}


def _parent(cells: list[dict[str, Any]], plan: dict[str, Any], sweep: str) -> Mirrored:
    from results.tables import SCHEMAS

    missing = {cell["key"] for cell in plan.get("cells", ())} - {cell["key"] for cell in cells}
    counts = _counts(cells) | ({"missing": len(missing)} if missing else {})
    command = {"mapbench.command": plain(plan["command"])} if plan.get("command") else {}
    return Mirrored(
        identity=sweep, name=f"{plan.get('grid') or 'sweep'} {sweep}",
        started=min(cell["started"] for cell in cells), finished=max(cell["finished"] for cell in cells),
        metrics={f"cells_{status}": float(n) for status, n in counts.items()}, params={},
        tags={"mapbench.status": _text(counts), "mapbench.git_commit": _commits(cells)} | command,
        files={name: name for name in ("plan.json", "leaderboard.html", *(f"tables/{t}.parquet" for t in SCHEMAS))},
    )  # fmt: skip


def _run(group: list[dict[str, Any]], sweep: str, measured: dict[str, dict[str, float | None]]) -> Mirrored:
    """The aggregate over the cells of `group`, which differ in nothing but the seed."""
    newest = max(group, key=lambda cell: cell["finished"])
    ok = [cell for cell in group if cell["status"] == "ok"]
    broken = [cell for cell in group if cell["status"] not in ("ok", "skipped")]
    variant, targets = newest["variant"] or "f_s", newest["target"] or "+".join(newest["targets"] or ())
    alone = newest["attack"] and not newest["parent"]  # it looks at no model: its target stands for its source
    pair = f"{newest['source']}:{targets}" if targets and not alone else newest["source"]
    title = newest["attack"] if alone else f"{newest['attack']} on {variant}" if newest["attack"] else variant
    metrics = {"n": float(len({cell["seed"] for cell in ok}))}
    made = (name for cell in ok for name in measured.get(cell["key"], ()))
    for name in dict.fromkeys((*METRICS, *ATTACK_METRICS, "seconds", *made)):
        values = [cell["seconds"] if name == "seconds" else measured.get(cell["key"], {}).get(name) for cell in ok]
        known = [value for value in values if value is not None]
        if known:
            metrics[name] = statistics.fmean(known)
        if len(known) > 1:
            metrics |= _spread(name, known)
    for name in ("target_removed", "target_removed_low", "target_removed_high"):
        if name in metrics:
            metrics[name] = min(max(metrics[name], 0.0), 1.0)
    if "source_drop" in metrics and metrics.get("target_drop", 0.0) > 0:
        metrics["st_d"] = metrics["source_drop"] / metrics["target_drop"]
    params = {"method": newest["method"] or "f_s", "variant": variant, "pair": pair, "targets": targets}
    named = (*GROUP, "scenario", "attack", "n", "target")
    params |= {name: str(newest[name]) for name in named if newest[name] not in (None, "")}
    params |= {f"method.{name}": str(value) for name, value in json.loads(newest["params"] or "{}").items()}
    tags = {
        "keys": ",".join(sorted(cell["key"] for cell in group)), "status": _text(_counts(group)),
        "seeds": ",".join(map(str, sorted({cell["seed"] for cell in group}))), "git_commit": _commits(group),
        "method_version": str(newest["method_version"] or ""), "fidelity": newest["fidelity"] or "",
        "device": _each(group, "device"), "torch": _each(group, "torch"),
        "flags": plain(",".join(sorted({flag for cell in group for flag in cell["flags"] or ()}))),
        "error": plain("; ".join(f"seed {c['seed']}: {c['status']}: {c['error']}" for c in broken))[:2000],
    }  # fmt: skip
    return Mirrored(
        identity="/".join([sweep, *(str(newest[name] or "") for name in GROUP), *_where(newest)]),
        name=f"{title} {newest['backbone']} {pair}", started=min(cell["started"] for cell in group),
        finished=newest["finished"], metrics=metrics, params=params, parent=sweep,
        tags={f"mapbench.{name}": value for name, value in tags.items() if value},
        status="FAILED" if broken else "FINISHED",
        files={f"pictures/s{c['seed']}-{c['key'][:12]}.png": c["picture"] for c in ok if c["picture"]},
    )  # fmt: skip


def _where(cell: dict[str, Any]) -> list[str]:
    """The targets that a cell was asked to block, and for an attack what it is and which of them it is after."""
    attacked = [cell["attack"], cell["target"]] if cell["kind"] == "attack" else []
    return ["+".join(cell["targets"] or ()), *attacked]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _counts(cells: list[dict[str, Any]]) -> dict[str, int]:
    statuses = [cell["status"] for cell in cells]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


def _text(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {status}" for status, n in counts.items())


def _commits(cells: list[dict[str, Any]]) -> str:
    changed = {True: " (modified)"}
    known = (cell for cell in cells if cell["git_commit"])
    return ",".join(sorted({f"{cell['git_commit']}{changed.get(cell['git_dirty'], '')}" for cell in known}))


def _each(cells: list[dict[str, Any]], name: str) -> str:
    return ",".join(sorted({cell[name] for cell in cells if cell[name]}))


def _curve(name: str) -> str:
    """A curve's name as MLflow takes it, which allows few characters, and no path that is another's."""
    safe = re.sub(r"[^\w.\- :/]", lambda hit: f"_{ord(hit[0]):x}_", name)
    return f"curve/{posixpath.normpath(f'/{safe}').lstrip('/') or '_'}"[:250]


def _spread(name: str, values: list[float]) -> dict[str, float]:
    """Standard deviation and, where it has one, the 95 % t-interval of a metric with two values or more."""
    from scipy.special import stdtrit  # scipy.stats takes long to load

    mean, sd = statistics.fmean(values), statistics.stdev(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * sd / math.sqrt(len(values))
    ends = {f"{name}_low": mean - half, f"{name}_high": mean + half} if name in INTERVALS else {}
    return {f"{name}_sd": sd, **ends}
