"""Deals a grid to n drivers that share nothing but the run directory: whole trees, as evenly as their costs allow.

    mapbench run digits-mini --shard 2/4

The deal follows from the grid alone, so that every driver, given the same command, comes to the same one.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable

from harness import UsageError
from harness.cells import Cell


def read(text: str) -> tuple[int, int]:
    """`2/4` as (2, 4); UsageError for what is no shard."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard {text}: give i/n, the i-th of n drivers, from 1/n to n/n")
    return index, count


def deal(cells: Iterable[Cell], count: int) -> list[set[str]]:
    """The keys of `count` shards. A tree is a source model and all that hangs on it; the costliest tree goes first,
    each to the shard that has the least so far (LPT), ties to the first."""
    roots: dict[str, str] = {}
    costs: dict[str, float] = {}
    for cell in cells:  # parents come before their children
        parent = cell.above[0]
        root = roots.get(parent, parent) if parent else cell.key
        roots[cell.key] = root
        costs[root] = costs.get(root, 0.0) + cell.cost
    loads = [(0.0, shard) for shard in range(count)]
    home: dict[str, int] = {}
    for root in sorted(costs, key=lambda key: (-costs[key], key)):
        load, shard = heapq.heappop(loads)
        home[root] = shard
        heapq.heappush(loads, (load + costs[root], shard))
    shards: list[set[str]] = [set() for _ in range(count)]
    for key, root in roots.items():
        shards[home[root]].add(key)
    return shards
