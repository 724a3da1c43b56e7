"""One cell, and all that its run directory knows of it: the facts that `mapbench show` prints.

    mapbench show runs/digits-mini KEY --json

Read are plan.json, the records of the cell, of its parent and of its inputs, and those that name its key, which are its
children. Loads neither pandas nor pyarrow.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

from results import curves, pairs, place, records, rerun
from results.errors import StoreError
from results.store import Store

Facts = dict[str, Any]

HEX = 4  # digits of a key that are asked for at least
LISTED = 6  # candidates that are named in an error
FILES = ("log", "predictions", "checkpoint", "picture")  # fields of a record that name a file
WHAT = (  # fields of a record's `cell`, as they stand there
    "kind", "suite", "suite_version", "score", "classes", "backbone", "method", "variant", "method_version", "fidelity",
    "control", "tuned", "start", "scenario", "source", "targets", "seed", "attack", "n", "target",
)  # fmt: skip
RAN = ("started", "finished", "seconds", "peak_memory_mb")
MACHINE = ("device", "torch", "git_commit", "git_dirty", "host", "deterministic", "method_sha256", "packages")
ACCURACIES = ("top1", "balanced", "matched", "decoded")


def _find(store: Store, text: str, planned: Mapping[str, Any]) -> str:
    """The one key that begins with `text`, of a cell that has a record or is planned."""
    asked = text.lower()
    if not re.fullmatch(rf"[0-9a-f]{{{HEX},64}}", asked):
        raise StoreError(f"{text!r} is no key: give the first {HEX} of its hex digits or more")
    keys = sorted({name.partition(".")[0] for name in records.files(store.out)} | planned.keys())
    found = [key for key in keys if key.startswith(asked)]
    if len(found) == 1:
        return found[0]
    if found:
        named = _list(store, found, planned)
        raise StoreError(f"{text} begins the keys of {len(found)} cells, give more digits: {named}")
    near = sorted(keys, key=lambda key: -_shared(key, asked))[: LISTED // 2]
    hint = f"; the nearest are {_list(store, near, planned)}" if near else ""
    raise StoreError(f"{store.out} has no cell whose key begins with {text}{hint}")


def _shared(key: str, asked: str) -> int:
    """How many digits two keys begin with alike."""
    return sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(key, asked, strict=False)))


def _list(store: Store, keys: list[str], planned: Mapping[str, Any]) -> str:
    said = [f"{key[:12]} {_called(store, key, planned)['label']}" for key in keys[:LISTED]]
    return "; ".join([*said, *([f"and {len(keys) - LISTED} more"] if len(keys) > LISTED else ())])


def _planned(plan: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The cells of plan.json by key."""
    return {cell["key"]: cell for cell in (plan or {}).get("cells") or ()}


