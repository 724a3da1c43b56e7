"""Shards: whole trees, every cell once, evenly, and the same for every driver."""

from __future__ import annotations

import random

import pytest

from harness import UsageError, shards
from harness.cells import Cell, Layer


def cell(name: str, parent: Cell | None = None, cost: float = 1.0) -> Cell:
    layer = Layer({"name": name}, {"parent": parent.key if parent else None, "inputs": []})
    return Cell((layer,), None, {}, {}, cost)


def forest(trees: int) -> list[Cell]:
    """Trees of different size, three levels deep, and three cells that hang on nothing."""
    cells = []
    for number in range(trees):
        train = cell(f"train {number}", cost=5)
        cells.append(train)
        for child in range(number % 4 + 1):
            protect = cell(f"protect {number} {child}", train, 2 + number / 10)
            cells += [protect, cell(f"attack {number} {child}", protect, 0.5)]
    return cells + [cell(f"scratch {number}", cost=1) for number in range(3)]


def test_every_cell_is_in_one_shard_with_its_whole_tree() -> None:
    cells = forest(12)
    dealt = shards.deal(cells, 5)
    assert sorted(key for shard in dealt for key in shard) == sorted(c.key for c in cells)
    home = {key: number for number, shard in enumerate(dealt) for key in shard}
    assert all(home[c.key] == home[c.meta["parent"]] for c in cells if c.meta["parent"])


def test_the_loads_are_even_and_the_order_of_the_cells_does_not_count() -> None:
    cells = forest(40)
    dealt = shards.deal(cells, 4)
    loads = [sum(c.cost for c in cells if c.key in shard) for shard in dealt]
    assert max(loads) < 1.05 * min(loads)
    trains = [c for c in cells if c.meta["parent"] is None]
    random.Random(0).shuffle(trains)
    shuffled = trains + [c for c in cells if c.meta["parent"] is not None]
    assert shards.deal(shuffled, 4) == dealt


def test_more_shards_than_trees_leaves_some_with_nothing() -> None:
    dealt = shards.deal([cell("only")], 3)
    assert [len(shard) for shard in dealt] == [1, 0, 0]


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_what_is_no_shard_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="give i/n"):
        shards.read(text)
    assert shards.read("2/4") == (2, 4)
