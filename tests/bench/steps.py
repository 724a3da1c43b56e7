"""R2, R7, R8: one training step of NTL beside the published one, and what our own steps cost beside a plain one.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R2 R7 R8

R2  NTL's step on a quarter-width VGG11 at 32 px: the published MMD, two passes, torch's default Adam
R7  SA-MAP's masked step over a supervised step on the same 2B images, VGG11 at full width: what masks cost
R8  NTL's step over a supervised step on B images: two batches are to be paid, so 2 is what it cannot go below

Nets are in train mode, dropout off: the two sides draw from it in another order.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from harness import toy
from harness.access import DataAccess
from harness.training import schedule
from methods.base import Batch, Method
from methods.controls.continue_ import Continue
from methods.ntl import NTL
from methods.sa_map import SAMap
from suites import backbones
from suites.backbones.card import named
from suites.backbones.vgg import CONVS, WIDE
from suites.schema import Recipe
from tests.bench import published
from tests.bench.clock import Benchmark, Sides, agree
from tests.bench.published import Published

BATCH, SIZE, CLASSES = 32, toy.SIZE, toy.CLASSES
# NTL's and CUTI's released recipe on digits (baselines.md A5)
RECIPE = Recipe.model_validate(
    {"optimizer": "adam", "lr": 1e-4, "batch": BATCH, "epochs": 1, "schedule": "exponential"}
)
EXACT = 1e-6  # of a loss, relative


def vgg11(part: int) -> nn.Sequential:
    """VGG11 at 32 px with one `part`-th of its channels, as suites/backbones/vgg.py shapes it; dropout off. He's
    initialisation, for with torch's own the signal dies on its way through eight convolutions."""
    layers: list[nn.Module] = []
    before, head = 3, 256 // part
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for count, wide in zip(CONVS["vgg11"], WIDE, strict=True):
            for _ in range(count):
                conv = nn.Conv2d(before, wide // part, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                layers += [conv, nn.ReLU(inplace=True)]
                before = wide // part
            layers.append(nn.MaxPool2d(2))
        classifier = nn.Sequential(
            nn.Linear(before, head), nn.ReLU(inplace=True), nn.Dropout(0.0),
            nn.Linear(head, head), nn.ReLU(inplace=True), nn.Dropout(0.0), nn.Linear(head, CLASSES),
        )  # fmt: skip
    net = nn.Sequential()
    net.add_module("features", nn.Sequential(*layers))
    net.add_module("flatten", nn.Flatten())
    net.add_module("classifier", classifier)
    pools = tuple(f"features.{i}" for i, m in enumerate(layers) if isinstance(m, nn.MaxPool2d))
    return named(net, pools, f"features.{published.EARLY - 1}", "classifier.4").to(  # type: ignore[return-value]
        memory_format=torch.channels_last  # as backbones.build gives it
    )


def whole() -> nn.Module:
    """The product's own VGG11, dropout off."""
    net = backbones.build("vgg11", CLASSES, SIZE, seed=0)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net


def theirs(form: Published, net: nn.Module, method: str) -> nn.Module:
    """The net as the published step takes it: the same weights, in torch's default layout."""
    features, head = (copy.deepcopy(m).to(memory_format=torch.contiguous_format) for m in (net[0], net[2]))  # type: ignore[index]
    return form.net(features, head, method).train()


def parts(images: int) -> dict[str, tuple[Tensor, Tensor]]:
    return {"source": toy.domain(1, images), "target": toy.domain(2, images, faded=True)}


class Trained:
    """A method set up on a net, and a step of it as harness/training.py takes one."""

    def __init__(self, method: Method, net: nn.Module, images: int = 4 * BATCH) -> None:
        held = parts(images)
        served = held if method.needs.target != "none" else {"source": held["source"]}
        access = DataAccess(method, served, RECIPE, CLASSES, SIZE, seed=0)
        self.method = method
        net.train()
        method.setup(net, access)
        self.optimizers = method.optimizers()
        self.schedulers = [LambdaLR(o, schedule(RECIPE.schedule, access.steps_per_epoch)) for o in self.optimizers]
        self.batches = list(access.epoch())

    def step(self, batch: Batch) -> Tensor:
        """The loss it had."""
        loss = train(self.method, self.optimizers, batch)
        for scheduler in self.schedulers:
            scheduler.step()
        return loss


def train(method: Method, optimizers: Sequence[Optimizer], batch: Batch) -> Tensor:
    """One step without the loop around it; the loss it had."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss, _ = method.step(batch)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    return loss.detach()


def double(batch: Batch) -> Batch:
    """For a float64 net. In float32 one of two million activations lies within rounding of ReLU's corner at every other
    step; the gradient then takes the other side, and Adam makes 5e-6 of the loss of it. So more than one step is only
    compared in float64."""
    return batch.replaced(x_s=batch.x_s.double(), x_t=batch.x_t.double())


def plain(batch: Batch) -> list[Tensor]:
    """A batch as the published step takes it: (x_s, y_s, x_t, y_t), one-hot, in torch's default layout."""
    images = (batch.x_s.contiguous(), batch.x_t.contiguous())
    labels = (F.one_hot(batch.y_s, CLASSES), F.one_hot(batch.y_t, CLASSES))
    return [part for pair in zip(images, labels, strict=True) for part in pair]


def ntl_step(form: Published) -> Sides:
    net = vgg11(4)
    exact, other = (theirs(form, copy.deepcopy(net), "ntl") for _ in range(2))
    checked = Trained(NTL(), copy.deepcopy(net).double())
    optimizer = published.optimizers(exact.double(), RECIPE.lr)
    for i, batch in enumerate(map(double, checked.batches)):
        loss = published.step(form.ntl, exact, optimizer, plain(batch))
        agree(f"NTL's loss at step {i}", float(checked.step(batch)), float(loss), EXACT)
    ours, optimizer = Trained(NTL(), net), published.optimizers(other, RECIPE.lr)
    batch, same = ours.batches[0], plain(ours.batches[0])
    loss = published.step(form.ntl, other, optimizer, same)
    agree("NTL's loss in float32", float(ours.step(batch)), float(loss), EXACT)
    return Sides(lambda: done(ours.step(batch)), lambda: done(published.step(form.ntl, other, optimizer, same)))


def done(outcome: object) -> None:
    """A side that keeps no clock of its own returns nothing."""


class Joint(Continue):
    """The supervised step on both batches: as many images as a method that sees both domains has."""

    needs = NTL.needs

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss = F.cross_entropy(self.model(batch.joint), torch.cat([batch.y_s, batch.y_t]))
        return loss, {}


def masked(form: Published) -> Sides:
    net = whole()
    ours, supervised = Trained(SAMap(), copy.deepcopy(net)), Trained(Joint(), net)
    batch = ours.batches[0]
    with torch.no_grad():  # all masks are 1 before the first step, so it is the plain net's own loss
        logits, p = net(batch.joint), ours.method.params
        source, target = (F.cross_entropy(*s) for s in zip(logits.chunk(2), (batch.y_s, batch.y_t), strict=True))
        wanted = source - (p.lam * target).clamp_max(p.alpha)
        agree("SA-MAP's first loss", float(ours.method.step(batch)[0]), float(wanted), EXACT)
    return Sides(lambda: done(ours.step(batch)), lambda: done(supervised.step(batch)))


def two_batches(form: Published) -> Sides:
    net = whole()
    ours, supervised = Trained(NTL(), copy.deepcopy(net)), Trained(Continue(), net)
    batch = ours.batches[0]
    alone = float(supervised.method.step(batch)[0].detach())
    source = float(ours.method.step(batch)[1]["source"])
    agree("NTL's source term, by the classes it is divided by", CLASSES * source, alone, EXACT)
    return Sides(lambda: done(ours.step(batch)), lambda: done(supervised.step(batch)))


BENCHMARKS = [
    Benchmark("R2", "NTL step, VGG11 at 32 px, width 1/4, B=32+32", 2.5, ntl_step),
    Benchmark(
        "R7", "SA-MAP's masked step over a supervised one on the same 64 images, VGG11 at 32 px", 1.15, masked, True,
        against="our supervised step",
    ),
    Benchmark(
        "R8", "NTL step (32+32 images) over a supervised one (32), VGG11 at 32 px", 2.6, two_batches, True,
        against="our supervised step",
    ),
]  # fmt: skip