def _called(store: Store, key: str, planned: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's key, label and status: `missing` of one without a record, label and status None of one that neither a
    record nor the plan knows."""
    record = records.winners(records.read_key(store.out, key)).get(key)
    cell = record["cell"] if record else planned.get(key)
    status = record["status"] if record else "missing" if cell else None
    return {"key": key, "label": pairs.label(cell) if cell else None, "status": status}


def facts(store: Store, text: str) -> Facts:
    """All that is known of the one cell whose key begins with `text`, 4 hex digits or more. Fractions in 0..1, times
    in Unix seconds, None is what is unknown or undefined.

    directory, key, label, status (`missing`: planned, and not run yet), error, flags; the fields of WHAT, split_seed,
    precision; params and attack_params, each [{name, value, default: whether it is}]; recipe; the fields of RAN and
    MACHINE
      parent     {key, label, status}, or None; inputs: a list of such; children: {status: how many}
      accuracy   [{domain, part, role, correct, total, top1, balanced, matched, decoded, confusion, before, drop,
                 removed}]: `before` are the parent's four, drop is of top1, removed as results.metrics has it
      attempts   [{attempt, uuid, status, error, seconds, started, host, stands}]
      files      [{what, path (in the directory), there}]; pictures: [{key, label, path, there, quality}] of what this
                 cell or an input generated
      curves     see results.curves; rerun: see results.rerun

    Raises StoreError where there is no such cell, or more than one, each with labels of what is near, and where its
    records cannot be read."""
    plan = store.plan()
    planned = _planned(plan)
    key = _find(store, text, planned)
    attempts = sorted(records.read_key(store.out, key), key=lambda r: (r["attempt"], r.get("finished") or 0.0))
    record = records.winners(attempts).get(key)
    if record is None:
        if key not in planned:
            raise StoreError(f"the records of {key} in {store.out} are damaged: `mapbench clean` removes them")
        record = {"key": key, "status": "missing", "spec": {}, "cell": planned[key]}
    cell, spec, made = record["cell"], record["spec"], record.get("environment") or {}
    parent, inputs = cell.get("parent"), list(cell.get("inputs") or ())
    known = {**spec, **planned.get(key, {}), **cell, "key": key, "status": record["status"]}
    return {
        "directory": str(store.out), "key": key, "label": pairs.label(cell), "status": record["status"],
        "error": record.get("error"), "flags": list(record.get("flags") or ()),
        **{name: cell.get(name) for name in WHAT},
        "split_seed": known.get("split_seed", 0), "precision": spec.get("precision"),
        "parent": _called(store, parent, planned) if parent else None,
        "inputs": [_called(store, other, planned) for other in inputs],
        "children": _children(store, key),
        "accuracy": list(_accuracy(record, _made_from(store, record))),
        "params": _params(cell.get("params") or {}, _changed(cell, plan)),
        "attack_params": _params(spec.get("attack_params") or {}, _named(cell.get("attack") or "")),
        "recipe": spec.get("recipe"),
        **{name: record.get(name) for name in RAN},
        **{name: made.get(name) for name in MACHINE},
        "attempts": [_attempt(one, one is record) for one in attempts],
        "files": [{"what": f, **_file(store, record[f])} for f in FILES if record.get(f)],
        "pictures": list(_pictures(store, [record, *_winners(store, inputs)])),
        "curves": curves.of(record),
        # in a directory that was made so the same command would find it done
        "rerun": rerun.command(known, plan, f"runs/{key[:8]}-again" if store.out.name == key[:8] else None),
    }  # fmt: skip


def to_json(said: Facts) -> str:
    """Facts as one JSON object."""
    return json.dumps(json.loads(records.dump(said)), indent=1, ensure_ascii=False)


def log(store: Store, said: Facts, lines: int) -> list[str]:
    """The last lines of the cell's log; none where it has none, or it is gone."""
    names = [file["path"] for file in said["files"] if file["what"] == "log" and file["there"]]
    with contextlib.suppress(OSError):
        for name in names:
            return place.get(store.out / name).decode(errors="replace").splitlines()[-lines:]
    return []


def _winners(store: Store, keys: list[str]) -> Iterator[dict[str, Any]]:
    for key in keys:
        yield from records.winners(records.read_key(store.out, key)).values()


def _made_from(store: Store, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ok record of the parent that this one began with."""
    key = record["cell"].get("parent")
    found = records.read_key(store.out, key) if key else []
    return records.parent_of(record, {key: found}, records.winners(found))


def _children(store: Store, key: str) -> dict[str, int]:
    """How many cells have this one as their parent or input, by status."""
    found = records.winners(r for r in _naming(store, key) if key in (r["cell"].get("parent"), *_inputs(r)))
    return dict(Counter(record["status"] for record in found.values()).most_common())


def _inputs(record: Mapping[str, Any]) -> list[str]:
    return record["cell"].get("inputs") or []


def _naming(store: Store, key: str) -> Iterator[dict[str, Any]]:
    """Records of other cells. Of a folder only those whose text names the key are parsed: the rest of ten thousand
    takes seconds."""
    if not place.is_local(store.out):
        yield from store.each()
        return
    for name, path in records.files(store.out).items():
        with contextlib.suppress(OSError):
            if not name.startswith(key) and key.encode() in place.get(path):
                record = records.read(path)
                if isinstance(record, dict):
                    yield record


def _accuracy(record: Mapping[str, Any], parent: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A row for each domain and part that was scored, with the parent's accuracies on the same images."""
    from results import metrics  # numpy, which a mistyped key need not wait for

    cell = record["cell"]
    before = {(row["domain"], row["part"]): _four(row) for row in (parent or {}).get("accuracy") or ()}
    for row in record.get("accuracy") or ():
        now, was, role = _four(row), before.get((row["domain"], row["part"])), _role(cell, row["domain"])
        drop = removed = None
        if was and was["top1"] is not None and now["top1"] is not None:
            drop = metrics.source_drop(was["top1"], now["top1"])
            if cell["kind"] == "protect" and role != "source":
                removed = metrics.target_removed(was["balanced"], now["balanced"], cell["classes"])
        counts = {name: row.get(name) for name in ("domain", "part", "correct", "total", "confusion")}
        yield {**counts, "role": role, **now, "before": was, "drop": drop, "removed": removed}


def _four(row: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracies of one row; all None where no image was scored."""
    total = row.get("total")
    values = {"top1": row["correct"] / total if total else None, **row}
    return {name: values.get(name) if total else None for name in ACCURACIES}


def _role(cell: Mapping[str, Any], domain: str) -> str | None:
    """source, target or bystander; None of a source model on other domains, of which nothing was asked."""
    if cell["kind"] == "attack" and domain == cell["target"]:
        return "target"
    if domain == cell["source"]:
        return "source"
    if cell["kind"] == "train":
        return None
    return "target" if cell["kind"] == "protect" and domain in pairs.targets(cell) else "bystander"


def _params(values: Mapping[str, Any], changed: set[str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value, "default": name not in changed} for name, value in values.items()]


def _changed(cell: Mapping[str, Any], plan: Mapping[str, Any] | None) -> set[str]:
    """The params that are not the method's defaults: a variant's name holds them, a synthesiser's are in its suite."""
    if cell["kind"] != "synth":
        return _named(cell["variant"])
    suite = ((plan or {}).get("suites") or {}).get(cell["suite"]) or {}
    return set((suite.get("synthesis") or {}).get(cell["method"]) or ())


def _named(variant: str) -> set[str]:
    return set(re.findall(r"([^\[\],=]+)=", variant))


def _attempt(record: Mapping[str, Any], stands: bool) -> dict[str, Any]:
    said = {name: record.get(name) for name in ("attempt", "uuid", "status", "error", "seconds", "started")}
    return {**said, "host": (record.get("environment") or {}).get("host"), "stands": stands}


def _file(store: Store, name: str) -> dict[str, Any]:
    path = PurePosixPath(name)
    own = not path.is_absolute() and ".." not in path.parts  # a record may come from others
    return {"path": name, "there": own and place.exists(store.out / name)}


def _pictures(store: Store, made: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in made:
        if record.get("picture"):
            said = {"key": record["key"], "label": pairs.label(record["cell"]), "quality": record.get("quality") or {}}
            yield said | _file(store, record["picture"])
