"""Our step beside the official one, on a GPU: NTL, and CUTI's even step, on VGG11 at 64 px with batches of 32.

    PYTHONPATH=. python tests/bench/gpu.py --only peers --peer /tmp/NTL --peer /tmp/CUTI

Theirs is a user's checkout (peers.py) or its plain published form (published.py), eager, for what it reads off the
device cannot be captured; with torch's Adam and LambdaLR, as released. Both have the same batches, on the device
already, and no dropout. The first loss of both sides must be the same in fp32; in tf32 the two layouts round apart, and
by how much is told.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from harness import numerics
from harness.access import DataAccess
from harness.graphs import Cuda, Graphed
from harness.steps import Rates, Step
from harness.training import schedule
from methods.base import Batch, Method
from methods.cuti import CUTI
from methods.ntl import NTL
from suites import backbones
from tests.bench import published
from tests.bench.clock import Unequal, agree
from tests.bench.gpu_steps import CLASSES, Pace, Size, block, device, domains, fresh, recipe
from tests.bench.steps import plain, theirs

EXACT = 1e-4  # of the first loss, relative, in fp32: the two sides add up in another order
TARGET = 3.0
HELD = 4  # batches, again and again


class Even(CUTI):
    """CUTI without its odd steps, which re-style by layers drawn anew: no two sides draw the same."""

    cycle = 1

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.odd = False
        return super().step(batch)


METHODS: dict[str, type[Method]] = {"ntl": NTL, "cuti": Even}
KNOWN = {"ntl": "conditionWang/NTL", "cuti": "LyWang12/CUTI-Domain"}  # whose own method it is


def form_of(method: str, folders: list[Path]) -> published.Published:
    """The checkout that has the method's step: the method's own, or another that knows it; else the published form."""
    if folders:
        from tests.bench import peers

        peers.NAMES["device"] = device()
        found = [peers.recognised(folder) for folder in folders]
        ratio = {"ntl": "R2", "cuti": "R5"}[method]
        able = [form for form in found if form.covers is None or ratio in form.covers]
        for form in sorted(able, key=lambda form: form.name != KNOWN[method]):
            return form
    return published.Published()


class Ours:
    """Our side's step on held batches."""

    def __init__(self, method: Method, net: nn.Module, access: DataAccess, graphed: bool) -> None:
        method.setup(net.train(), access)
        optimizers = method.optimizers()
        self.rates, launched = Rates(optimizers, schedule("exponential", 0)), Step(method, optimizers)
        self.step: Step | Graphed = Graphed(launched, Cuda()) if graphed else launched

    def __call__(self, batch: Batch) -> Tensor:
        self.rates.next()
        return self.step(batch)[0]


def measured(name: str, precision: str, folders: list[Path], size: Size, pace: Pace) -> dict[str, Any]:
    """One row."""
    form = form_of(name, folders)
    done: dict[str, Any] = {"cell": name, "precision": precision, "against": form.name}
    notes, asked = [], recipe(size, name)
    net = backbones.build(size.backbone, CLASSES, size.pixels, 0)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    net = net.to(device())

    def ours(graphed: bool) -> tuple[Ours, list[Batch]]:
        torch.manual_seed(0)
        method = METHODS[name](METHODS[name].Params())
        mine = backbones.build(size.backbone, CLASSES, size.pixels, 0).to(device())
        mine.load_state_dict(net.state_dict())
        for module in mine.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        access = DataAccess(method, domains(size.pixels, HELD * asked.batch), asked, CLASSES, size.pixels, 0)
        return Ours(method, mine, access, graphed), list(access.epoch())

    def first(precision: str) -> tuple[float, float]:
        with numerics.stated(precision):
            mine, batches = ours(False)
            other = theirs(form, net, name)
            loss = published.step(getattr(form, name), other, published.optimizers(other, asked.lr), plain(batches[0]))
            return float(mine(batches[0])), float(loss)

    fresh()
    agree(f"{name}'s first loss in fp32", *first("fp32"), EXACT)
    if precision != "fp32":
        our, their = first(precision)
        done["apart"] = abs(our - their) / abs(their)
        if not done["apart"] < 0.02:  # tf32 keeps 10 bits: 1e-3 a product
            raise Unequal(f"{name}'s first loss in {precision}: ours {our}, theirs {their}")

    def timed(step: Any, batches: list[Any]) -> float:
        def run(steps: int) -> None:
            with numerics.stated(precision):
                for i in range(steps):
                    step(batches[i % len(batches)])

        with redirect_stdout(StringIO()):
            run(pace.warm)
        fresh()
        return median(block(partial(run, pace.steps)) for _ in range(pace.blocks)) / pace.steps

    mine, batches = ours(False)
    done["eager"] = timed(mine, batches)
    if torch.cuda.is_available():
        mine, batches = ours(True)
        took = timed(mine, batches)
        assert isinstance(mine.step, Graphed)
        if mine.step.said.startswith("steps are captured"):
            done["graphed"] = took
        else:
            notes.append(mine.step.said)
    other, same = theirs(form, net, name), [plain(batch) for batch in batches]
    trained = published.optimizers(other, asked.lr)
    done["theirs"] = timed(lambda batch: published.step(getattr(form, name), other, trained, batch), same)
    if torch.cuda.is_available():
        done["theirs_mib"] = torch.cuda.max_memory_allocated() / 2**20
    done["ratio_eager"] = done["theirs"] / done["eager"]
    done["ratio"] = done["theirs"] / min(done["eager"], done.get("graphed", done["eager"]))
    done["target"] = "reached" if done["ratio"] >= TARGET else "MISSED"
    return {**done, "note": "; ".join(notes)}
