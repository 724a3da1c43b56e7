"""How long a grid takes in the scheduler's order: the real forest of digits-mini, and a clock of our own.

Seconds are what its cells took on one core; the scheduler knows only its estimates. No schedule is shorter than the sum
of all cells over the slots, nor than the longest chain of them.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, defaultdict
from itertools import count
from typing import Any

import pytest

from harness.cells import Cell
from harness.executors import Finished
from harness.forest import expand
from harness.grid import Filters, read
from harness.order import Node, link
from harness.plan import Plan
from harness.scheduler import Scheduler, Task

PRINTS = {("digits-mini", 0): {domain: domain for domain in ("uci", "uci-m", "print", "street")}}
SECONDS = {
    "source-generator": 64, "source-neighbours": 32, "diversity-generator": 12, "f_s": 7.6, "ntl": 8, "cuti": 8,
    "sa-map": 7.4, "uniform": 6.9, "constant": 7.2, "gate": 3.4, "continue": 4.4, "sf-map": 9.5, "ntl-source-free": 9.5,
    "cuti-source-free": 9.5, "uniform-source-free": 8, "df-map": 13.6, "ntl-source-only": 8.9, "cuti-source-only": 8.9,
    "untrained": 0.25, "random-mask": 0.25, "magnitude-mask": 0.25, "bn-reestimate+probe[n=20]": 0.27,
    "from-scratch[n=20]": 6.5,
}  # fmt: skip
KEPT = 8  # models that a worker keeps (harness/worker.py)


def seconds(cell: Cell) -> float:
    """Of a method that nobody has timed, such as gate-source-only: what the one took whose name its own begins with."""
    name = cell.meta.get("attack") or cell.meta["method"] or "f_s"
    return SECONDS[max((known for known in SECONDS if name.startswith(known)), key=len)]


class Run:
    """A grid on so many slots: `wall` seconds, the `least` that any order needs, `loads` of source models."""

    def __init__(self, slots: int, **filters: tuple[str, ...]) -> None:
        cells = expand(read("digits-mini", Filters(**filters)), PRINTS)
        self.tasks = Plan(tuple(cells), {}).tasks()
        asked = {task.key for task in self.tasks}
        takes = {cell.key: seconds(cell) for cell in cells if cell.key in asked}
        chains: dict[str, float] = {}
        for task in self.tasks:
            chains[task.key] = takes[task.key] + max(
                (chains[key] for key in (task.parent, *task.inputs) if key), default=0
            )
        self.least = max(sum(takes.values()) / slots, *chains.values())
        scheduler, numbers, self.wall = Scheduler(self.tasks), count(), 0.0
        ends: list[tuple[float, int, Any]] = []
        kept: dict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self.loads, sources = 0, {cell.key for cell in cells if cell.meta["kind"] == "train"}
        names = [f"cuda:{number}/0" for number in range(slots)]
        while not scheduler.done:
            for start in scheduler.assign(names, self.wall):
                models = kept[start.slot]
                for key in filter(None, (start.task.parent, *start.task.inputs)):
                    self.loads += key in sources and key not in models
                    models[key] = None
                    models.move_to_end(key)
                    if len(models) > KEPT:
                        models.popitem(last=False)
                heapq.heappush(ends, (self.wall + takes[start.task.key], next(numbers), start))
            self.wall, _, start = heapq.heappop(ends)
            record = {"status": "ok", "error": None}
            scheduler.on(Finished(start.slot, start.task.key, start.attempt, record), self.wall)
        assert {row.status for row in scheduler.drain()} == {"ok"} and scheduler.counts() == {"ok": len(self.tasks)}


@pytest.mark.parametrize("slots", [2, 4, 8])
def test_the_tail_of_digits_mini_is_short(slots: int) -> None:
    run = Run(slots)
    assert len(run.tasks) == 1800
    assert run.wall <= 1.05 * run.least


SOME = ("uci:print", "print:uci", "street:uci")


@pytest.mark.parametrize(
    ("slots", "methods", "pairs", "seeds"),
    [  # that it took before, by parents first and then the longest cell: times the least
        (2, "sf-map,random-mask-data-free,untrained", SOME, "0"),  # 1.19
        (4, "ntl,df-map,sf-map,random-mask-data-free,continue", SOME, "0-2"),  # 1.15
        (8, "ntl-source-free,cuti-source-only", SOME, "0-2"),  # 1.42
        (8, "df-map,random-mask-data-free,sf-map,ntl", ("all",), "0"),  # 1.07
    ],
)
def test_a_source_model_with_a_long_chain_does_not_start_last(
    slots: int, methods: str, pairs: tuple[str, ...], seeds: str
) -> None:
    run = Run(slots, methods=tuple(methods.split(",")), pairs=pairs, seeds=(seeds,))
    assert run.wall <= 1.05 * run.least


def test_children_of_a_model_start_one_after_the_other_where_nothing_else_asks_for_another_order() -> None:
    run = Run(2)
    assert run.loads < 0.1 * len(run.tasks)


def nodes(*tasks: Task) -> dict[str, Node]:
    made = {task.key: Node(task, 0, {key for key in (task.parent, *task.inputs) if key}) for task in tasks}
    link(made)
    return made


def order(*tasks: Task) -> str:
    made = nodes(*tasks)
    return "".join(sorted(made, key=lambda key: made[key].place))


def test_a_rank_is_the_cells_own_time_and_the_longest_chain_below_it() -> None:
    long = [Task("t"), Task("g", "t", cost=3), Task("d", "t", ("g",)), Task("m", "t", ("g", "d"), cost=2)]
    assert order(*long, Task("x", cost=6.5)) == "txgdm"  # 7, 6.5, 6, 3, 2: what hangs on a cell counts once
    assert order(Task("a", cost=5), Task("b", cost=1), Task("c", "b", cost=4.5), Task("d", "b", cost=4.5)) == "bacd"


def test_equals_keep_the_plans_order() -> None:
    assert order(Task("q"), Task("c", "q"), Task("b", "q"), Task("p"), Task("d", "p"), Task("a", "p")) == "qpcbda"


def test_a_parent_that_is_not_there_and_a_chain_of_ten_thousand_are_no_trouble() -> None:
    assert order(Task("a", "absent", cost=2), Task("b", cost=3)) == "ba"
    chain = nodes(*(Task(str(number), str(number - 1) if number else None) for number in range(10_000)))
    assert [node.place for node in chain.values()] == list(range(10_000))
