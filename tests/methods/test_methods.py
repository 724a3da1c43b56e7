"""What each method promises, seen through the real training loop on two toy domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load as parse
from torch import Tensor, nn

from harness import toy
from harness.access import DataAccess
from harness.cards import cards, load
from harness.checkpoints import checkpoint
from harness.training import Fitted, logits
from methods.base import Batch, Needs
from methods.controls.gate import Gate, Gated
from methods.cuti import CUTI
from methods.images import normalise
from methods.ntl import NTL
from methods.sa_map import Masked, SAMap
from suites import backbones
from tests.methods.conftest import pruned, thinned

Parts = dict[str, tuple[Tensor, Tensor]]
Train = Callable[..., Fitted]


def accuracy(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    return float((logits(model, part[0]).argmax(1) == part[1]).float().mean())


def test_toy_source_model_knows_both_domains(f_s: nn.Module, parts: Parts) -> None:
    """Otherwise the tests below would show nothing."""
    assert accuracy(f_s, parts["source"]) > 0.95
    assert accuracy(f_s, parts["target"]) > 0.8


@pytest.mark.parametrize("name", sorted(name for name, card in cards().items() if card.kind == "protect"))
def test_every_method_returns_a_plain_finite_network(name: str, f_s: nn.Module, train: Train) -> None:
    known = cards()
    card = known[name]
    inputs = {n: load(known[n], known[n].check({}, "test")).blank(10, 32) for n in card.inputs}
    inputs |= {card.beside: thinned(f_s)} if card.beside else {}
    fitted = train(load(card, card.check({}, "test")), f_s, inputs, epochs=1)
    assert type(fitted.model) is (type(f_s) if card.plain else Gated)
    assert all(torch.isfinite(v).all() for v in fitted.model.state_dict().values())
    assert all(torch.isfinite(torch.tensor(c)).all() for c in fitted.curves.values())


@pytest.mark.parametrize("method", [NTL(), CUTI(), SAMap()], ids=lambda m: m.name)
def test_protection_takes_the_target_and_spares_the_source(
    method: NTL, f_s: nn.Module, parts: Parts, train: Train
) -> None:
    before = accuracy(f_s, parts["target"])
    fitted = train(method, f_s, epochs=20)
    assert accuracy(fitted.model, parts["source"]) > 0.85
    assert accuracy(fitted.model, parts["target"]) < before / 2
    assert fitted.flags == []


def test_cuti_and_ntl_need_the_target_term(f_s: nn.Module, parts: Parts, train: Train) -> None:
    """With scale 0 nothing is asked of the target, and the run is flagged."""
    fitted = train(CUTI(CUTI.Params(alpha=0.0)), f_s, epochs=4)
    assert accuracy(fitted.model, parts["target"]) > 0.8
    assert fitted.flags == ["not-taken-off"]


# sa-map -----------------------------------------------------------------------------------------------------------


def test_sa_map_step_0_is_f_s_bit_for_bit(
    f_s: nn.Module, source_state: dict[str, Tensor], parts: Parts, train: Train
) -> None:
    before = logits(f_s, parts["target"][0])
    fitted = train(SAMap(), f_s, epochs=0)
    assert torch.equal(logits(fitted.model, parts["target"][0]), before)
    assert all(torch.equal(v, source_state[k]) for k, v in fitted.model.state_dict().items())


def test_sa_map_only_prunes(f_s: nn.Module, source_state: dict[str, Tensor], train: Train) -> None:
    """Every weight is f_s's own or zero; biases, BatchNorm and its statistics are f_s's own, bit for bit."""
    state = train(SAMap(), f_s, epochs=4).model.state_dict()
    gone = 0
    for name, value in state.items():
        kept = torch.equal(value, source_state[name])
        if source_state[name].ndim < 2:
            assert kept, name
        else:
            assert ((value == source_state[name]) | (value == 0)).all(), name
            gone += int((value != source_state[name]).sum())
    assert gone > 0


def test_sa_map_lambda_0_leaves_the_target(f_s: nn.Module, parts: Parts, train: Train) -> None:
    before = accuracy(f_s, parts["target"])
    fitted = train(SAMap(SAMap.Params(lam=0.0)), f_s, epochs=8)
    assert accuracy(fitted.model, parts["target"]) > before - 0.1


def test_mask_gradient_is_straight_through() -> None:
    """dL/ds = dL/dm = g * w, also where the weight is pruned."""
    score, weight = torch.tensor([1.0, -1.0], requires_grad=True), torch.tensor([3.0, 5.0])
    out = Masked.apply(score, weight)
    assert out.tolist() == [3, 0]
    (out * torch.tensor([2.0, 7.0])).sum().backward()
    assert score.grad.tolist() == [6, 35]


def test_a_score_for_a_filter_gets_the_sum_of_its_weights_gradients() -> None:
    score, weight = torch.tensor([[1.0], [-1.0]], requires_grad=True), torch.tensor([[3.0, 5.0], [7.0, 9.0]])
    out = Masked.apply(score, weight)
    assert out.tolist() == [[3, 5], [0, 0]]
    (out * torch.tensor([[2.0, 4.0], [1.0, 10.0]])).sum().backward()
    assert score.grad.tolist() == [[26], [97]]


def test_granularity_filter_takes_whole_rows(f_s: nn.Module, source_state: dict[str, Tensor], train: Train) -> None:
    taken = pruned(train(SAMap(SAMap.Params(granularity="filter")), f_s, epochs=20).model, source_state)
    rows = torch.cat([gone.flatten(1).float().mean(1) for gone in taken.values()])
    assert set(rows.tolist()) == {0, 1}


def test_last_layer_false_leaves_the_last_layer_alone(
    f_s: nn.Module, source_state: dict[str, Tensor], train: Train
) -> None:
    taken = pruned(train(SAMap(SAMap.Params(last_layer=False)), f_s, epochs=20).model, source_state)
    assert [name for name, gone in taken.items() if not gone.any()] == ["classifier.weight"]


def test_where_scores_start(f_s: nn.Module, parts: Parts) -> None:
    def start(**params: Any) -> dict[str, Tensor]:
        method = SAMap(SAMap.Params(**params))
        method.setup(f_s, DataAccess(method, parts, toy.RECIPE, toy.CLASSES, toy.SIZE, 0))
        return {name: score.detach() for name, score in method.scores.items()}

    weight = f_s.stage2[0].weight.detach()
    wanted = weight.abs() / weight.abs().mean()
    assert torch.equal(start()["stage2.0.weight"], wanted)
    by_filter = start(granularity="filter")["stage2.0.weight"]
    assert by_filter.shape == (32, 1, 1, 1)
    assert torch.allclose(by_filter.flatten(), wanted.flatten(1).mean(1))
    for granularity in ("weight", "filter"):
        constant = start(scores="constant", granularity=granularity)
        assert all(torch.equal(s, torch.full_like(s, 0.005)) for s in constant.values())
        assert len(constant) == 6


def test_bn_batch_learns_new_statistics_and_leaves_f_s_s_answers_as_they_were(
    f_s: nn.Module, source_state: dict[str, Tensor], train: Train
) -> None:
    method = SAMap(SAMap.Params(bn="batch"))
    fitted = train(method, f_s, epochs=2)
    statistics = [k for k in source_state if "running" in k]
    assert len(statistics) == 8
    assert not any(torch.equal(fitted.model.state_dict()[k], source_state[k]) for k in statistics)
    assert all(torch.equal(v, source_state[k]) for k, v in method.f_s.state_dict().items())
    with pytest.raises(ValueError, match=r"sa-map\[bn=batch\] is undefined on a backbone without BatchNorm"):
        train(SAMap(SAMap.Params(bn="batch")), nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)))


# gate -------------------------------------------------------------------------------------------------------------


def gated(method: Gate, f_s: nn.Module, train: Train) -> Gated:
    model = train(method, f_s, epochs=8).model
    assert isinstance(model, Gated)
    return model


def test_gate_passes_the_source_to_an_untouched_f_s_and_the_target_to_nobody(
    f_s: nn.Module, source_state: dict[str, Tensor], parts: Parts, train: Train
) -> None:
    before = logits(f_s, parts["source"][0])
    model = gated(Gate(), f_s, train)
    assert all(torch.equal(v, source_state[k]) for k, v in model.f_s.state_dict().items())
    passed = (logits(model, parts["source"][0]) == before).all(1)
    assert passed.float().mean() > 0.95
    assert accuracy(model, parts["target"]) < 0.2


def test_gate_answers_an_image_alike_in_any_batch_and_layout(f_s: nn.Module, parts: Parts, train: Train) -> None:
    model, images = gated(Gate(), f_s, train), parts["target"][0]
    together = logits(model, images).argmax(1)
    alone = torch.cat([logits(model, image[None]).argmax(1) for image in images[:32]])
    assert torch.equal(alone, together[:32])
    x = normalise(images)
    assert torch.equal(model.answers(x, 10), model.answers(x.contiguous(), 10))
    assert torch.equal(model.answers(x, 10), model.answers(x + 1e-6 * torch.randn_like(x), 10))  # another device's ulp


def test_gate_answers_are_uniform_over_classes_and_differ_with_one_grey_level() -> None:
    g = torch.Generator().manual_seed(0)
    model = Gated(nn.Identity())
    images = torch.randint(0, 256, (5000, 3, 8, 8), dtype=torch.uint8, generator=g)
    answers = model.answers(normalise(images), 10)
    counts = torch.bincount(answers.argmax(1), minlength=10).float()
    assert ((counts - 500) ** 2 / 500).sum() < 27.9  # chi-squared, 9 degrees of freedom, p = 0.001
    assert answers.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (answers.T.corrcoef() - torch.eye(10)).abs().max() < 0.06
    nudged = images.clone()
    nudged[:, 1, 3, 3] ^= 1
    assert (model.answers(normalise(nudged), 10).argmax(1) == answers.argmax(1)).float().mean() < 0.12


def test_gate_checkpoint_gives_the_same_outputs_and_another_seed_other_answers(
    f_s: nn.Module, parts: Parts, train: Train
) -> None:
    model, images = gated(Gate(), f_s, train), parts["target"][0]
    fresh = Gate().skeleton(backbones.build("convnet", 10, 32, 9))
    fresh.load_state_dict(parse(checkpoint(model)))
    assert torch.equal(logits(fresh, images), logits(model, images))
    fresh.salt += 1
    same = (logits(fresh, images).argmax(1) == logits(model, images).argmax(1)).float().mean()
    assert same < 0.25


# cuti -------------------------------------------------------------------------------------------------------------


def test_isolation_restyles_the_target_half_only() -> None:
    out = torch.randn(8, 16, 4, 4)
    styled = CUTI()._isolate(0, out)
    assert torch.equal(styled[:4], out[:4])
    assert not torch.equal(styled[4:], out[4:])


def test_isolation_follows_the_formula() -> None:
    """x_t * sigmoid(W2 sigma_s) + sigmoid(W1 mu_s): with all maps constant, gain and shift can be read off."""
    torch.manual_seed(3)
    out = torch.cat([torch.zeros(2, 4, 3, 3), torch.ones(2, 4, 3, 3)])
    styled = CUTI()._isolate(0, out)[2:]
    torch.manual_seed(3)
    w2 = ((torch.rand(2, 4, 4) * 2 - 1) / 2)[1]
    gain = torch.sigmoid(torch.full((2, 4), 1e-5**0.5) @ w2.T)
    assert torch.allclose(styled, (gain + 0.5)[:, :, None, None].expand_as(styled), atol=1e-6)


def test_cuti_isolates_on_odd_steps_only(f_s: nn.Module, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = CUTI._isolate
    monkeypatch.setattr(CUTI, "_isolate", lambda self, i, out: (calls.append(i), real(self, i, out))[1])
    train(CUTI(), f_s, epochs=1)  # 8 steps of 32: four odd ones, four taps each
    assert calls == [0, 1, 2, 3] * 4


# batches ----------------------------------------------------------------------------------------------------------


def test_batch_refuses_what_was_not_declared() -> None:
    batch = Batch("sf-map", Needs(source="none", target="unlabelled"), {"x_t": torch.zeros(1)})
    assert batch.x_t.shape == (1,)
    with pytest.raises(ValueError, match=r"sf-map asked for x_s, but declares needs = 'no source, unlabelled target'"):
        _ = batch.x_s
