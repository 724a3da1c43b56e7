"""R3, R4, R5: the way of the images into a net, and whole mini-epochs of NTL and CUTI with their validation.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R3 R4 R5

R3  images of 32 px enlarged to 64, from the cache, beside PIL's chain over each; bit-identical (tests/bench/data.py)
R4  10 steps of NTL on 32+32 images at 32 px and validation on 2 x 320, VGG11 of an eighth of the width
R5  the same of CUTI, its even steps: the odd ones are undefined at 32 px, where VGG's last map is a single pixel

Ours is what a cell does: `fit`, which is served by `DataAccess`, then `logits` and the confusion matrices. Theirs is a
loop over a DataLoader. Both have the same images in the same order, the same weights, dropout off. What a cell sets up
is in our time; the loaders and the optimiser of theirs are made before its clock starts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import toy
from harness.access import DataAccess
from harness.training import Fitted, fit, logits
from methods.base import Batch, Method
from methods.controls.continue_ import Continue
from methods.cuti import CUTI
from methods.ntl import NTL
from results import metrics
from tests.bench import data, published
from tests.bench.clock import Benchmark, Sides, agree
from tests.bench.published import Labelled, Published, Tally
from tests.bench.steps import BATCH, CLASSES, EXACT, RECIPE, SIZE, done, double, parts, theirs, vgg11

STEPS, VALIDATED = 10, 320
# until the net knows two thirds of both domains: at chance, or where all is right, equal counts would say little
LEARN = RECIPE.model_copy(update={"lr": 1e-3, "epochs": 2, "schedule": "linear"})
VALIDATION = [toy.domain(3, VALIDATED), toy.domain(4, VALIDATED, faded=True)]


class Even(CUTI):
    """CUTI without its odd steps."""

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.odd = False
        return super().step(batch)


def served(method: Method) -> DataAccess:
    return DataAccess(method, parts(STEPS * BATCH), RECIPE, CLASSES, SIZE, seed=0)


def ours(method: Method, net: nn.Module) -> list[np.ndarray]:
    """An epoch of a cell and its scoring: the confusion matrices of source and target."""
    *_, fitted = fit(method, net, served(method), RECIPE)
    assert isinstance(fitted, Fitted)
    return counted(fitted.model)


def counted(net: nn.Module) -> list[np.ndarray]:
    answers = ((logits(net, images).numpy().argmax(1), labels) for images, labels in VALIDATION)
    return [metrics.confusion(labels.numpy(), answer, CLASSES) for answer, labels in answers]


def labelled(images: Tensor, labels: Tensor) -> Labelled:
    """As the released loaders hold a domain: images (n,S,S,3), one-hot labels."""
    return images.permute(0, 2, 3, 1).contiguous().numpy(), F.one_hot(labels, CLASSES).numpy()


@cache
def learned() -> nn.Sequential:
    """The net that both sides begin with, trained on both domains by turns. Copy it."""
    net = vgg11(8)
    for x, y in parts(STEPS * BATCH).values():
        for _ in fit(Continue(), net, DataAccess(Continue(), {"source": (x, y)}, LEARN, CLASSES, SIZE, 0), LEARN):
            pass
    for matrix in counted(net):
        assert 0.2 < metrics.balanced(matrix) < 1, f"the net to begin with knows {metrics.balanced(matrix):.0%}"
    return net.train()


class Theirs:
    """The loaders, the net and the optimiser of a published script, and its epoch."""

    def __init__(self, form: Published, loss: published.Loss, net: nn.Module, method: str) -> None:
        orders = list(served(NTL()).epoch())  # the same draw as ours
        held = parts(STEPS * BATCH)
        pair = []
        for domain in ("source", "target"):
            rows = torch.cat([batch.rows_s if domain == "source" else batch.rows_t for batch in orders])
            pair.append(labelled(*(part[rows] for part in held[domain])))
        self.form, self.loss, self.net = form, loss, theirs(form, net, method)
        self.train = published.served(form.paired(pair[0], pair[1], SIZE), BATCH)
        self.val = [published.served(form.single(labelled(*part), SIZE), BATCH) for part in VALIDATION]
        self.optimizer = published.optimizers(self.net, RECIPE.lr)

    def epoch(self) -> tuple[list[float], list[Tally]]:
        losses = published.epoch(self.loss, self.net, self.optimizer, self.train)
        return losses, [self.form.validate(loader, self.net, CLASSES) for loader in self.val]


def compare(method: Callable[[], Method], form: Published, loss: published.Loss, name: str) -> Sides:
    """Losses of all steps in float64 (see `steps.double`), counts of what came of them; then float32 is timed."""
    net = copy.deepcopy(learned())
    exact, watched, losses = copy.deepcopy(net).double(), method(), []
    stepped = watched.step

    def step(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        outcome = stepped(double(batch))
        losses.append(float(outcome[0].detach()))
        return outcome

    watched.step = step  # type: ignore[method-assign]
    *_, fitted = fit(watched, exact, served(watched), RECIPE)
    assert isinstance(fitted, Fitted)
    other = Theirs(form, loss, net, name)
    other.net.double()
    other.train.collate_fn = lambda rows: [  # type: ignore[assignment]
        part.double() if part.is_floating_point() else part for part in torch.utils.data.default_collate(rows)
    ]
    wanted = published.epoch(loss, other.net, published.optimizers(other.net, RECIPE.lr), other.train)
    assert len(losses) == len(wanted) == STEPS
    for i, (loss_of_ours, loss_of_theirs) in enumerate(zip(losses, wanted, strict=True)):
        agree(f"{name}: loss at step {i}", loss_of_ours, loss_of_theirs, EXACT)
    other.net.float()
    tallies = [form.validate(loader, other.net, CLASSES) for loader in other.val]
    for matrix, tally in zip(counted(fitted.model.float()), tallies, strict=True):
        identical(name, matrix, tally)

    timed, mine = Theirs(form, loss, net, name), method()
    return Sides(lambda: done(ours(mine, net)), lambda: done(timed.epoch()))


def identical(what: str, matrix: np.ndarray, tally: Tally) -> None:
    """Raises Unequal unless a confusion matrix says what a tally does."""
    agree(f"{what}: images", int(matrix.sum()), tally.total)
    agree(f"{what}: right answers", int(matrix.trace()), tally.correct)
    for k, (right, seen) in enumerate(zip(tally.right, tally.seen, strict=True)):
        agree(f"{what}: images of class {k}", int(matrix[k].sum()), seen)
        agree(f"{what}: right answers of class {k}", int(matrix[k, k]), right)


def chain(form: Published) -> Sides:
    return Sides(*data.sides(32, 64, form.transform(64)))


BENCHMARKS = [
    Benchmark("R3", "images of 32 px into batches of 64 px", data.FLOOR, chain),
    Benchmark(
        "R4", "NTL mini-epoch with validation, VGG11 at 32 px, width 1/8", 4.0,
        lambda form: compare(NTL, form, form.ntl, "ntl"), rounds=5,
    ),
    Benchmark(
        "R5", "CUTI mini-epoch of even steps with validation, VGG11 at 32 px, width 1/8", 1.6,
        lambda form: compare(Even, form, form.cuti, "cuti"), rounds=5,
    ),
]  # fmt: skip
