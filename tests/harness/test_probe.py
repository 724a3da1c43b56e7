"""How many slots a GPU gets where nobody says: by past cells, else by a probe, else one. No GPU and no Ray is needed.

What the probe reads on a real GPU is not tested here: its steps are, on the CPU.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.api import Options
from harness.cli import cli
from harness.executors import memory, probe
from harness.executors.places import places
from harness.executors.probe import BEYOND, STEPS, Shape
from harness.forest import expand
from harness.grid import Filters, read
from harness.plan import Plan
from harness.training import EVAL_BATCH
from suites import backbones

PRINTS = {("digits-mini", 0): {domain: domain for domain in ("uci", "uci-m", "print", "street")}}
NET, MAKER = Shape("convnet", 32, 10, False, 32), Shape("convnet", 32, 10, True, 128)
GPU = {"NodeID": "a" * 56, "Resources": {"GPU": 2.0, "CPU": 32.0}}
CPU = {"NodeID": "b" * 56, "Resources": {"CPU": 3.0, "memory": 9 * 2**30}}


def plan(winners: dict[str, Any] | None = None) -> Plan:
    filters = Filters(methods=("df-map", "ntl"), pairs=("uci:print",), seeds=("0",), attacks=("none",))
    return Plan(tuple(expand(read("digits-mini", filters), PRINTS)), winners or {})


def test_the_shapes_of_a_grid_are_its_nets_at_the_largest_batch() -> None:
    assert probe.shapes(cell.spec for cell in plan().cells) == [MAKER, NET]  # batches of 16 and 16, 32, and 128
    spec = {"backbone": "convnet", "image_size": 32, "classes": 10}
    kinds = [("protect", 20), ("train", 20), ("attack", 20), ("protect", 10)]
    assert probe.shapes({**spec, "kind": kind, "recipe": {"batch": batch}} for kind, batch in kinds) == [
        NET._replace(images=40)
    ]
    assert probe.shapes([{**spec, "kind": "train"}]) == [NET._replace(images=1)]  # a given f_s


class Watched(nn.Module):
    """Remembers the batches that went through it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 10))
        self.seen: list[tuple[int, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3)) @ self.weight
        self.seen.append((len(x), self.training, y.requires_grad))
        return y


def watched_adam(trained: list[int]) -> type[torch.optim.Adam]:
    """Adam that tells how many tensors it is given."""

    class Adam(torch.optim.Adam):
        def __init__(self, parameters: Any, **more: Any) -> None:
            given = list(parameters)
            trained.append(len(given))
            super().__init__(given, **more)

    return Adam


@pytest.mark.parametrize(("shape", "passes"), [(NET, 1), (MAKER, 2)])
def test_the_probe_trains_a_few_steps_and_scores_one_batch(
    shape: Shape, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Watched()
    trained: list[int] = []
    monkeypatch.setattr(backbones, "build", lambda *_: net)
    monkeypatch.setattr(torch.optim, "Adam", watched_adam(trained))
    assert probe.peak_mb([shape], "cpu", lambda: 100 * 2**20) == pytest.approx(BEYOND * 100)
    assert net.seen == [(shape.images, True, True)] * STEPS * passes + [(EVAL_BATCH, False, False)]
    assert bool((net.weight != 1).any()) is net.weight.requires_grad is not shape.synth
    assert (trained[0] > 1) is shape.synth  # a synthesiser trains its own net, and no other


def test_the_probe_runs_with_a_real_net_and_says_nothing_without_a_gpu() -> None:
    assert probe.peak_mb([Shape("convnet", 16, 10, True, 4)], "cpu", lambda: 2**20) == BEYOND
    if not torch.cuda.is_available():
        assert probe.peak_mb([NET]) is None


def test_no_shape_begins_after_the_probes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Shape] = []
    monkeypatch.setattr(probe, "LONGEST", -1.0)
    monkeypatch.setattr(probe, "_steps", lambda shape, device: begun.append(shape))
    probe.peak_mb([MAKER, NET], "cpu", lambda: 1.0)
    assert begun == [MAKER]


