"""df-map's own params: neighbours in another look, those that count, and a source held some way towards them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.training import Fitted
from methods import MethodError
from methods.base import Access, Batch
from methods.df_map import DFMap
from methods.images import to_pixels
from suites import backbones

Parts = dict[str, tuple[Tensor, Tensor]]


class Drawn(nn.Module):
    """The toy source as if it had been generated."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.images, self.labels = parts["source"]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(self.images), (count,), generator=generator)
        return self.images[rows], self.labels[rows]


class Negatives(nn.Module):
    def neighbours(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return 255 - images, labels


class Watched(DFMap):
    """Keeps the batches that the mask is trained on, which neighbours were left, and what f_s says of both."""

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        self.batches: list[Batch] = []
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []  # left, read as meant, source outside

    def source_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        self.batches.append(batch)
        if self.left is not None:
            read = self.f_s(batch.x_t).argmax(1) == batch.y_s
            self.kept.append((self.left, read, self._distance(self._seen(batch.x_s)[1]) > self.edge))
        return super().source_loss(logits, batch)


@pytest.fixture
def served(f_s: nn.Module, parts: Parts, train: Callable[..., Fitted]) -> Callable[..., Watched]:
    def run(**params: Any) -> Watched:
        method = Watched(Watched.Params(**params))
        train(method, f_s, {"source-generator": Drawn(parts), "diversity-generator": Negatives()}, epochs=1)
        return method

    return run


def test_as_described_the_neighbours_are_those_it_is_served(served: Callable[..., Watched]) -> None:
    method = served()
    batch = method.batches[0]
    x_t = to_pixels(batch.x_t)
    assert float((x_t[..., 0, 0] - to_pixels(batch.x_s)[..., 0, 0]).abs().mean()) > 0.1  # negatives, of other rows
    assert method.left is None


def test_a_look_takes_its_place_with_the_picture_s_own_label(served: Callable[..., Watched]) -> None:
    batch = served(ink=1.0).batches[0]
    x_s, x_t = to_pixels(batch.x_s), to_pixels(batch.x_t)
    assert torch.equal(batch.y_t, batch.y_s)
    assert float((x_t[:, 0] - x_t[:, 1]).abs().max()) < 1e-5
    a, b = (x.mean(1).flatten(1) for x in (x_s, x_t))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    alike = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    assert float(alike.mean()) > 0.6  # the same shapes


def test_shares_are_shares(served: Callable[..., Watched]) -> None:
    method = served(colour=3.0, ink=1.0)
    x = torch.cat([to_pixels(b.x_t) for b in method.batches])
    grey = ((x[:, 0] - x[:, 1]).abs().amax((1, 2)) < 1e-5).float().mean()
    assert 0.15 < float(grey) < 0.35


def test_with_far_only_what_f_s_reads_and_what_lies_outside_is_left(served: Callable[..., Watched]) -> None:
    method = served(colour=1.0, bold=1.0, far=0.9, guard=0.9)
    assert len(method.kept) == len(method.batches) > 0
    for batch, (left, read, _) in zip(method.batches, method.kept, strict=True):
        assert torch.equal(batch.y_t[left], batch.y_s[left])
        assert (batch.y_t[~left] == -100).all()
        assert read[left].all()
    left, read, outside = (torch.cat(said).float().mean() for said in zip(*method.kept, strict=True))
    assert 0 < left < read  # some that f_s reads lie inside
    assert 0.02 < outside < 0.25  # of the source's own pictures a tenth, by definition


def test_the_logged_term_and_the_gain_are_means_over_those_left(served: Callable[..., Watched]) -> None:
    method = served(colour=1.0, far=0.9, cap="sample", lam=1.0, alpha=5.0)
    batch = method.batches[-1]
    _, terms = method.step(batch)
    left = method.left
    assert left is not None and 0 < int(left.sum()) < len(left)
    target = torch.arange(len(left), dtype=torch.float32)
    assert float(method.target_gain(target)) == pytest.approx(float(target[left].clamp_max(5).mean()))
    masked = {n: w * (method.scores[n] > 0) for n, w in method.weights.items()}
    used = method.batches[-1]
    logits = torch.func.functional_call(method.model, masked, (used.x_t,))
    wanted = nn.functional.cross_entropy(logits, used.y_t)  # of those with a label
    assert float(terms["target_ce"]) == pytest.approx(float(wanted.detach()), rel=1e-3)
    method.left = torch.zeros_like(left)
    assert float(method.target_gain(target)) == 0


def test_guard_moves_half_of_the_source_some_way(served: Callable[..., Watched], parts: Parts) -> None:
    plain, guarded = served(bold=1.0), served(bold=1.0, guard=0.5)

    def grey(method: Watched) -> float:
        x = torch.cat([to_pixels(b.x_s) for b in method.batches])
        return float((x[:, 0] - x[:, 1]).abs().mean())

    assert (
        0.8 < grey(guarded) / grey(plain) < 0.95
    )  # a quarter of the way for half of them: seven eighths of the colour


def test_what_is_undefined_says_so(train: Callable[..., Fitted], parts: Parts) -> None:
    inputs = {"source-generator": Drawn(parts), "diversity-generator": Negatives()}
    with pytest.raises(MethodError, match="undefined on a backbone without BatchNorm"):
        train(DFMap(DFMap.Params(far=0.9)), backbones.build("vgg11", 10, 32, 0), inputs, epochs=1)
