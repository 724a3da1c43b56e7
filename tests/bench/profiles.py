"""Where the time of a cell goes, on one core: a step of each method and synthesiser by what it spends it on, beside
what the machine could not do faster; and what a cell does outside its steps.

    PYTHONPATH=. python tests/bench/profiles.py                        all of them, two to three minutes
    PYTHONPATH=. python tests/bench/profiles.py --only ntl sf-map --json PATH

convnet at 32 px by digits-mini's recipes, methods as tuned there, on toy.domain's images, in the real loop (fit). ms a
step is wall time without a profiler; epochs with and without one take turns, and the fastest of each counts: what else
runs only adds. The shares are the profiler's, each moment in one column, less what it takes itself for each event.

The floor is what FlopCounterMode counts in a step, frozen nets included, at the rate that this machine reaches on one
large convolution. It counts convolutions and matrix products, not FFTs, so it is low for what works among frequencies.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from timeit import timeit
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from harness import toy
from harness.access import DataAccess
from harness.cards import cards, load
from harness.drawn import DRAWN, Made
from harness.training import fit, logits
from harness.worker import checkpoint
from methods.base import REAL, Batch
from results import metrics
from suites.schema import load_suite
from tests.bench.ratios import machine

MAKERS = ["source-generator", "diversity-generator", "source-neighbours"]
METHODS = [*MAKERS, "continue", "uniform", *load_suite("digits-mini").tuned]
IMAGES = 1150  # of a train part of digits-mini
STEPS = 16  # of an epoch, where there are more, because a profile is read slowly: two groups that are served at once
ROUNDS = 3  # epochs with the profiler and as many without
WHOLE = "mapbench: epoch"  # a range of the profiler's around all that is divided
SERVED, OPTIMISED = "images", "optimiser"  # ranges of ours, and columns; what happens in them is theirs
PYTHON, OTHER = "Python, dispatch", "other operations"
KINDS = {
    "convolutions": r"aten::(_|mkldnn_|slow_|thnn_)*conv(olution|_transpose|\d)",
    "matrix products": r"aten::(linear|addmm|mm|bmm|baddbmm|matmul|einsum|mv|addmv|dot)$",
    "norm, pool, activation": r"aten::.*(batch_norm|instance_norm|pool2d|maximum|relu|threshold|tanh|sigmoid|dropout)",
    "FFT, random": r"aten::(_?fft_|rand|normal_|uniform_|random_|bernoulli|multinomial)",
    OPTIMISED: r"Optimizer\.",  # torch's own range around zero_grad
}
COLUMNS = [*list(KINDS)[:3], OPTIMISED, SERVED, "FFT, random", OTHER, PYTHON]
# `calls`: of operations, by Python or a backward pass; a drawing: of an epoch's generated images, DRAWN times a cell
FLOORS = {
    "ms a step": ("ms", ".2f"), "products, ms": ("products", ".2f"), "GFLOP": ("gflop", ".2f"),
    "at the floor, ms": ("floor", ".2f"), "times the floor": ("times", ".1f"), "calls": ("calls", ".0f"),
    "steps of a cell, s": ("seconds", ".1f"), "a drawing, ms": ("drawing", ".0f"),
}  # fmt: skip


@cache
def kind(name: str) -> str:
    """The column of an operation, by its name; "" where that depends on what called it."""
    return next((column for column, form in KINDS.items() if re.match(form, name)), "")


class Watched(DataAccess):
    """Says when it makes images, and keeps how long it took to draw generated ones."""

    drawing = 0.0

    @property
    def steps_per_epoch(self) -> int:
        return min(STEPS, super().steps_per_epoch)

    def epoch(self) -> Iterator[Batch]:
        batches = super().epoch()
        for _ in range(self.steps_per_epoch):
            with record_function(SERVED):
                batch = next(batches)
            yield batch

    def _drawing(self) -> Made:
        begun = time.perf_counter()
        made = super()._drawing()
        self.drawing = 1e3 * (time.perf_counter() - begun)
        return made


def ranged(made: Callable[[], list[Optimizer]]) -> list[Optimizer]:
    """A method's optimisers, each with a range around its step."""
    for one in (optimizers := made()):
        one.step = record_function(OPTIMISED)(one.step)  # type: ignore[method-assign]
    return optimizers


