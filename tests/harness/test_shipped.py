"""The suites and grids that ship: each expands into cells, and the search and the sweep hold what they say."""

from __future__ import annotations

import pytest

from harness.cards import cards
from harness.cells import Cell
from harness.forest import expand, imagenet
from harness.grid import read
from suites.schema import builtin


def cells(name: str) -> list[Cell]:
    """Under made-up fingerprints: no data is built."""
    grid = read(name)
    prints = {(p.suite.suite, p.split_seed): dict.fromkeys(p.suite.domains, "x") for p in grid.parts}
    return expand(grid, prints, dict.fromkeys(imagenet(grid), "x"))


def variants(made: list[Cell]) -> dict[str, set[str]]:
    """The settings of every method, controls aside."""
    found: dict[str, set[str]] = {}
    for cell in made:
        if cell.meta["kind"] == "protect" and not cell.meta["control"]:
            found.setdefault(cell.meta["method"], set()).add(cell.meta["variant"])
    return found


METHODS = {name for name, card in cards().items() if card.kind == "protect" and not card.control}


@pytest.mark.parametrize("name", builtin())
def test_every_grid_that_ships_expands_into_cells_that_can_run(name: str) -> None:
    made = cells(name)
    assert made
    assert [c.label for c in made if c.skip and "leaves no plain network" not in c.skip] == []
    assert not [c.label for c in made if c.skip and c.meta["kind"] != "attack"]


def test_every_method_has_its_two_headline_rows_in_the_two_grids_of_digits_mini() -> None:
    """Tuned in the one, as described in the other, on the same f_s and synthesisers, so that they share a board."""
    tuned, plain = cells("digits-mini"), cells("digits-mini-as-described")
    assert variants(plain) == {name: {name} for name in METHODS - {"ntl-source-free", "cuti-source-free"}}
    assert variants(tuned).keys() == METHODS
    assert all(cell.meta["tuned"] for cell in tuned if cell.meta["method"] in METHODS)
    assert not any(cell.meta["tuned"] for cell in plain)
    shared = {cell.key for cell in tuned} & {cell.key for cell in plain}
    assert shared == {cell.key for cell in tuned if cell.meta["kind"] == "synth" or cell.meta["method"] is None}


def test_the_searches_have_twelve_settings_for_every_method_and_leaves_test_unread() -> None:
    made = cells("digits-mini-search") + cells("digits-mini-search-less-data")
    assert {name: len(found) for name, found in variants(made).items()} == dict.fromkeys(METHODS, 12)
    assert {cell.meta["score"] for cell in made} == {"val"}


def test_the_sweep_has_three_to_five_strengths_for_every_method() -> None:
    found = variants(cells("strength"))
    assert found.keys() == METHODS
    assert all(3 <= len(strengths) <= 5 for strengths in found.values())
