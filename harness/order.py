"""In which order cells start: first the one under which the longest chain hangs, so that the tail of a grid is short.

    pytest tests/harness/test_order.py

A cell's rank is its own expected time and that of the longest chain below it: no schedule is done sooner than that
after the cell has started (the upward rank of list scheduling; HEFT, Topcuoglu et al. 2002). Source models go first by
it, then what is synthesised from them, then the longest of the others. Equals keep the order of the plan, in which the
cells of one source model stand together: workers keep models and data.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.tasks import Task


@dataclass(slots=True)
class Node:
    """A cell as the scheduler knows it."""

    task: Task
    attempt: int
    waiting: set[str]  # the cells above that have not ended
    place: int = 0  # in the order: the least starts first
    children: list[str] = field(default_factory=list)
    status: str = ""
    ooms: int = 0
    deaths: int = 0
    losses: int = 0
    lost_on: set[str] = field(default_factory=set)


def link(nodes: Mapping[str, Node]) -> None:
    """Tell each node, given in the order of the plan, its children and its place."""
    for key, node in nodes.items():
        for above in node.waiting & nodes.keys():
            nodes[above].children.append(key)
    ranks = dict.fromkeys(nodes, 0.0)
    left = {key: len(node.children) for key, node in nodes.items()}
    todo = [key for key, count in left.items() if not count]
    while todo:  # from the last cells up
        node = nodes[todo.pop()]
        ranks[node.task.key] = node.task.cost + max((ranks[child] for child in node.children), default=0.0)
        for above in node.waiting & nodes.keys():
            left[above] -= 1
            if not left[above]:
                todo.append(above)
    for place, key in enumerate(sorted(nodes, key=lambda key: -ranks[key])):  # stable: equals as they came
        nodes[key].place = place


class Ready:
    """The cells that may start, by their places."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, node: Node) -> None:
        heapq.heappush(self._heap, (node.place, node.task.key))

    def take(self, nodes: Mapping[str, Node], refused: Callable[[Node], bool]) -> str | None:
        """The first one that is not refused; those that are keep their places."""
        passed, key = [], None
        while self._heap and key is None:
            entry = heapq.heappop(self._heap)
            node = nodes[entry[1]]
            if node.status != "ready":  # another driver has settled it
                continue
            if refused(node):
                passed.append(entry)
            else:
                key = entry[1]
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return key
