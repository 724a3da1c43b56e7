"""Cells that draw the same images draw them once; what each is served is what it would have drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.access import DataAccess
from harness.drawn import DRAWN, Drawn, Shared
from methods.base import Method, Needs
from suites.schema import Recipe

RECIPE = Recipe(optimizer="sgd", lr=0.1, batch=4, epochs=4, schedule="constant", shift=1)


class Maker(nn.Module):
    """Draws noise, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator), torch.arange(count) % 4


class Free(Method):
    name = "free"
    needs = Needs(source="generated", target="none")
    inputs = ("maker",)


def served(maker: Maker, epochs: int, drawn: Drawn | None = None, seed: int = 0) -> list[Tensor]:
    access = DataAccess(Free(), {}, RECIPE, 4, 8, seed, {"maker": maker}, 12, (), drawn)
    return [batch.x_s for _ in range(epochs) for batch in access.epoch()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_a_second_cell_is_served_what_it_would_have_drawn_and_nothing_is_drawn_again() -> None:
    maker, alone, shared = Maker(), Maker(), Drawn()
    wanted = served(alone, 5)
    assert alone.calls == DRAWN
    assert same(served(maker, 5, shared), wanted) and same(served(maker, 5, shared), wanted)
    assert maker.calls == DRAWN


def test_one_that_was_stopped_early_leaves_the_rest_to_be_drawn_as_ever() -> None:
    maker, shared = Maker(), Drawn()
    served(maker, 1, shared)
    assert same(served(maker, 5, shared), served(Maker(), 5))
    assert maker.calls == DRAWN


def test_what_was_not_used_for_longest_goes_first() -> None:
    def fill(drawn: Drawn) -> Drawn:
        served(Maker(), DRAWN, drawn)
        return drawn

    size = fill(Drawn()).nbytes()
    assert size == DRAWN * 12 * 3 * 8 * 8
    shared = Shared(kept=2 * size)
    first, second = fill(shared.of("a")), fill(shared.of("b"))
    assert shared.of("a") is first
    fill(shared.of("c"))  # one too many from here on
    assert shared.of("a") is first and shared.of("b") is not second


def test_a_key_that_was_never_filled_takes_nothing_away() -> None:
    shared: Any = Shared(kept=1)
    empty = shared.of("a")
    assert shared.of("a") is empty
