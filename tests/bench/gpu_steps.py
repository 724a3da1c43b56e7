"""How long a step takes on a GPU, eager and graphed, in each precision, and what share of the device's peak that is.

    PYTHONPATH=. python tests/bench/gpu.py --only steps

Batches come through DataAccess as in a cell, images are noise, each class in a colour. A time is the median of a few
blocks of steps, the device waited for before and after each. Eager and graphed are first held against each other: two
fits from one seed, whose curves must agree; what does not says so in its row and is timed all the same. Where a
method's synthesisers are needed they are untrained, which costs the same.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from io import StringIO
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from harness import numerics
from harness.access import DataAccess
from harness.cards import cards, load
from harness.forest import training_gflop
from harness.graphs import Cuda, Graphed, declared
from harness.steps import Rates, Step
from harness.training import Fitted, fit, schedule
from methods.base import REAL, Batch, Method
from methods.synthesis import Synthesiser
from suites import backbones
from suites.schema import Recipe

CLASSES = 10
FITTED, EPOCHS = 8, 3  # steps an epoch of the fits that are compared, and epochs
SYNTH_BATCH = 128
# What a step sends through the net, in trainings of one domain's batch (forward, and backward at twice that). A frozen
# net that only the picture's gradient is wanted of costs forward and once more; of a synthesiser no more is counted
PASSES = {
    "continue": 1.0,
    "source-generator": 4 / 3,  # its pictures as they are, and disturbed
    "diversity-generator": 1.0,  # the pictures without a gradient, their neighbours with one
    "source-neighbours": 1.0,
}
# TFLOP/s by the datasheet, dense
PEAKS: tuple[tuple[tuple[str, ...], dict[str, float]], ...] = (
    (("NVIDIA H100", "NVIDIA H200"), {"fp32": 67, "tf32": 495, "bf16": 989}),  # SXM
    (("NVIDIA A100",), {"fp32": 19.5, "tf32": 156, "bf16": 312}),
)


@dataclass(frozen=True)
class Size:
    """A net at a size, with the batch that the papers have there."""

    backbone: str
    pixels: int
    batch: int

    def __str__(self) -> str:
        return f"{self.backbone}, {self.pixels} px, batches of {self.batch}"


@dataclass(frozen=True)
class Pace:
    """How much is measured."""

    steps: int = 30  # a block
    blocks: int = 3
    warm: int = 12  # steps before the clock; CUTI is captured at the seventh
    images: int = 5000  # a domain at least; the harness takes more where the blocks need them

    def count(self, batch: int) -> int:
        """So many that no block meets the end of an epoch, where a cell draws its generated images anew."""
        return max(self.images, batch * (self.warm + self.steps * self.blocks + 1))


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def fresh() -> None:
    """Nothing of what was measured before is in memory, nor in its peaks."""
    gc.collect()  # graphs hold on to their step, and that to them
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# -- the peaks that shares are of


@cache
def datasheet() -> dict[str, float]:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return next((peaks for names, peaks in PEAKS if name.startswith(names) and "PCIe" not in name), {})


@cache
def matmul(precision: str, side: int = 8192) -> float:
    """TFLOP/s of one large product."""
    side = side if torch.cuda.is_available() else 128
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    with numerics.stated(precision):
        a, b = (torch.randn(side, side, device=device(), dtype=kind) for _ in range(2))
        times = []
        for _ in range(6):
            wait()
            begun = time.perf_counter()
            a @ b
            wait()
            times.append(time.perf_counter() - begun)
    return 2e-12 * side**3 / median(times[1:])


def peak(precision: str) -> float:
    """TFLOP/s that a share is of: the datasheet's, and of an unknown device what its matmul reached."""
    return datasheet().get(precision) or matmul(precision)


def peaks(precision: str) -> dict[str, Any]:
    return {"precision": precision, "datasheet": datasheet().get(precision), "matmul": matmul(precision)}


# -- a cell of a method


