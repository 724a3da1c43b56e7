"""What the page knows of every protected cell, packed small: columns of integers, as JSON, gzip and base64.

    python -m pytest tests/results/leaderboard/test_packed.py

The page unpacks it by itself, offline. Words are numbers into one list; a seed's accuracy is what it differs from its
pair's mean by, in thousandths, which is mostly 0; the command that reruns a cell is told once for all its pairs and
seeds.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from results import rerun
from results.leaderboard import heat
from results.leaderboard.board import Board, is_defined
from results.paired import LEVEL
from results.stats import ROW

if TYPE_CHECKING:
    import pandas as pd

KEY = 12  # hex digits of a key that the page shows; `mapbench show` takes them
PAIR, SEED = "@pair@", "@seed@"  # in a command: where a cell's own pair and seed stand
AGAIN = "runs/again"  # the directory of a rerun: in its own a cell is found done
ENVIRONMENT = ("device", "torch", "git_commit", "host")


class Words:
    """A list of distinct texts, and the number of each; 0 is the empty one."""

    def __init__(self) -> None:
        self.list = [""]
        self._numbers = {"": 0}

    def __call__(self, text: Any) -> int:
        """The number of a text; of None and NaN 0."""
        word = str(text) if is_defined(text) else ""
        if word not in self._numbers:
            self._numbers[word] = len(self.list)
            self.list.append(word)
        return self._numbers[word]


def text(facts: Mapping[str, Any]) -> str:
    """As it stands in the page; the same facts give the same text."""
    plain = json.dumps(facts, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(plain, 9, mtime=0)).decode()


def unpack(packed: str) -> dict[str, Any]:
    """What `text` was given."""
    facts: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return facts


def facts(
    board: Board,
    at: Mapping[heat.Row, int],
    cells: list[dict[str, Any]],
    places: Mapping[str, int],
    attacks: Sequence[heat.Attack],
    pairs: pd.DataFrame,
) -> dict[str, Any]:
    """What is known of `cells` (cells_of), whose rows `at` numbers; `pairs` are the rows of heat.asked.

    words      list of texts            trains     columns, one entry per source model
    cells      columns, one entry per protected cell, missing ones too, in the order of their rows
    pairs      per row: [source, target, seeds, eligible, means, halves]        see heat.per_pair
    attacked   per row: [attack, source, target, seeds, means, f_s attacked, halves]        see heat.per_attack
    gaps       per row: [source, target, failed, skipped, missing]
    seen       columns, one entry per cell and target; `cell` as steps from the one before
    tried      columns, one entry per attack on a cell
    """
    words = Words()
    numbers = {cell["key"]: i for i, cell in enumerate(cells)}
    f_s = _trains(board.pairs)
    maps = heat.per_pair(pairs)
    tries = heat.attacked(board)
    attack_maps = heat.per_attack(tries)
    lost = heat.gaps(board)
    by_row: list[heat.Row] = sorted(at, key=lambda row: at[row])
    return {
        "pairs": [_placed(maps.get(row, {}), places) for row in by_row],
        "attacked": [_placed_attacks(attack_maps.get(row, {}), places, attacks) for row in by_row],
        "gaps": [_placed(lost.get((*row[:2], row[3], *row[5:]), {}), places) for row in by_row],
        "cells": _columns(cells, board, at, places, words, f_s),
        "trains": _train_columns(f_s, places),
        "seen": _seen(pairs, numbers, maps, places),
        "tried": _tried(board, tries, numbers, attack_maps, places, attacks, words),
        "words": words.list,  # last: the others fill it
    }


def cells_of(board: Board, at: Mapping[heat.Row, int]) -> list[dict[str, Any]]:
    """The protect cells of the rows in `at`, missing ones too, by row, source, target and seed."""
    asked = [{"split_seed": 0, **cell} for cell in board.plan.get("cells", []) if cell["kind"] == "protect"]
    ran = board.cells[board.cells["kind"] == "protect"].to_dict("records")
    known = {cell["key"] for cell in ran}
    found = [*ran, *(cell | {"status": "missing"} for cell in asked if cell["key"] not in known)]
    rows = [{str(k): v for k, v in cell.items()} for cell in found if tuple(cell[name] for name in ROW) in at]
    for cell in rows:
        cell["targets"] = list(cell["targets"]) if cell["targets"] is not None else []
        cell["domains"] = list(cell["domains"])
    return sorted(
        rows,
        key=lambda c: (at[tuple(c[name] for name in ROW)], c["source"], "+".join(c["targets"]), int(c["seed"])),
    )


def _columns(
    cells: list[dict[str, Any]],
    board: Board,
    at: Mapping[heat.Row, int],
    places: Mapping[str, int],
    words: Words,
    f_s: Mapping[str, _Train],
) -> dict[str, Any]:
    commands = _Commands(board.plan)
    again = [commands.of(cell) for cell in cells]
    once = board.pairs.drop_duplicates("key").set_index("key")
    after, parents = once["source_after"].to_dict(), once["parent"].to_dict()
    train_numbers = {key: i for i, key in enumerate(f_s)}
    listed = [_params(cell["params"]) for cell in cells]
    return {
        "row": [at[tuple(cell[name] for name in ROW)] for cell in cells],
        "source": [places[cell["source"]] for cell in cells],
        "targets": [words("+".join(cell["targets"])) for cell in cells],
        "seed": [int(cell["seed"]) for cell in cells],
        "status": [words(cell["status"]) for cell in cells],
        "error": [words(" ".join(str(cell["error"]).split())[:300]) if _has(cell, "error") else 0 for cell in cells],
        "key": "".join(cell["key"][:KEY] for cell in cells),
        "train": [train_numbers.get(parents.get(cell["key"], ""), -1) for cell in cells],
        "source_after": [_fine(after.get(cell["key"])) for cell in cells],
        "seconds": [round(10 * float(cell["seconds"])) if _has(cell, "seconds") else None for cell in cells],
        "params": [words(params) for params in listed],
        "flags": [words(", ".join(cell["flags"])) if _has(cell, "flags") else 0 for cell in cells],
        "inputs": [words(" ".join(key[:KEY] for key in _list(cell.get("inputs")))) for cell in cells],
        "attempt": [int(cell["attempt"]) if _has(cell, "attempt") else 0 for cell in cells],
        "log": [int(_has(cell, "log")) for cell in cells],
        "dirty": [int(_has(cell, "git_dirty") and bool(cell["git_dirty"])) for cell in cells],
        **{name: [words(cell.get(name)) for cell in cells] for name in ENVIRONMENT},
        "rerun": [words(command) for command, _ in again],
        "pair": [words(pair) for _, pair in again],  # as the command has it
    }


class _Train:
    """A source model: its accuracy on its own domain, and what each attacker gets of each other one."""

    def __init__(self, source: str, own: float) -> None:
        self.source, self.own = source, own
        self.before: dict[str, list[int | None]] = {}


def _trains(pairs: pd.DataFrame) -> dict[str, _Train]:
    names = ["target_before_balanced", "target_matched_before", "target_decoded_before"]
    found: dict[str, _Train] = {}
    once = pairs.drop_duplicates(["parent", "target"])
    for key, source, target, own, *before in once[["parent", "source", "target", "source_before", *names]].itertuples(
        index=False, name=None
    ):
        found.setdefault(key, _Train(source, own)).before[target] = [heat.thousandths(value) for value in before]
    return found


def _train_columns(f_s: Mapping[str, _Train], places: Mapping[str, int]) -> dict[str, Any]:
    return {
        "key": "".join(key[:KEY] for key in f_s),
        "source": [places[train.source] for train in f_s.values()],
        "own": [_fine(train.own) for train in f_s.values()],
        "before": [[[places[d], *values] for d, values in train.before.items()] for train in f_s.values()],
    }


def _seen(
    pairs: pd.DataFrame,
    numbers: Mapping[str, int],
    maps: Mapping[heat.Row, Mapping[heat.Pair, list[Any]]],
    places: Mapping[str, int],
) -> dict[str, list[Any]]:
    """What is left of each target in each cell, as thousandths more than the mean over the pair's seeds."""
    names = [*ROW, "key", "source", "target", *heat.AFTER.values()]
    rows = []
    for *row, key, source, target, a, m, d in pairs[names].itertuples(index=False, name=None):
        means = maps[tuple(row)][source, target][2]
        if key in numbers:
            rows.append((numbers[key], places[target], _more(a, means[0]), _more(m, means[2]), _more(d, means[4])))
    rows.sort(key=lambda row: row[:2])
    return {"cell": _steps([row[0] for row in rows])} | {
        name: [row[i] for row in rows] for i, name in enumerate(("target", *heat.AFTER), start=1)
    }


