"""The source-free methods: labels are f_s's answers asked once, images are generated, and the losses are unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.training import Fitted, logits
from methods.base import Batch
from methods.cuti_source_free import CUTISourceFree
from methods.images import normalise
from methods.losses import kl
from methods.ntl_source_free import NTLSourceFree
from methods.pseudo import predicted
from methods.sf_map import STEER, SFMap
from suites import backbones

Parts = dict[str, tuple[Tensor, Tensor]]
Train = Callable[..., Fitted]


class Draws:
    """A generator that gives the real source images: what is tested is what the method makes of them."""

    def __init__(self, source: tuple[Tensor, Tensor]) -> None:
        self.source, self.asked = source, 0

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self.source[0][:count], self.source[1][:count]


def test_predicted_is_the_models_answer_in_eval_mode_and_puts_its_mode_back(f_s: nn.Module, parts: Parts) -> None:
    f_s.train()
    before = {k: v.clone() for k, v in f_s.state_dict().items()}
    labels = predicted(f_s, normalise(parts["target"][0]))
    assert f_s.training
    assert all(torch.equal(v, before[k]) for k, v in f_s.state_dict().items())  # BatchNorm's statistics too
    assert torch.equal(labels, logits(f_s, parts["target"][0]).argmax(1))


def test_an_answer_below_the_confidence_is_no_label_and_asks_for_nothing(
    f_s: nn.Module, parts: Parts, train: Train
) -> None:
    said = logits(f_s, parts["target"][0])
    sure = said.softmax(1).amax(1)
    level = float(sure.median())
    labels = predicted(f_s, normalise(parts["target"][0]), level)
    assert torch.equal(labels, said.argmax(1).where(sure >= level, -100))
    assert 0 < int((labels == -100).sum()) < len(labels)
    asked = kl(said[:4], torch.tensor([3, -100, 3, -100]))
    assert asked[[1, 3]].tolist() == [0, 0]
    assert asked[[0, 2]].min() > 0
    draws = {"source-generator": Draws(parts["source"])}
    assert max(train(SFMap(SFMap.Params(confidence=1.1)), f_s, draws, epochs=1).curves["target_ce"]) == 0


@pytest.mark.parametrize("method", [SFMap, NTLSourceFree, CUTISourceFree], ids=lambda m: m.name)
def test_the_loss_sees_f_s_s_first_answers_and_never_the_targets_labels(
    method: Any, f_s: nn.Module, parts: Parts, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        f_s.classifier.bias[3] += 4  # this f_s errs, so that its answers and the truth can be told apart
    answers = logits(f_s, parts["target"][0]).argmax(1)
    assert not torch.equal(answers, parts["target"][1])
    seen: list[tuple[Tensor, Tensor]] = []
    loss = method.__mro__[2].step  # the method without the scenario

    def look(self: Any, batch: Batch) -> Any:
        seen.append((batch.rows_t, batch.y_t))
        return loss(self, batch)

    monkeypatch.setattr(method.__mro__[2], "step", look)
    draws = Draws(parts["source"])
    train(method(), f_s, {"source-generator": draws}, epochs=3)
    assert draws.asked == 3  # once an epoch
    assert len(seen) == 24
    for rows, labels in seen:
        assert torch.equal(labels, answers[rows])


def test_distillation_holds_f_t_to_f_s_s_logits_on_generated_images(f_s: nn.Module, parts: Parts, train: Train) -> None:
    before = logits(f_s, parts["source"][0])
    moved = []
    for weight in (0.0, 10.0):
        twin = backbones.build("convnet", 10, 32, 1)
        twin.load_state_dict(f_s.state_dict())
        draws = {"source-generator": Draws(parts["source"])}
        fitted = train(SFMap(SFMap.Params(distill=weight)), twin, draws, epochs=8)
        moved.append(float((logits(fitted.model, parts["source"][0]) - before).square().mean()))
    assert moved[1] < moved[0] / 4


def test_hold_takes_off_where_a_lambda_as_small_does_not(f_s: nn.Module, parts: Parts, train: Train) -> None:
    ended = {}
    for hold in (0.0, 2.0):
        twin = backbones.build("convnet", 10, 32, 1)
        twin.load_state_dict(f_s.state_dict())
        method = SFMap(SFMap.Params(lam=0.001, alpha=0.004, cap="sample", distill=1.0, hold=hold))
        fitted = train(method, twin, {"source-generator": Draws(parts["source"])}, epochs=40)
        ended[hold] = fitted.curves["target_ce"][-1]
    assert ended[0.0] < 1
    assert ended[2.0] > 2


def test_hold_is_its_formula() -> None:
    """lambda times the mean capped CE; lambda grows while that is under `hold` nats, stays on it, shrinks above it."""
    method = SFMap(SFMap.Params(lam=0.1, alpha=0.4, hold=2.0))  # capped at 4 nats
    method.pull = torch.tensor(0.1)
    for nats, capped in (([1.0, 1.0], 1.0), ([1.0, 9.0], 2.5), ([2.0, 2.0], 2.0)):
        before = float(method.pull)
        gain = float(method.target_gain(torch.tensor(nats)))
        assert float(method.pull) == pytest.approx(before * math.exp(STEER * (1 - capped / 2)))
        assert gain == pytest.approx(float(method.pull) * capped)


class Watched(SFMap):
    """Keeps the source images that the mask is trained on."""

    kept: list[Tensor]

    def source_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        self.kept.append(batch.x_s)
        return super().source_loss(logits, batch)


def test_guard_moves_half_of_the_source_some_way_to_the_target(f_s: nn.Module, parts: Parts, train: Train) -> None:
    there = {name: normalise(images) for name, (images, _) in parts.items()}
    apart = there["target"].mean() - there["source"].mean()
    for guard in (0.0, 0.8):
        method = Watched(Watched.Params(guard=guard))
        method.kept = []
        train(method, f_s, {"source-generator": Draws(parts["source"])}, epochs=4)
        way = (torch.cat(method.kept).mean() - there["source"].mean()) / apart
        assert float(way) == pytest.approx(guard / 4, abs=0.06)  # half of them, by half of it on average
    x_s, x_t = torch.zeros(400, 3, 2, 2), torch.ones(400, 3, 2, 2)
    moved = method.guarded(x_s, x_t)
    assert torch.equal(moved, moved[:, :1, :1, :1].expand_as(moved))  # each picture all over by the same
    assert 150 < int((moved[:, 0, 0, 0] == 0).sum()) < 250
    assert 0.7 < float(moved.max()) <= 0.8


def test_sf_map_takes_the_target_and_spares_the_source(f_s: nn.Module, parts: Parts, train: Train) -> None:
    def accuracy(model: nn.Module, name: str) -> float:
        return float((logits(model, parts[name][0]).argmax(1) == parts[name][1]).float().mean())

    before = accuracy(f_s, "target")
    fitted = train(SFMap(), f_s, {"source-generator": Draws(parts["source"])}, epochs=20)
    assert accuracy(fitted.model, "source") > 0.85
    assert accuracy(fitted.model, "target") < before / 2
