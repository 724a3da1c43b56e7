"""Neighbours: other pictures with the same labels, made without moving f_s; and the methods that leave them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from harness.training import Fitted, logits
from methods.base import Batch
from methods.cuti_source_only import CUTISourceOnly
from methods.df_map import DFMap
from methods.images import normalise
from methods.synthesis.neighbours import DiversityGenerator, Neighbourhood, SourceNeighbours, club_bound
from tests.bench.neighbours import both

Parts = dict[str, tuple[Tensor, Tensor]]
Train = Callable[..., Fitted]


class Draws:
    """A source generator that gives the real source images."""

    def __init__(self, source: tuple[Tensor, Tensor]) -> None:
        self.source = source

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.source[0][:count], self.source[1][:count]


def of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("levels", [1, 5])
def test_neighbours_are_other_pictures_with_the_same_labels(levels: int, parts: Parts) -> None:
    images, labels = parts["source"]
    kept = images.clone()
    near = Neighbourhood(levels, 32, 0.6)
    before = torch.get_rng_state()
    made, same = near.neighbours(images, labels, of(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(images, kept)
    assert torch.equal(same, labels)
    assert (made.dtype, made.shape) == (torch.uint8, images.shape)
    assert (made.float() - images.float()).abs().flatten(1).mean(1).min() > 5
    assert torch.equal(near.neighbours(images, labels, of(0))[0], made)
    assert not torch.equal(near.neighbours(images, labels, of(1))[0], made)  # fresh convolutions


def test_convolutions_by_fourier_transforms_are_convolutions() -> None:
    (wanted, _), (got, _) = both(3)
    assert len(got) == 10  # pictures, four scales and shifts, noise
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_mix_is_the_share_of_the_styled_picture(parts: Parts) -> None:
    images, labels = parts["source"]
    assert torch.equal(Neighbourhood(1, 32, 0.0).neighbours(images, labels, of(0))[0], images)


def test_small_pictures_do_without_the_large_kernels() -> None:
    assert Neighbourhood(1, 12, 0.6).levels[0].kernels == (5, 9)


def test_club_bound_is_its_formula() -> None:
    mean, logvar, z, other = torch.randn(4, 6, 3, generator=of(0), dtype=torch.float64).unbind()
    total = 0.0
    for i in range(6):
        for d in range(3):
            v = float(logvar[i, d].exp())
            total += (-((mean[i, d] - z[i, d]) ** 2) / v + (mean[i, d] - other[i, d]) ** 2 / v).item()
    assert float(club_bound(mean, logvar, z, other)) == pytest.approx(0.5 * total / 6, rel=1e-12)


def test_q_and_the_styles_learn_from_their_own_terms_alone(f_s: nn.Module, parts: Parts) -> None:
    """What q is pulled by does not depend on beta, what the styles are pulled by does; f_s is pulled by nothing."""
    images, labels = parts["source"]
    batch = Batch("x", DiversityGenerator.needs, {"x_s": normalise(images[:64]), "y_s": labels[:64]})
    pulls = []
    for beta in (0.0, 10.0):
        torch.manual_seed(0)
        maker = DiversityGenerator(DiversityGenerator.Params(beta=beta))
        maker.setup(f_s, SimpleNamespace(classes=10, image_size=32, generator=of(0), batch=64))  # type: ignore[arg-type]
        maker.step(batch)[0].backward()
        pulls.append([torch.cat([p.grad.flatten() for p in net.parameters()]) for net in (maker.q, maker.made.levels)])
    assert torch.equal(pulls[0][0], pulls[1][0])
    assert pulls[0][0].abs().sum() > 0
    assert not torch.allclose(pulls[0][1], pulls[1][1])
    assert all(p.grad is None for p in f_s.parameters())


def test_a_batch_without_two_of_a_class_is_no_error(f_s: nn.Module, parts: Parts) -> None:
    images, labels = parts["source"]
    rows = torch.stack([(labels == k).nonzero()[0, 0] for k in range(10)])
    batch = Batch("x", DiversityGenerator.needs, {"x_s": normalise(images[rows]), "y_s": labels[rows]})
    maker = DiversityGenerator()
    maker.setup(f_s, SimpleNamespace(classes=10, image_size=32, generator=of(0), batch=10))  # type: ignore[arg-type]
    loss, terms = maker.step(batch)
    loss.backward()
    assert float(terms["keep"]) == 0
    assert torch.isfinite(loss)


def test_a_bound_on_what_is_said_makes_the_neighbours_say_less(f_s: nn.Module, parts: Parts, train: Train) -> None:
    club = []
    for beta in (0.0, 1.0):
        maker = DiversityGenerator(DiversityGenerator.Params(beta=beta))
        draws = {"source-generator": Draws(parts["source"])}
        club.append(train(maker, f_s, draws, batch=64, epochs=8, lr=5e-3).curves["club"][-1])
    assert club[1] < club[0]


def test_source_neighbours_go_as_far_as_their_level_and_f_s_still_reads_them(
    f_s: nn.Module, parts: Parts, train: Train
) -> None:
    maker = SourceNeighbours(SourceNeighbours.Params(levels=2))
    assert maker.caps() == [0.1, 0.2]
    fitted = train(maker, f_s, batch=64, epochs=20)
    images, labels = parts["source"]
    right = []
    for net in (maker.blank(10, 32), fitted.model):
        made, meant = net.neighbours(images, labels, of(0))  # type: ignore[operator]
        right.append(float((logits(f_s, made).argmax(1) == meant).float().mean()))
    assert right[1] >= right[0]
    assert fitted.curves["label"][-1] < fitted.curves["label"][0]


def test_each_distance_learns_a_share_of_its_own(f_s: nn.Module, parts: Parts, train: Train) -> None:
    """The last bound is five times the first, and what is mixed in for it is more."""
    maker = SourceNeighbours(SourceNeighbours.Params(levels=5))
    fitted = train(maker, f_s, batch=64, epochs=20)
    shares = fitted.model.mix.sigmoid()  # type: ignore[operator, union-attr]
    assert maker.blank(10, 32).mix.sigmoid().tolist() == pytest.approx([0.3] * 5)
    assert shares[0] < shares[-1]
    assert shares[0] < 0.3


def test_the_share_of_the_diversity_generator_is_not_learned(f_s: nn.Module, parts: Parts, train: Train) -> None:
    maker = DiversityGenerator()
    fitted = train(maker, f_s, {"source-generator": Draws(parts["source"])}, batch=64, epochs=2)
    assert fitted.model.mix.sigmoid().tolist() == pytest.approx([maker.params.mix])  # type: ignore[operator, union-attr]


def test_df_map_leaves_the_neighbours_and_keeps_the_source(f_s: nn.Module, parts: Parts, train: Train) -> None:
    near = Neighbourhood(1, 32, 0.6)
    images, labels = parts["source"]
    made, meant = near.neighbours(images, labels, of(0))

    def right(model: nn.Module, x: Tensor, y: Tensor) -> float:
        return float((logits(model, x).argmax(1) == y).float().mean())

    before = right(f_s, made, meant)
    inputs = {"source-generator": Draws(parts["source"]), "diversity-generator": near}
    fitted = train(DFMap(), f_s, inputs, epochs=20)
    assert right(fitted.model, images, labels) > 0.85
    assert right(fitted.model, made, meant) < before / 2


def test_the_target_free_operator_of_cuti_knows_nothing_of_the_source() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(2, 4, 6, 5, 5).unbind()
    styled = []
    for half in (source, 3 * source + 1):
        torch.manual_seed(1)
        styled.append(CUTISourceOnly()._isolate(0, torch.cat([half, target])))
        assert torch.equal(styled[-1][:4], half)
    assert torch.equal(styled[0][4:], styled[1][4:])
    torch.manual_seed(1)
    gain, shift = torch.randn(2, 4, 6, 1, 1).unbind()
    maps = styled[0][4:]
    assert torch.allclose(maps.mean((2, 3)), shift[..., 0, 0], atol=1e-5)
    assert torch.allclose(maps.std((2, 3)), (1 + gain[..., 0, 0]).abs(), atol=1e-3)
