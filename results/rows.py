"""The rows of the five tables (results.tables), as dictionaries: what the records say, joined.

    pytest tests/results/test_tables.py

Source Drop, Target Drop and what is removed are joins of a model's record with that of the model it was made from.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from results import metrics, records
from results import pairs as asked_for

_ENVIRONMENT = ("device", "torch", "git_commit", "git_dirty", "host", "method_sha256")  # from the record's environment

Parent = Callable[[Mapping[str, Any]], dict[str, Any] | None]  # the record that another was made from


def of(all_records: Sequence[dict[str, Any]], plan: Mapping[str, Any] | None) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table by its name, from readable records and plan.json's content."""
    chosen = records.winners(all_records)
    current = records.current(chosen)
    by_key: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in all_records:
        by_key[record["key"]].append(record)
    parent = partial(records.parent_of, by_key=by_key, chosen=chosen)
    suites = (plan or {}).get("suites") or {}
    return {
        "cells": [{**_cell(record), "current": key in current} for key, record in chosen.items()],
        "attempts": [{**_cell(record), "winner": chosen[record["key"]] is record} for record in all_records],
        "accuracy": [{"key": key, **row} for key, r in chosen.items() if r["status"] == "ok" for row in r["accuracy"]],
        "pairs": list(_pairs(chosen, parent, current, suites)),
        "attacks": list(_attacks(chosen, parent, current, suites)),
    }


def _cell(record: Mapping[str, Any]) -> dict[str, Any]:
    """One row of `cells` or `attempts`; what the schema lacks falls away."""
    cell, environment = record["cell"], record.get("environment") or {}
    return {
        **record,
        **cell,
        "split_seed": record["spec"].get("split_seed", 0),
        "spec": json.dumps(record["spec"], sort_keys=True),
        "params": json.dumps(cell.get("params") or {}, sort_keys=True),
        "quality": json.dumps(record.get("quality") or {}, sort_keys=True),
        "error": _storable(record.get("error")),
        **{name: environment.get(name) for name in _ENVIRONMENT},
    }


def _storable(text: str | None) -> str | None:
    """Text that Parquet takes: half a surrogate pair, as of a file whose name is no UTF-8, stands as its code."""
    return text.encode(errors="backslashreplace").decode() if text else text


def _pairs(
    chosen: Mapping[str, dict[str, Any]],
    parent: Parent,
    current: set[str],
    suites: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    for key, record in chosen.items():
        if record["cell"]["kind"] == "protect" and record["status"] == "ok" and (f_s := parent(record)) is not None:
            yield from _pairs_of(record, f_s, key in current, suites.get(record["cell"]["suite"]) or {})


def _pairs_of(
    record: Mapping[str, Any], parent: Mapping[str, Any], current: bool, suite: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows of one protect cell: each other domain that both it and its parent were scored on."""
    cell = record["cell"]
    source = cell["source"]
    before, after = _scores(parent, cell["score"]), _scores(record, cell["score"])
    if source not in before or source not in after:
        return
    asked, chosen_by = asked_for.targets(cell), _scores(parent, "val")
    source_drop = metrics.source_drop(_top1(before[source]), _top1(after[source]))
    for target, b in after.items():
        if target == source or target not in before:
            continue
        a = before[target]
        target_drop = metrics.target_drop(_top1(a), _top1(b))
        yield {
            **cell,
            "key": record["key"],
            "parent": parent["key"],
            "split_seed": record["spec"].get("split_seed", 0),
            "target": target,
            "role": "target" if target in asked else "bystander",
            **_marks(suite, source, target),
            "current": current,
            "source_before": _top1(before[source]),
            "source_after": _top1(after[source]),
            "target_before": _top1(a),
            "target_after": _top1(b),
            "source_drop": source_drop,
            "target_drop": target_drop,
            "st_d": metrics.st_d(source_drop, target_drop),
            "target_removed": metrics.target_removed(a["balanced"], b["balanced"], cell["classes"]),
            "source_before_balanced": before[source]["balanced"],
            "source_after_balanced": after[source]["balanced"],
            "target_before_balanced": a["balanced"],
            "target_after_balanced": b["balanced"],
            "target_matched_before": a["matched"],
            "target_matched": b["matched"],
            "target_decoded_before": a["decoded"],
            "target_decoded": b["decoded"],
            "target_before_val": chosen_by[target]["balanced"] if target in chosen_by else None,
        }


def _marks(suite: Mapping[str, Any], source: str, target: str) -> dict[str, bool | None]:
    return {"eligible": asked_for.frozen(suite, source, target), "twin": asked_for.twin(suite, source, target)}


def _attacks(
    chosen: Mapping[str, dict[str, Any]],
    parent: Parent,
    current: set[str],
    suites: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """The rows of `attacks`: each attack beside the same attack on f_s, and `from-scratch` on as many images."""
    done = [key for key, r in chosen.items() if r["cell"]["kind"] == "attack" and r["status"] == "ok"]
    on_f_s: dict[tuple[Any, ...], float | None] = {}
    scratch: dict[tuple[Any, ...], float | None] = {}
    for key in sorted(done, key=current.__contains__):  # current ones last: they stand
        record, cell = chosen[key], chosen[key]["cell"]
        above = parent(record)
        if above is not None and above["cell"]["kind"] == "train":
            on_f_s[above["key"], cell["attack"], cell["target"], cell["seed"]] = _balanced(record, cell["target"])
        elif record["spec"]["attack"] == "from-scratch":
            scratch[_place(record)] = _balanced(record, cell["target"])
    for key in done:
        record, model = chosen[key], parent(chosen[key])
        cell, target = record["cell"], record["cell"]["target"]
        f_s = model and (parent(model) or model)
        row = {
            **cell, "key": key, "split_seed": record["spec"].get("split_seed", 0), "current": key in current,
            "target_attacked": _balanced(record, target), "target_scratch": scratch.get(_place(record)),
        }  # fmt: skip
        if model and f_s:
            source, before, after = cell["source"], _balanced(f_s, target), row["target_attacked"]
            row |= _marks(suites.get(cell["suite"]) or {}, source, target) | {
                "target_before_balanced": before,
                "target_after_balanced": _balanced(model, target),
                "target_attacked_before": on_f_s.get((f_s["key"], cell["attack"], target, cell["seed"])),
                "target_removed": None
                if before is None or after is None
                else metrics.target_removed(before, after, cell["classes"]),
                "source_before_balanced": _balanced(f_s, source),
                "source_after_balanced": _balanced(model, source),
                "source_attacked": _balanced(record, source),
            }
        yield row


def _place(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a net trained from scratch shares with the attacks that are read beside it. The spec's backbone: tables give
    that of a given f_s a name of its own, and so they do in another precision."""
    spec, cell = record["spec"], record["cell"]
    names = ("suite", "score", "seed", "n", "target")
    return (spec.get("split_seed", 0), spec["backbone"], spec.get("precision"), *(cell[name] for name in names))


def _balanced(record: Mapping[str, Any], domain: str) -> float | None:
    return _scores(record, record["cell"]["score"]).get(domain, {}).get("balanced")


def _scores(record: Mapping[str, Any], part: str) -> dict[str, dict[str, Any]]:
    return {row["domain"]: row for row in record["accuracy"] if row["part"] == part and row["total"]}


def _top1(row: Mapping[str, Any]) -> float:
    return float(row["correct"] / row["total"])
