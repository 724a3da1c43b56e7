"""Captured steps, by a recorder of the test's own that runs again what it was given: a CPU has no graphs.

What a GPU adds, the capture itself, is tests/bench/gpu.py's to show.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import graphs, toy
from harness.access import DataAccess
from harness.cards import cards, load
from harness.graphs import Graphed, declared
from harness.steps import Rates, Step
from harness.training import Fitted, fit
from methods.base import Batch, Method
from methods.cuti import CUTI
from methods.ntl import NTL
from methods.sf_map import Distilled
from suites.schema import Recipe


@pytest.fixture(autouse=True)
def _rates_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a graph reads its rates from has them; so that nothing else differs, launched steps have them here too."""

    class Rounded(Rates):
        def next(self) -> None:
            super().next()
            for group in self.groups:
                if not isinstance(group["lr"], Tensor):
                    group["lr"] = float(torch.tensor(group["lr"]))

    monkeypatch.setattr("harness.training.Rates", Rounded)


RECIPE = Recipe(optimizer="adam", lr=1e-3, batch=16, epochs=2, schedule="linear", shift=1)


class Again:
    """Runs recorded work again when it is replayed, into the same place."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        return work()

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        self.recorded += 1
        result = torch.zeros(0)

        def replay() -> None:
            self.replayed += 1
            made = work()
            result.resize_(made.shape).copy_(made)

        return replay, result

    def random(self) -> Any:
        return torch.get_rng_state()

    def restore(self, state: Any) -> None:
        torch.set_rng_state(state)


@cache
def inputs_of(name: str) -> dict[str, nn.Module]:
    return toy.inputs(cards()[name], cards())


def trained(name: str, recorder: Any = None, **params: Any) -> tuple[nn.Module, Fitted]:
    """A method on the toy pair, with or without a recorder."""
    card = cards()[name]
    method = load(card, {**card.check({}, name), **params})
    return toy_fit(method, recorder, inputs_of(name))


def toy_fit(method: Method, recorder: Any, inputs: Any = None) -> tuple[nn.Module, Fitted]:
    parts, f_s = toy.pair(0), toy.network(0)
    f_s.load_state_dict(toy.source_state())
    needs = {"source": method.needs.source, "target": method.needs.target}
    served = {d: part for d, part in parts.items() if needs[d] not in ("none", "generated")}
    torch.manual_seed(0)
    access = DataAccess(method, served, RECIPE, toy.CLASSES, toy.SIZE, 0, inputs, 256)
    *_, fitted = fit(method, f_s, access, RECIPE, recorder=recorder)
    assert isinstance(fitted, Fitted)
    return fitted.model, fitted


def same(one: tuple[nn.Module, Fitted], other: tuple[nn.Module, Fitted]) -> bool:
    mine, theirs = one[0].state_dict(), other[0].state_dict()
    return one[1].curves == other[1].curves and all(torch.equal(mine[k], theirs[k]) for k in theirs)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ntl", {}), ("cuti", {}), ("cuti", {"layers": "learned"}), ("sa-map", {}), ("sa-map", {"bn": "batch"}),
        ("continue", {}), ("uniform", {}), ("constant", {}), ("gate", {}),
        ("sf-map", {"distill": 1.0, "hold": 2.5, "guard": 0.5}), ("cuti-source-free", {}),
        ("df-map", {"colour": 1.0, "bold": 1.0, "far": 0.9, "cap": "sample", "guard": 0.4}), ("source-generator", {}),
    ],
)  # fmt: skip
def test_replayed_steps_train_what_launched_ones_do(
    name: str, params: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rates follow the schedule, batches are new ones, what the method keeps goes on from where it was."""
    launched = trained(name, **params)
    capsys.readouterr()
    recorder = Again()
    assert same(trained(name, recorder, **params), launched)
    cycle = 2 if name.startswith("cuti") else 1
    assert recorder.recorded == cycle and recorder.replayed > 2 * cycle
    assert f"steps are captured: {cycle} CUDA graph" in capsys.readouterr().out


def test_a_capture_that_fails_leaves_the_training_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    class Refuses(Again):
        def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
            work()  # half of it was done
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

    launched = trained("cuti")
    assert same(trained("cuti", Refuses()), launched)
    said = [line for line in capsys.readouterr().out.splitlines() if "captured" in line]
    assert said == ["steps are not captured: RuntimeError: operation not permitted when stream is capturing"]