def _tried(
    board: Board,
    tries: pd.DataFrame,
    numbers: Mapping[str, int],
    maps: Mapping[heat.Row, Mapping[tuple[heat.Attack, heat.Pair], list[Any]]],
    places: Mapping[str, int],
    attacks: Sequence[heat.Attack],
    words: Words,
) -> dict[str, list[Any]]:
    """Each attack on a cell: how it ended, and what it got, as thousandths more than the mean over the pair's seeds."""
    got: dict[str, int | None] = {}
    for *row, key, attack, n, source, target, value in tries[
        [*ROW, "key", "attack", "n", "source", "target", "target_attacked"]
    ].itertuples(index=False, name=None):
        got[key] = _more(value, maps[tuple(row)][(attack, int(n)), (source, target)][1][0])
    rows = []
    cells = board.cells[board.cells["kind"] == "attack"]
    for key, parent, attack, n, target, status in cells[
        ["key", "parent", "attack", "n", "target", "status"]
    ].itertuples(index=False, name=None):
        if parent in numbers and (attack, int(n)) in attacks:
            rows.append((numbers[parent], attacks.index((attack, int(n))), places[target], words(status), got.get(key)))
    rows.sort(key=lambda row: row[:3])
    return {"cell": _steps([row[0] for row in rows])} | {
        name: [row[i] for row in rows] for i, name in enumerate(("attack", "target", "status", "attacked"), start=1)
    }