@lru_cache(maxsize=1)  # others would stand in the peaks
def domains(pixels: int, count: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Two domains, uint8, each class of its own colour under noise."""
    parts = {}
    for i, name in enumerate(("source", "target")):
        draws = torch.Generator(device()).manual_seed(i)
        labels = torch.randint(CLASSES, (count,), generator=draws, device=device())
        colours = torch.randint(64, 192, (CLASSES, 3, 1, 1), generator=draws, device=device())
        images = torch.randint(64, (count, 3, pixels, pixels), generator=draws, device=device(), dtype=torch.uint8)
        parts[name] = (images + colours[labels].byte(), labels)
    return parts


def recipe(size: Size, name: str, epochs: int = 1) -> Recipe:
    synth = cards()[name].kind == "synth"
    rate, batch = (1e-3, SYNTH_BATCH if size.batch >= 16 else size.batch) if synth else (1e-4, size.batch)
    told = {"optimizer": "adam", "lr": rate, "batch": batch, "epochs": epochs, "schedule": "exponential"}
    return Recipe.model_validate(told)


def method_of(name: str) -> Method:
    card = cards()[name]
    return load(card, card.check({}, name))


class Undefined(ValueError):
    """A method that is not defined at a size."""


def cell(name: str, size: Size, count: int) -> tuple[Method, nn.Module, DataAccess]:
    """A method, its net and its data, as the harness gives them to it. `count`: images a domain."""
    if backbones.card(size.backbone).last_tap(size.pixels) < cards()[name].smallest_tap:
        raise Undefined("not defined: the net has no map larger than a pixel here")
    method = method_of(name)
    needs = {"source": method.needs.source, "target": method.needs.target}
    parts = {d: part for d, part in domains(size.pixels, count).items() if needs[d] in REAL}
    net = backbones.build(size.backbone, CLASSES, size.pixels, 0).to(device())
    torch.manual_seed(0)
    inputs: dict[str, nn.Module] = {}
    for maker in cards()[name].inputs:
        synthesiser = method_of(maker)
        assert isinstance(synthesiser, Synthesiser)
        blank = synthesiser.blank(CLASSES, size.pixels).to(device())
        inputs[maker] = blank.eval().requires_grad_(False)
    return method, net, DataAccess(method, parts, recipe(size, name), CLASSES, size.pixels, 0, inputs, count)


class Running:
    """A cell, set up, that steps as harness/training.py does: graphed or eager. `said` is why it is not graphed."""

    def __init__(self, name: str, size: Size, precision: str, graphed: bool, pace: Pace) -> None:
        method, net, self.access = cell(name, size, pace.count(recipe(size, name).batch))
        net.train()
        method.setup(net, self.access)
        optimizers = method.optimizers()
        self.rates = Rates(optimizers, schedule("exponential", 0))
        launched = Step(method, optimizers, partial(numerics.autocast, precision, net))
        self.step: Step | Graphed = Graphed(launched, Cuda()) if graphed else launched
        self.precision, self._batches = precision, self._endless()
        with redirect_stdout(StringIO()):  # what came of the capture is told in the row
            self.run(pace.warm)

    @property
    def said(self) -> str:
        said = self.step.said if isinstance(self.step, Graphed) else ""
        return "" if said.startswith("steps are captured") else said

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self.access.epoch()

    def run(self, steps: int) -> None:
        with numerics.stated(self.precision):
            for _ in range(steps):
                batch = next(self._batches)
                self.rates.next()
                self.step(batch)

    def ms(self, pace: Pace) -> float:
        """Of one step, the median of some blocks."""
        return median(block(partial(self.run, pace.steps)) for _ in range(pace.blocks)) / pace.steps


def block(work: Callable[[], object]) -> float:
    """Milliseconds until the device is done with it."""
    wait()
    begun = time.perf_counter()
    work()
    wait()
    return 1e3 * (time.perf_counter() - begun)


def gflop(name: str, size: Size) -> float:
    """Of a step, the passes of the net alone: generators, masks, MMD and optimisers are not counted."""
    return PASSES.get(name, 2.0) * training_gflop(size.backbone, size.pixels, recipe(size, name).batch)


def apart(name: str, size: Size, precision: str) -> float:
    """How far the curves of a graphed and an eager fit lie apart, relative to the largest value of each curve."""
    curves: list[dict[str, list[float]]] = []
    for recorder in (None, Cuda()):
        asked = recipe(size, name, EPOCHS)
        method, net, access = cell(name, size, FITTED * asked.batch)
        with redirect_stdout(StringIO()):
            *_, fitted = fit(method, net, access, asked, precision=precision, recorder=recorder)
        assert isinstance(fitted, Fitted)
        curves.append(fitted.curves)
    eager, graphed = curves
    far = [
        max(abs(a - b) for a, b in zip(eager[term], graphed[term], strict=True)) / max(1e-6, *map(abs, eager[term]))
        for term in eager
    ]
    return float(torch.tensor(far).max())  # a NaN shows


def measured(name: str, size: Size, precision: str, eager: bool, pace: Pace) -> dict[str, Any]:
    """One row: what a step takes. Eager as well as graphed where that is asked for; on a CPU there is only eager."""
    card, gpu = cards()[name], torch.cuda.is_available()
    notes: list[str] = []
    done: dict[str, Any] = {
        "cell": name, "precision": precision, "gflop": gflop(name, size), "backbone": size.backbone,
        "pixels": size.pixels, "batch": recipe(size, name).batch, "synth": card.kind == "synth",
        "aimed": card.kind == "protect" and method_of(name).needs.target in REAL, "share": card.share,
    }  # fmt: skip
    cycle = declared(method_of(name))
    if gpu and eager and cycle:
        fresh()
        try:
            done["apart"] = apart(name, size, precision)
        except Exception as error:
            notes.append(f"not compared: {reason(error)}")
            wait()  # raises where the device will not go on
        if not done.get("apart", 0) <= 1e-3:
            notes.append("eager and graphed NOT EQUAL")
    for kind in ("eager", "graphed"):
        if (kind == "eager" and not (eager or not gpu or not cycle)) or (kind == "graphed" and not (gpu and cycle)):
            continue
        fresh()
        try:
            running = Running(name, size, precision, kind == "graphed", pace)
            if running.said:
                notes.append(running.said)
            way = "eager" if running.said else kind  # what was not captured goes on as ever
            if way not in done:
                done[way] = running.ms(pace)
                done[f"{way}_share"] = 100 * done["gflop"] / done[way] / peak(precision)
                if gpu:
                    done[f"{way}_mib"] = torch.cuda.max_memory_allocated() / 2**20
                    done[f"{way}_held"] = torch.cuda.max_memory_reserved() / 2**20
            del running
        except Exception as error:
            notes.append(f"{kind}: {reason(error)}")
            wait()
    if gpu and not cycle:
        notes.append("not to be captured")
    if "eager" in done and "graphed" in done:
        done["gain"] = done["eager"] / done["graphed"]
    return {**done, "note": "; ".join(notes)}


def reason(error: BaseException) -> str:
    """The first line of an error, fit for a table."""
    first = (str(error).splitlines() or [""])[0].replace("|", "/")
    return f"{type(error).__name__}: {first}"[:160]
