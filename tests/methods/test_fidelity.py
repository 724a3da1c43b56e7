"""NTL and CUTI, released and paper: each difference between the two against its formula, written out here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import toy
from harness.access import DataAccess
from harness.cards import cards, load
from harness.training import Fitted
from methods.base import Batch, tapped
from methods.cuti import CUTI
from methods.ntl import NTL

Parts = dict[str, tuple[Tensor, Tensor]]
PLACES = ["stage2", "hidden"]  # convnet's feature_tap and embedding
FORMS = [base + form for base in ("ntl", "cuti") for form in ("", "-source-only", "-source-free")]


def first_step(method: Any, model: nn.Module, parts: Parts) -> tuple[float, Batch, Tensor, dict[str, Tensor]]:
    """Loss of step 0 in eval mode, its batch, the net's logits for it, and what it shows at each of its places."""
    access = DataAccess(method, parts, toy.RECIPE, toy.CLASSES, toy.SIZE, 0)
    method.setup(model, access)
    model.eval()
    batch, shown = next(access.epoch()), {}
    loss, _ = method.step(batch)
    with torch.no_grad(), tapped(model, PLACES, lambda i, out: shown.update({PLACES[i]: out.flatten(1)})):
        logits = model(batch.joint)
    return float(loss.detach()), batch, logits.double(), {k: v.double() for k, v in shown.items()}


def ce(logits: Tensor, labels: Tensor) -> float:
    return float((logits.exp().sum(1).log() - logits[torch.arange(len(labels)), labels]).mean())


def mmd(x: Tensor, y: Tensor) -> float:
    """baselines.md B1: five RBF kernels, each twice as wide as the last, about the mean squared distance."""
    z, n = torch.cat([x, y]), len(x)
    d = ((z[:, None] - z[None]) ** 2).sum(2)
    width = d.sum() / (4 * n * n - 2 * n) / 4
    k = torch.stack([torch.exp(-d / (width * 2**i)) for i in range(5)]).sum(0)
    return float((k[:n, :n] + k[n:, n:] - k[:n, n:] - k[n:, :n]).mean())


@pytest.mark.parametrize("bound", ["factors", "product"])
@pytest.mark.parametrize("kl_reduction", ["mean", "batchmean"])
@pytest.mark.parametrize("tap", ["early", "embedding"])
def test_ntl_is_its_formula(bound: Any, kl_reduction: Any, tap: Any, f_s: nn.Module, parts: Parts) -> None:
    with torch.no_grad():
        f_s.classifier.bias[0] += 20  # a target CE above `upper`, so that it matters where the bound lies
    params = NTL.Params(alpha=1.0, beta=0.1, upper=1.0, bound=bound, kl_reduction=kl_reduction, tap=tap)
    loss, batch, logits, shown = first_step(NTL(params), f_s, parts)
    half, scale = len(batch.x_s), 10 if kl_reduction == "mean" else 1
    kl_s, kl_t = ce(logits[:half], batch.y_s) / scale, ce(logits[half:], batch.y_t) / scale
    h = shown["stage2" if tap == "early" else "hidden"]
    far = min(1.0, 0.1 * mmd(h[:half], h[half:]))
    assert kl_t > 1
    wanted = {"factors": kl_s - min(1.0, kl_t) * far, "product": kl_s - min(1.0, kl_t * far)}
    assert abs(wanted["factors"] - wanted["product"]) > 1e-2
    assert loss == pytest.approx(wanted[bound], rel=1e-5)


@pytest.mark.parametrize("kl_reduction", ["mean", "batchmean"])
def test_cuti_is_its_formula_on_an_even_step(kl_reduction: Any, f_s: nn.Module, parts: Parts) -> None:
    loss, batch, logits, _ = first_step(CUTI(CUTI.Params(kl_reduction=kl_reduction)), f_s, parts)
    half, scale = len(batch.x_s), 10 if kl_reduction == "mean" else 1
    wanted = ce(logits[:half], batch.y_s) / scale - min(1.0, 0.1 * ce(logits[half:], batch.y_t) / scale)
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_cutis_learned_layers_are_the_formulas_and_the_same_at_every_call(f_s: nn.Module, parts: Parts) -> None:
    method = CUTI(CUTI.Params(layers="learned"))
    method.setup(f_s, DataAccess(method, parts, toy.RECIPE, toy.CLASSES, toy.SIZE, 0))
    assert [layer.weight.shape[0] for layer, _ in method.layers] == [16, 32, 64, 64]
    out = torch.randn(8, 32, 5, 5)
    styled = method._isolate(1, out)
    w1, w2 = (layer.weight for layer in method.layers[1])
    assert w1.abs().max() <= 32**-0.5 and not torch.equal(w1, w2)
    for i in range(4):
        flat = out[i].flatten(1)
        sigma = (((flat - flat.mean(1, keepdim=True)) ** 2).sum(1) / 24 + 1e-5).sqrt()
        gain, shift = torch.sigmoid(w2 @ sigma), torch.sigmoid(w1 @ flat.mean(1))
        assert torch.allclose(styled[4 + i], out[4 + i] * gain[:, None, None] + shift[:, None, None], atol=1e-5)
    assert torch.equal(styled, method._isolate(1, out))
    assert not torch.equal(CUTI()._isolate(1, out), CUTI()._isolate(1, out))  # released: drawn anew


def test_cutis_learned_layers_are_trained_and_no_part_of_the_net(
    f_s: nn.Module, source_state: dict[str, Tensor], train: Callable[..., Fitted], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, begun = CUTI(CUTI.Params(layers="learned")), {}
    setup = CUTI.setup

    def look(self: CUTI, model: nn.Module, access: Any) -> None:
        setup(self, model, access)
        begun.update({k: v.clone() for k, v in self.layers.state_dict().items()})
        begun["norms"] = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}

    monkeypatch.setattr(CUTI, "setup", look)
    fitted = train(method, f_s, epochs=2)
    assert all(
        torch.equal(v, source_state[k]) for k, v in begun.pop("norms").items()
    )  # asking for widths taught nothing
    assert begun and all(not torch.equal(v, begun[k]) for k, v in method.layers.state_dict().items())
    assert fitted.model.state_dict().keys() == source_state.keys()


@pytest.mark.parametrize("name", FORMS)
def test_every_form_has_both_fidelities_and_released_is_the_default(name: str) -> None:
    card = cards()[name]
    assert (card.fidelity, list(card.fidelities)) == ("released", ["paper"])
    released, paper = card.check({}, "test"), card.check({"fidelity": "paper"}, "test")
    assert (card.follows(released), card.follows(paper)) == ("released", "paper")
    assert released == card.check({"fidelity": "released"}, "test")
    assert (released["kl_reduction"], paper["kl_reduction"]) == ("mean", "batchmean")
    assert load(card, paper).params.kl_reduction == "batchmean"
