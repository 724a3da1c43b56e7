"""What the profile of a step promises: all of it is in some column, none of it in two, and the floor lies below it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.bench import profiles
from tests.bench.profiles import COLUMNS, OPTIMISED, OTHER, PYTHON, SERVED, WHOLE, cell, divided, reached


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    held = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(held)


def event(name: str, own: float, *within: Any) -> Any:
    """As the profiler has them, microseconds."""
    total = own + sum(e.cpu_time_total for e in within)
    made = SimpleNamespace(name=name, cpu_children=list(within), self_cpu_time_total=own, cpu_time_total=total)
    made.cpu_parent = None
    for one in within:
        one.cpu_parent = made
    return made


def flat(top: Any) -> list[Any]:
    return [top, *(e for child in top.cpu_children for e in flat(child))]


def test_a_step_is_all_in_the_columns_and_above_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "STEPS", 8)
    found = cell("continue", reached(), cost=0.5)
    assert sum(found["share"].values()) == pytest.approx(100)
    assert set(found["share"]) == set(COLUMNS) and all(share >= 0 for share in found["share"].values())
    assert all(found["share"][c] > 0 for c in ("convolutions", "matrix products", OPTIMISED, SERVED))
    assert 0 < found["floor"] < found["ms"] and 0 < found["products"] < found["ms"]


def test_each_moment_is_in_the_column_of_the_nearest_that_has_one() -> None:
    epoch = event(
        WHOLE, 5,
        event(SERVED, 7, event("aten::randint", 11, event("aten::random_", 13))),
        event("aten::linear", 17, event("aten::t", 19), event("aten::addmm", 23)),
        event("MulBackward0", 29, event("aten::mul", 31, event("aten::empty", 37))),
        event("aten::dropout", 41, event("aten::bernoulli_", 43)),
        event("aten::conv2d", 2, event("aten::mkldnn_convolution", 3)),
        event(OPTIMISED, 47, event("aten::_fused_adam_", 53)),
    )  # fmt: skip
    spent, calls = divided(flat(epoch))
    assert {column: round(1e3 * ms) for column, ms in spent.items()} == {
        PYTHON: 5 + 29, SERVED: 7 + 11 + 13, "matrix products": 17 + 19 + 23, OTHER: 31 + 37,
        "norm, pool, activation": 41, "FFT, random": 43, "convolutions": 2 + 3, OPTIMISED: 47 + 53,
    }  # fmt: skip
    assert calls == 4
    less = divided(flat(epoch), cost=1)[0]  # the seven that Python called, and the only one each of two others
    assert (round(1e3 * less[PYTHON]), round(1e3 * less["matrix products"])) == (0 + 29 - 1, 17 - 2 + 19 + 23)


def test_work_outside_of_the_epoch_is_refused() -> None:
    """A backward pass on another thread would be counted as Python, and its operations not at all."""
    with pytest.raises(AssertionError, match="aten::mm"):
        divided([event(WHOLE, 5), event("aten::mm", 9)])