def divided(events: Sequence[Any], cost: float = 0) -> tuple[dict[str, float], int]:
    """Milliseconds of an epoch by column, each event's own time without that of those it calls, nor the `cost` in
    microseconds of keeping these; and how many operations are called from outside of another. AssertionError where
    that is not the whole epoch."""
    (whole,) = (e for e in events if e.name == WHOLE)
    spent = dict.fromkeys(COLUMNS, 0.0)
    seen, calls, todo = 0.0, 0, [(whole, PYTHON)]
    while todo:
        event, column = todo.pop()
        if event.name in (SERVED, OPTIMISED):
            column = event.name
        elif column not in (SERVED, OPTIMISED):
            operation = event.name.startswith("aten::")
            calls += operation and column == PYTHON
            column = kind(event.name) or (OTHER if operation and column == PYTHON else column)
        seen += event.self_cpu_time_total
        spent[column] += max(0.0, event.self_cpu_time_total - cost * len(event.cpu_children)) / 1e3
        todo += [(child, column) for child in event.cpu_children]
    assert abs(seen / whole.cpu_time_total - 1) < 1e-3, (spent, whole.cpu_time_total)
    strays = [e.name for e in events if e.cpu_parent is None and e is not whole]
    assert not strays, f"outside of the epoch, on another thread perhaps: {strays[:5]}"
    return spent, calls


def f_s() -> nn.Module:
    net = toy.network(1)
    net.load_state_dict(toy.source_state())
    return net


@cache
def inputs(names: tuple[str, ...]) -> dict[str, nn.Module]:
    return toy.inputs(next(c for c in cards().values() if c.inputs == names and not c.beside), cards())


def cell(name: str, rate: float, cost: float) -> dict[str, Any]:
    """The profile of one method's steps; `rate` in GFLOP/s, `cost` of an event in microseconds. Times in ms."""
    suite, card = load_suite("digits-mini"), cards()[name]
    recipe = getattr(suite.recipes[toy.BACKBONE], card.kind)  # synth or protect
    method = load(card, card.check(suite.tuned.get(name) or suite.synthesis.get(name) or {}, name))
    method.optimizers = partial(ranged, method.optimizers)
    supply = {"source": card.source, "target": card.target}
    domains = {"source": toy.domain(1, IMAGES), "target": toy.domain(2, IMAGES, faded=True)}
    served = {name: part for name, part in domains.items() if supply[name] in REAL}
    access = Watched(method, served, recipe, toy.CLASSES, toy.SIZE, 0, inputs(card.inputs), IMAGES)
    drawn = "generated" in supply.values()
    torch.manual_seed(0)
    loop = fit(method, f_s(), access, recipe.model_copy(update={"epochs": 1 + DRAWN + 2 * ROUNDS}))
    for _ in range(DRAWN if drawn else 1):  # later epochs draw no images
        next(loop)
    with FlopCounterMode(display=False) as counter:
        next(loop)
    plain, profiled = [], []
    for _ in range(ROUNDS):
        begun, cpu = time.perf_counter(), time.process_time()
        next(loop)
        plain.append((1e3 * (time.perf_counter() - begun), 1e3 * (time.process_time() - cpu)))
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as watch, record_function(WHOLE):
            next(loop)
        profiled.append(divided(watch.events(), cost))
    (wall, cpu), (spent, calls) = min(plain), min(profiled, key=lambda p: sum(p[0].values()))
    share = {column: 100 * took / sum(spent.values()) for column, took in spent.items()}
    assert abs(sum(round(percent) for percent in share.values()) - 100) <= len(share) / 2, share
    steps, gflop = access.steps_per_epoch, counter.get_total_flops() / 1e9 / access.steps_per_epoch
    return {
        "name": name, "ms": wall / steps, "cpu": cpu / steps, "profiled": sum(spent.values()) / steps, "share": share,
        "calls": calls / steps, "products": (share["convolutions"] + share["matrix products"]) * wall / steps / 100,
        "gflop": gflop, "floor": 1e3 * gflop / rate, "times": wall / steps / (1e3 * gflop / rate),
        "seconds": IMAGES // recipe.batch * round(recipe.epochs * card.share) * wall / steps / 1e3,
        "drawing": access.drawing if drawn else 0.0,
    }  # fmt: skip