def compared(rows: pd.DataFrame, position: Mapping[tuple[str, str], int], words: Words) -> dict[str, list[Any]]:
    """Board.compared's rows as columns: differences in 1e-4, p likewise; `position` numbers (variant, start)."""
    columns: dict[str, list[Any]] = {
        "attacker": [words(a) for a in rows["attacker"]],
        "a": [position[key] for key in zip(rows["a"], rows["a_start"], strict=True)],
        "b": [position[key] for key in zip(rows["b"], rows["b_start"], strict=True)],
        "differs": [words(text) for text in rows["differs"]],
    }
    for name in ("difference", "low", "high", "p", "p_holm"):
        columns[name] = [_fine(value) for value in rows[name]]
    # rounding must not take a p across the level: a difference is shown here if it is in the terminal
    columns["p_holm"] = [
        None if p is None else min(p, round(10_000 * LEVEL) - 1) if exact < LEVEL else p
        for p, exact in zip(columns["p_holm"], rows["p_holm"], strict=True)
    ]
    for name in ("df", "units", "pairs", "wins", "ties", "losses"):
        columns[name] = [int(value) for value in rows[name]]
    return columns


def _placed(cells: Mapping[heat.Pair, list[Any]], places: Mapping[str, int]) -> list[Any]:
    return [[places[source], places[target], *cell] for (source, target), cell in cells.items()]


def _placed_attacks(
    cells: Mapping[tuple[heat.Attack, heat.Pair], list[Any]],
    places: Mapping[str, int],
    attacks: Sequence[heat.Attack],
) -> list[Any]:
    return [
        [attacks.index(attack), places[source], places[target], *cell]
        for (attack, (source, target)), cell in cells.items()
        if attack in attacks
    ]


class _Commands:
    """The command that reruns each cell, as (template, pair): all cells of a variant share a template.

    Made once per variant and pair, for the seed stands in it as it is."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        self._planned = {cell["key"]: cell for cell in plan.get("cells", [])}
        self._known: dict[tuple[Any, ...], tuple[str, str]] = {}

    def of(self, cell: Mapping[str, Any]) -> tuple[str, str]:
        here = (*(cell[name] for name in ROW), cell["source"], *cell["targets"], cell["status"] == "skipped")
        if here not in self._known:
            asked = {**self._planned.get(cell["key"], cell), "seed": SEED, "status": cell["status"]}
            command = rerun.command(asked, self._plan, AGAIN) or ""
            pair = re.search(r" -p (\S+) ", command)
            template = command.replace(pair[0], f" -p {PAIR} ", 1) if pair else command
            self._known[here] = (template, pair[1] if pair else "")
        return self._known[here]


def _params(params: Any) -> str:
    """`lam=1, alpha=5`, whichever table they come from."""
    known = json.loads(params) if isinstance(params, str) else params or {}
    return ", ".join(f"{name}={value}" for name, value in known.items())


def _has(cell: Mapping[str, Any], name: str) -> bool:
    value = cell.get(name)
    return value is not None and (not isinstance(value, float) or is_defined(value))


def _list(value: Any) -> list[str]:
    return list(value) if value is not None else []


def _fine(value: Any) -> int | None:
    """A fraction in 1e-4, null where it is undefined."""
    return round(float(value) * 10_000) if is_defined(value) else None


def _more(value: Any, mean: int | None) -> int | None:
    mine = heat.thousandths(value)
    return None if mine is None or mean is None else mine - mean


def _steps(numbers: list[int]) -> list[int]:
    return [b - a for a, b in pairwise([0, *numbers])]
