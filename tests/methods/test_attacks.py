"""What each attack does to a model, against computations of the tests' own on the toy pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.access import DataAccess
from harness.cards import cards, load
from harness.toy import CLASSES, RECIPE, SIZE
from harness.training import Fitted, fit, logits
from methods.attacks.probe import refit
from methods.base import tapped
from methods.images import normalise
from suites import backbones

Part = tuple[Tensor, Tensor]
N = 100


@pytest.fixture
def given(parts: dict[str, Part]) -> Part:
    """The attacker's images and labels."""
    images, labels = parts["target"]
    return images[:N], labels[:N]


@pytest.fixture
def attacked(f_s: nn.Module, given: Part) -> Callable[..., Fitted]:
    """attacked(name, model=f_s): what the real loop makes of an attack."""

    def run(name: str, model: nn.Module = f_s, **params: Any) -> Fitted:
        card = cards()[name]
        attack = load(card, card.check(params, "test"))
        torch.manual_seed(0)
        *_, fitted = fit(attack, model, DataAccess(attack, {"target": given}, RECIPE, CLASSES, SIZE, 0), RECIPE)
        assert isinstance(fitted, Fitted)
        return fitted

    return run


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}


def test_bn_reestimate_takes_each_layers_statistics_from_the_images(
    f_s: nn.Module, given: Part, attacked: Callable[..., Fitted]
) -> None:
    x, expected = normalise(given[0]), {}
    before = copied(f_s)
    with torch.no_grad():
        for name in ("stage1", "stage2", "stage3", "stage4"):
            conv, *pool, norm, _ = f_s.get_submodule(name)  # type: ignore[misc]
            x = conv(x)
            for layer in pool:
                x = layer(x)
            mean, spread = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            expected[name] = mean, x.var((0, 2, 3), correction=1)
            x = (x - mean[:, None, None]) / (spread[:, None, None] + norm.eps).sqrt()
            x = F.relu(x * norm.weight[:, None, None] + norm.bias[:, None, None])
    model = attacked("bn-reestimate").model
    for name, (mean, variance) in expected.items():
        norm = model.get_submodule(name)[-2]  # type: ignore[index]
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
        assert norm.momentum == 0.1  # as it was
    assert {k.rpartition(".")[2] for k in changed(before, model)} <= {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_bn_reestimate_undoes_statistics_that_hide_the_target(
    f_s: nn.Module, given: Part, attacked: Callable[..., Fitted]
) -> None:
    plain = logits(attacked("bn-reestimate").model, given[0])
    for m in f_s.modules():
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_mean is not None
            m.running_mean += 3.0
    assert float((logits(f_s, given[0]).argmax(1) == given[1]).float().mean()) < 0.5
    assert torch.equal(logits(attacked("bn-reestimate").model, given[0]), plain)


def test_a_net_without_batchnorm_stays_as_it_is_and_is_flagged(attacked: Callable[..., Fitted]) -> None:
    vgg = backbones.build("vgg11", CLASSES, SIZE, 0)
    before = copied(vgg)
    fitted = attacked("bn-reestimate", vgg)
    assert fitted.flags == ["no-bn"]
    assert changed(before, fitted.model) == set()
    assert attacked("bn-reestimate+probe", vgg).flags == ["no-bn"]


def test_the_probe_is_scikit_learns_on_the_penultimate_features(
    f_s: nn.Module, given: Part, parts: dict[str, Part], attacked: Callable[..., Fitted]
) -> None:
    from sklearn.linear_model import LogisticRegression

    fresh = parts["target"][0][N:]

    def features(images: Tensor) -> np.ndarray:
        seen: list[Tensor] = []
        with torch.no_grad(), tapped(f_s.eval(), [f_s.embedding], lambda i, x: seen.append(x)):  # type: ignore[list-item]
            f_s(normalise(images))
        return seen[0].double().numpy()

    x, others = features(given[0]), features(fresh)
    mean, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1
    for c in (1.0, 0.01):
        sklearn = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit((x - mean) / spread, given[1].numpy())
        expected = sklearn.predict_log_proba((others - mean) / spread)
        before = copied(f_s)
        model = attacked("probe", c=c).model
        assert changed(before, model) == {"classifier.weight", "classifier.bias"}
        found = logits(model, fresh).double().log_softmax(1).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-2)
        assert (found.argmax(1) == expected.argmax(1)).all()


def test_the_probe_finds_what_is_hidden_behind_the_head(
    f_s: nn.Module, parts: dict[str, Part], attacked: Callable[..., Fitted]
) -> None:
    images, labels = parts["target"][0][N:], parts["target"][1][N:]
    with torch.no_grad():
        f_s.classifier.weight.zero_()  # type: ignore[union-attr, operator]
    assert float((logits(f_s, images).argmax(1) == labels).float().mean()) < 0.2
    first = attacked("probe").model
    assert float((logits(first, images).argmax(1) == labels).float().mean()) > 0.8
    once = copied(first)
    assert changed(once, attacked("probe").model) == set()  # bit for bit


def test_both_are_first_the_one_then_the_other(f_s: nn.Module, attacked: Callable[..., Fitted]) -> None:
    start = copied(f_s)
    both = copied(attacked("bn-reestimate+probe").model)
    f_s.load_state_dict(start)
    attacked("bn-reestimate")
    assert changed(both, attacked("probe").model) == set()
    f_s.load_state_dict(start)
    assert changed(both, attacked("probe").model) != set()


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("vgg11_bn", "classifier.6"), ("resnet18", "fc"), ("swin_t", "head.3"), ("convnet", "classifier")],
)
def test_the_last_layer_is_the_last_on_every_family(backbone: str, head: str, given: Part) -> None:
    net = backbones.build(backbone, CLASSES, SIZE, 0)
    before = copied(net)
    refit(net, normalise(given[0][:20]), given[1][:20], CLASSES, 1.0)
    assert changed(before, net) == {f"{head}.weight", f"{head}.bias"}
    assert (logits(net, given[0][:20]).argmax(1) == given[1][:20]).float().mean() > 0.9  # 20 images can be told apart


def test_from_scratch_learns_from_the_images_alone(attacked: Callable[..., Fitted], given: Part) -> None:
    net = backbones.build("convnet", CLASSES, SIZE, 5)
    fitted = attacked("from-scratch", net)
    assert fitted.curves["loss"][-1] < fitted.curves["loss"][0] / 2
    assert cards()["from-scratch"].blind
    assert float((logits(fitted.model, given[0]).argmax(1) == given[1]).float().mean()) > 0.5
