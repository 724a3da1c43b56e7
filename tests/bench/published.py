"""The plain published form of NTL and CUTI: what the ratios stand against where no checkout of theirs is at hand.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R1

Written by us from the formulas and from what the released code is known to do: every n x n x D difference of the
MMD written out, two passes where NTL has two, KLDivLoss's division by batch x classes, caps that read the loss off
the device, images through PIL one by one each time they are served, validation with a graph, counted image by image.
No line of theirs is here. `--peer DIR` puts a checkout in its place, part by part (peers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

ALPHA = BETA = 0.1  # scales of the target KL and of the MMD, as released
EARLY = 10  # NTL's MMD is taken behind so many of VGG's layers


class Net(nn.Module):
    """A VGG that is called with one batch, or with a source and a target batch."""

    def __init__(self, features: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))

    def apart(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the early features that NTL compares."""
        early = self.features[:EARLY](x)
        return self.head(self.features[EARLY:](early).flatten(1)), early


class Paired(Dataset):
    """A source and a target image an item, each with its one-hot label, in a given order."""

    def __init__(self, source: Labelled, target: Labelled, transform: Callable[[np.ndarray], Tensor]) -> None:
        self.parts, self.transform = (source, target), transform

    def __len__(self) -> int:
        return len(self.parts[0][0])

    def __getitem__(self, i: int) -> tuple[Tensor, ...]:
        return tuple(
            made for images, labels in self.parts for made in (self.transform(images[i]), torch.LongTensor(labels[i]))
        )


class Single(Dataset):
    """An image an item, and its one-hot label in a row of its own."""

    def __init__(self, part: Labelled, transform: Callable[[np.ndarray], Tensor]) -> None:
        self.part, self.transform = part, transform

    def __len__(self) -> int:
        return len(self.part[0])

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.part[0][i]), torch.LongTensor(self.part[1][i][None])


Labelled = tuple[np.ndarray, np.ndarray]  # uint8 images (n,S,S,3), one-hot labels (n,K)


@dataclass(frozen=True)
class Tally:
    """What validation counts; by class where the form tells."""

    correct: int
    total: int
    right: Sequence[int] = ()
    seen: Sequence[int] = ()


class Published:
    """The parts that a benchmark is put together from. A peer's checkout replaces those that it has."""

    name = "published form"
    covers: frozenset[str] | None = None  # the ids that a peer has code for; None: all

    def mmd(self, x: Tensor, y: Tensor) -> Tensor:
        """Biased MMD^2 under five kernels, bandwidth from the batch (no gradient), as losses.mmd says it."""
        z = torch.cat([x, y])
        n, half = len(z), len(x)
        d = (z[None, :, :] - z[:, None, :]).square().sum(2)
        width = d.detach().sum() / (n * n - n) / 4
        kernels = sum(torch.exp(-d / (width * 2**i)) for i in range(5))
        assert isinstance(kernels, Tensor)
        same = kernels[:half, :half] + kernels[half:, half:]
        return (same - kernels[:half, half:] - kernels[half:, :half]).mean()

    def net(self, features: nn.Sequential, head: nn.Module, method: str) -> nn.Module:
        """The net that their step is called with, from our layers."""
        return Net(features, head)

    def both(self, net: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """NTL's forward: logits of both and the early features of both, in two passes."""
        (out_s, early_s), (out_t, early_t) = net.apart(x_s), net.apart(x_t)  # type: ignore[operator]
        return out_s, out_t, early_s, early_t

    def even(self, net: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        """CUTI's forward on even steps: one pass of the convolutions, the head twice."""
        maps_s, maps_t = net.features(torch.cat([x_s, x_t])).chunk(2)  # type: ignore[operator]
        return net.head(maps_s.flatten(1)), net.head(maps_t.flatten(1))  # type: ignore[operator]

    def transform(self, size: int) -> Callable[[np.ndarray], Tensor]:
        """What an image goes through each time that it is served."""
        from tests.bench.data import published as chain  # wants packages that the steps do without

        return chain(size)

    def paired(self, source: Labelled, target: Labelled, size: int) -> Dataset:
        return Paired(source, target, self.transform(size))

    def single(self, part: Labelled, size: int) -> Dataset:
        return Single(part, self.transform(size))

    def validate(self, batches: Iterable[tuple[Tensor, Tensor]], net: nn.Module, classes: int) -> Tally:
        """With a graph, and counting in Python: per image, by class."""
        net.eval()
        correct = total = 0
        right, seen = [0] * classes, [0] * classes
        for images, labels in batches:
            answers = net(images).argmax(1)
            true = labels[:, 0].argmax(1)
            correct += int((answers == true).sum())
            total += len(true)
            for i in range(len(true)):
                seen[true[i]] += 1
                if answers[i] == true[i]:
                    right[true[i]] += 1
        net.train()
        return Tally(correct, total, right, seen)

    # -- what the steps are, around those parts; the released scripts have them inline, so no peer replaces them

    def ntl(self, net: nn.Module, x_s: Tensor, y_s: Tensor, x_t: Tensor, y_t: Tensor) -> Tensor:
        """NTL's loss; one-hot labels."""
        out_s, out_t, early_s, early_t = self.both(net, x_s, x_t)
        source, target = divergence(out_s, y_s), ALPHA * divergence(out_t, y_t)
        far = BETA * self.mmd(early_s.flatten(1), early_t.flatten(1))
        if target > 1:
            target = target.clamp(0, 1)
        if far > 1:
            far = far.clamp(0, 1)
        return source - target * far

    def cuti(self, net: nn.Module, x_s: Tensor, y_s: Tensor, x_t: Tensor, y_t: Tensor) -> Tensor:
        """CUTI's loss on an even step; one-hot labels."""
        out_s, out_t = self.even(net, x_s, x_t)
        source, target = divergence(out_s, y_s), ALPHA * divergence(out_t, y_t)
        if target > 1:
            target = target.clamp(0, 1)
        return source - target


Loss = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor]


def divergence(logits: Tensor, onehot: Tensor) -> Tensor:
    """nn.KLDivLoss() of its old default: the sum over batch and classes, by their number."""
    return F.kl_div(F.log_softmax(logits, 1), onehot, reduction="none").mean()


def optimizers(net: nn.Module, lr: float) -> tuple[Optimizer, LambdaLR]:
    """As released: Adam by torch's defaults, 0.999 a step."""
    optimizer = Adam(net.parameters(), lr=lr)
    return optimizer, LambdaLR(optimizer, lambda k: 0.999**k)


def step(loss: Loss, net: nn.Module, trained: tuple[Optimizer, LambdaLR], batch: Sequence[Tensor]) -> Tensor:
    """One training step on (x_s, y_s, x_t, y_t); the loss it had."""
    x_s, y_s, x_t, y_t = batch
    value = loss(net, x_s, y_s.float(), x_t, y_t.float())
    value.backward()
    trained[0].step()
    trained[0].zero_grad()
    trained[1].step()
    return value.detach()


def epoch(loss: Loss, net: nn.Module, trained: tuple[Optimizer, LambdaLR], batches: DataLoader) -> list[float]:
    """The losses of an epoch, one a step."""
    net.train()
    return [float(step(loss, net, trained, batch)) for batch in batches]


def served(dataset: Dataset, batch: int) -> DataLoader:
    """Without workers, which would cost more still (performance.md 4); in the dataset's own order, so that both sides
    have the same batches."""
    return DataLoader(dataset, batch_size=batch, drop_last=True, num_workers=0)