@pytest.mark.parametrize("wrong", ["late", "still", "nan", "nan at last"])
def test_replays_that_say_another_thing_are_not_relied_on(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`late`: updates are left out; `still`: the first result again and again; `nan`: no number at all, or
    none from the second on."""

    class Wrong(Again):
        def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
            replay, result = super().record(work)

            def wrongly() -> None:
                if wrong.startswith("nan"):
                    fine = wrong == "nan at last" and not result.numel()
                    replay()
                    if not fine:
                        result.fill_(float("nan"))
                elif wrong == "still" and not result.numel():
                    replay()
                elif wrong == "late":
                    kept = [p.clone() for p in watched]
                    replay()
                    with torch.no_grad():
                        for p, copied in zip(watched, kept, strict=True):
                            p.copy_(copied)

            return wrongly, result

    watched: list[Tensor] = []

    class Seen(NTL):
        cycle = 1

        def optimizers(self) -> list[torch.optim.Optimizer]:
            watched[:] = self.model.parameters()
            return super().optimizers()

    launched = toy_fit(Seen(NTL.Params()), None)
    assert same(toy_fit(Seen(NTL.Params()), Wrong()), launched)
    assert "steps are not captured: ArithmeticError: replayed, they differ" in capsys.readouterr().out


def test_who_overrides_the_step_promises_anew(capsys: pytest.CaptureFixture[str]) -> None:
    class Longer(NTL):
        name = "longer"

        def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            return super().step(batch)

    class Promised(Longer):
        cycle = 1

    class Named(CUTI):
        name = "named"

    assert [declared(kind(kind.Params())) for kind in (NTL, Longer, Promised, CUTI, Named)] == [1, 0, 1, 2, 2]
    assert declared(Distilled(Distilled.Params())) == 0  # nobody has said that it may
    recorder = Again()
    toy_fit(Longer(NTL.Params()), recorder)
    assert recorder.recorded == 0 and "longer declares no cycle" in capsys.readouterr().out


def test_a_capture_that_is_broken_off_leaves_torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch itself does not put back when a capture's end fails: its stream, its generator, its allocator."""
    done: list[str] = []

    class Capture:
        def __init__(self, *args: Any, **given: Any) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *args: object) -> None:
            raise RuntimeError("operation failed due to a previous error during capture")

    class Generator:
        def clone_state(self) -> str:
            return "spare"

        def graphsafe_set_state(self, state: str) -> None:
            done.append(f"generator {state}")

    for name, what in {
        "Stream": object, "CUDAGraph": object, "graph": Capture, "graph_pool_handle": lambda: (0, 1),
        "current_stream": lambda: "main", "current_device": lambda: 0, "default_generators": (Generator(),),
        "set_stream": lambda stream: done.append(f"stream {stream}"),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, what)
    ended = lambda device, pool: done.append(f"pool {pool}")  # noqa: E731
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", ended, raising=False)

    def waits() -> Tensor:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        graphs.Cuda().record(waits)
    assert done == ["stream main", "generator spare", "pool (0, 1)"]


def test_an_optimizer_whose_rate_a_graph_would_freeze_is_not_captured(capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Linear(3, 2)
    method = NTL(NTL.Params())
    step = Graphed(Step(method, [torch.optim.SGD(net.parameters(), lr=0.1)]), Again())
    assert step.said == "steps are not captured: SGD cannot be"


def test_rates_are_set_in_place_where_a_graph_has_them() -> None:
    net = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
    rates = Rates([optimizer], lambda k: 1 / (k + 1))
    rates.next()
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.param_groups[0]["lr"] = held = torch.tensor(0.5)
    rates.next()
    assert optimizer.param_groups[0]["lr"] is held and float(held) == 0.25


def test_a_batch_that_stands_keeps_its_halves_side_by_side() -> None:
    joint = torch.arange(24.0).view(8, 3, 1, 1)
    batch = Batch("x", NTL.needs, {"x_s": joint[:4], "x_t": joint[4:], "joint": joint, "y_s": torch.zeros(4)})
    static, still = graphs._standing(batch)
    static["joint"].fill_(7)
    assert set(static) == {"joint", "y_s"} and bool((still.x_s == 7).all()) and bool((still.x_t == 7).all())
    assert torch.equal(batch.replaced(x_s=batch.x_t).joint, torch.cat([joint[4:], joint[4:]]))