def reached() -> float:
    """GFLOP/s of a large convolution in fp32, in the layout of our nets, forward."""
    shapes = ((32, 64, 32, 32), (64, 64, 3, 3))
    x, w = (torch.rand(shape).contiguous(memory_format=torch.channels_last) for shape in shapes)
    return 2 * 32 * 64 * 64 * 9 * 32**2 / 1e6 / timed(lambda: F.conv2d(x, w, padding=1), 8)


def costs() -> float:
    """Microseconds that the profiler takes for an event."""
    x = torch.zeros(1)
    plain = timed(lambda: [x.add_(1) for _ in range(2000)], 5)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as watch:
        watched = timed(lambda: [x.add_(1) for _ in range(2000)], 5)
    return max(0.0, watched - plain) * 1e3 * 6 / len(watch.events())  # the one that warms up is among them


def timed(work: Callable[[], Any], times: int) -> float:
    """ms of the fastest call, after one that warms up."""
    work()
    return min(1e3 * timeit(work, number=1) for _ in range(times))


def outside() -> dict[str, float]:
    """What a cell does beside its steps, ms: scoring as harness/scoring.py does it, and its checkpoint (with bytes)."""
    net, (images, _), draws = f_s(), toy.domain(3, 2000), np.random.default_rng(0)
    labels = [draws.integers(toy.CLASSES, size=n) for n in (200, 300)]
    # as sure of the class as a net that half knows the domain
    known, out = (2 * np.eye(toy.CLASSES)[y] + draws.normal(size=(len(y), toy.CLASSES)) for y in labels)
    mine = (known.argmax(1), labels[0], out.argmax(1), labels[1], toy.CLASSES)
    return {
        "logits of 2,000 images": timed(lambda: logits(net, images), 3),
        "`decoded`, 4 x (200, 300)": 4 * timed(lambda: metrics.decoded(known, labels[0], out, labels[1]), 3),
        "`matched`, 4 x (200, 300)": 4 * timed(lambda: metrics.matched(*mine), 3),
        f"checkpoint of {len(checkpoint(net)):,} bytes": timed(lambda: checkpoint(net), 3),
    }


def table(found: Sequence[dict[str, Any]], beside: dict[str, float], rate: float) -> str:
    """Markdown: what steps are spent on, how far above the floor they are, and what is outside them."""
    shares = [[one["name"], f"{one['ms']:.2f}", *(f"{one['share'][c]:.0f}" for c in COLUMNS)] for one in found]
    floors = [[one["name"], *(format(one[key], form) for key, form in FLOORS.values())] for one in found]
    rest = [[what, f"{ms:.1f}"] for what, ms in beside.items()]
    lines = [*rows(["%", "ms a step", *COLUMNS], shares), *rows(["", *FLOORS], floors), *rows(["outside", "ms"], rest)]
    on, busy = machine(), max(one["ms"] / one["cpu"] for one in found)
    where = f"{on['cpu']}, torch {on['torch']}, {on['threads']} thread, {on['date']}; floor at {rate:.0f} GFLOP/s;"
    return "\n".join([*lines, f"{where} wall time at most {busy:.2f} times CPU time."])


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [*(f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *body)), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=METHODS, metavar="NAME", choices=METHODS)
    parser.add_argument("--json", metavar="PATH", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rate, cost, found = reached(), costs(), []
    for name in asked.only:
        found.append(cell(name, rate, cost))
        print(f"{name}: {found[-1]['ms']:.2f} ms a step", file=sys.stderr, flush=True)
    said: Any = {"machine": machine(), "GFLOP/s": rate, "us an event": cost, "steps": found, "outside": outside()}
    if asked.json:
        asked.json.write_text(json.dumps(said, indent=1) + "\n")
    print(table(found, said["outside"], rate))


if __name__ == "__main__":
    main()
