"""R6: what validation counts, from logits to right answers by class: one bincount beside a loop over the images.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R6

992 images of ten classes, which is what the released loaders leave of 1,000; no net, only the counting.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from results import metrics
from tests.bench.clock import Benchmark, Sides
from tests.bench.epochs import identical
from tests.bench.published import Published
from tests.bench.steps import BATCH, CLASSES, done

IMAGES = 992


class Given(nn.Module):
    """A net that was asked before: its input is its logits."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits


def prepare(form: Published) -> Sides:
    drawn = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=drawn)
    logits = torch.randn(IMAGES, CLASSES, generator=drawn) + 2 * F.one_hot(labels, CLASSES)
    onehot = F.one_hot(labels, CLASSES)[:, None]
    batches = list(zip(logits.split(BATCH), onehot.split(BATCH), strict=True))
    net = Given()

    def ours() -> None:  # as harness/scoring.py goes from logits to a row
        confusion = metrics.confusion(labels.numpy(), logits.numpy().argmax(1), CLASSES)
        int(confusion.trace())
        metrics.balanced(confusion)

    matrix = metrics.confusion(labels.numpy(), logits.numpy().argmax(1), CLASSES)
    identical("validation", matrix, form.validate(batches, net, CLASSES))
    return Sides(ours, lambda: done(form.validate(batches, net, CLASSES)))


BENCHMARKS = [Benchmark("R6", f"right answers by class of {IMAGES} images", 10, prepare)]