def test_past_cells_count_where_they_cover_the_nets_and_sizes_that_are_left() -> None:
    def ran(kinds: tuple[str, ...], device: str = "H100") -> dict[str, Any]:
        made = {"status": "ok", "environment": {"device": device, "method_sha256": None}}
        peaks = {"train": 700.0, "synth": 900.0, "protect": 800.0}
        return {
            c.key: made | {"peak_memory_mb": peaks[c.meta["kind"]]} for c in plan().cells if c.meta["kind"] in kinds
        }

    assert plan(ran(("train",))).peak_mb([NET]) == 700
    assert plan(ran(("train",))).peak_mb([NET, MAKER]) is None
    assert plan(ran(("train", "synth"))).peak_mb([NET, MAKER]) == 900
    assert plan(ran(("train",))).peak_mb([NET._replace(image_size=64)]) is None
    assert plan(ran(("train",))).peak_mb([NET._replace(backbone="vgg11")]) is None
    assert plan(ran(("train",), "cpu")).peak_mb([NET]) is None


class FakeRay:
    """Runs a task where it is asked for."""

    def __init__(self, failing: str = "") -> None:
        self.asked: list[tuple[str, float]] = []  # what ran, on how many GPUs
        self.failing = failing
        self.exceptions = SimpleNamespace(GetTimeoutError=TimeoutError)

    def remote(self, max_calls: int) -> Any:
        assert max_calls == 1  # the process ends with its task, and holds none of the GPU
        return lambda function: SimpleNamespace(
            options=lambda **needs: SimpleNamespace(remote=lambda *given: (function, given, needs.get("num_gpus", 0)))
        )

    def get(self, answer: Any, timeout: float) -> Any:
        function, _, gpus = answer
        name = {memory.smallest_gpu: "total", probe.peak_mb: "probe"}[function]
        self.asked.append((name, gpus))
        if name == self.failing:
            raise RuntimeError("Traceback\nno such program")
        return 81079.0 if name == "total" else 1600.0

    def cancel(self, answer: Any, force: bool) -> None:
        raise AssertionError("nothing took too long")


def slots(ray: FakeRay, node: dict[str, Any], count: int = 1, **options: Any) -> tuple[int, list[str], list[Any]]:
    given = {"gpus": None, "cpus": None, "memory_mb": None, "slots_per_gpu": None, "peak_mb": None, "shapes": [NET]}
    said: list[str] = []
    given |= options
    for _ in range(count):
        made = places(ray, node, "GPU" in node["Resources"], given, said.append)
    return len(made), said, ray.asked


def test_a_probe_says_how_many_slots_a_gpu_gets_and_runs_once() -> None:
    line = "4 slots on each GPU: the largest cell needs 1.6 of 79 GiB; --slots-per-gpu N overrides"
    assert slots(FakeRay(), GPU, 2) == (2 * 4, [line] * 2, [("total", 0), ("probe", 1), ("total", 0)])


def test_past_cells_and_the_users_word_come_before_a_probe() -> None:
    count, (line,), asked = slots(FakeRay(), GPU, peak_mb=30_000.0)
    assert (count, asked) == (2 * 2, [("total", 0)]) and line.startswith(
        "2 slots on each GPU: the largest cell needs 29.3"
    )
    assert slots(FakeRay(), GPU, slots_per_gpu=3) == (2 * 3, [], [])
    assert Options().slots_per_gpu is None
    (option,) = (p for p in cli.commands["run"].params if p.name == "slots_per_gpu")
    assert option.default == "auto"


@pytest.mark.parametrize("failing", ["total", "probe"])
def test_where_nothing_can_be_measured_a_gpu_has_one_slot_and_the_probe_one_try(failing: str) -> None:
    count, said, asked = slots(FakeRay(failing), GPU, 2)
    assert count == 2 and asked.count(("probe", 1)) == (failing == "probe")
    assert said[0] == (
        "1 slot on each GPU, since what fits could not be measured (no such program); --slots-per-gpu N overrides"
    )


def test_cores_have_their_slots_as_ever() -> None:
    assert slots(FakeRay(), CPU) == (3, [], [])
