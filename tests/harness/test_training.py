"""The loop refuses methods that break the contract, and sees divergence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness import training
from harness.access import DataAccess
from harness.training import Diverged, Fitted, TimedOut, fit, logits, schedule
from methods.base import Batch, Method, Needs
from suites import backbones
from suites.schema import Recipe

RECIPE = Recipe(optimizer="sgd", lr=0.1, batch=8, epochs=2, schedule="constant")


class Plain(Method):
    name = "plain"
    needs = Needs(target="none")

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss = nn.functional.cross_entropy(self.model(batch.x_s), batch.y_s)
        return loss, {"source": loss.detach()}


def run(method: Method) -> Fitted:
    g = torch.Generator().manual_seed(0)
    part = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=g), torch.arange(20) % 10
    *progress, fitted = fit(method, backbones.build("convnet", 10, 32, 0), access(method, part), RECIPE)
    assert [p["done"] for p in progress] == [0.5, 1.0]
    return fitted


def access(method: Method, part: tuple[Tensor, Tensor]) -> DataAccess:
    return DataAccess(method, {"source": part}, RECIPE, 10, 32, 0)


def test_every_term_gets_one_mean_an_epoch() -> None:
    curves = run(Plain()).curves
    assert set(curves) == {"loss", "source"}
    assert curves["loss"] == curves["source"]
    assert len(curves["loss"]) == 2


def test_a_loss_that_is_not_finite_is_divergence() -> None:
    class Wild(Plain):
        def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            loss, terms = super().step(batch)
            return loss * float("nan"), terms

    with pytest.raises(Diverged):
        run(Wild())


def test_past_its_deadline_it_stops_between_two_steps_and_keeps_its_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(range(100))
    monkeypatch.setattr(training.time, "monotonic", lambda: float(next(steps)))
    g = torch.Generator().manual_seed(0)
    part = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=g), torch.arange(24) % 10
    method = Plain()
    going = fit(
        method, backbones.build("convnet", 10, 32, 0), access(method, part), RECIPE, until=4
    )  # 3 steps an epoch
    assert next(going)["done"] == 0.5  # type: ignore[index]
    with pytest.raises(TimedOut, match="in epoch 2 of 2") as late:
        next(going)
    assert next(steps) == 6  # asked before each step, and at the sixth it was too late
    assert len(late.value.curves["loss"]) == 1


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (lambda loss: loss, r"must return \(loss, terms\), got Tensor"),
        (lambda loss: (loss.detach(), {}), "scalar loss with a graph"),
        (lambda loss: (loss.expand(2), {}), r"got shape \[2\]"),
        (lambda loss: (loss, [loss.detach()]), "terms as a dict"),
        (lambda loss: (loss, {"loss": loss.detach()}), "`loss` not among them"),
        (lambda loss: (loss, {"ce": 1.0}), "'ce' is not; use .detach()"),
        (lambda loss: (loss, {"ce": loss}), "'ce' is not; use .detach()"),
        (lambda loss: (loss, {"ce": loss.detach().expand(2)}), "scalar tensors, detached: 'ce' is not"),
    ],
)
def test_step_must_return_a_loss_with_terms(outcome: object, message: str) -> None:
    class Wrong(Plain):
        def step(self, batch: Batch) -> object:  # type: ignore[override]
            return outcome(super().step(batch)[0])  # type: ignore[operator]

    with pytest.raises(ValueError, match=message):
        run(Wrong())


def test_terms_are_the_same_at_every_step() -> None:
    class Fickle(Plain):
        steps = 0

        def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            self.steps += 1
            loss, _ = super().step(batch)
            return loss, {f"term{self.steps}": loss.detach()}

    with pytest.raises(ValueError, match="the same terms at every step, got term2"):
        run(Fickle())


def test_terms_may_come_in_any_order() -> None:
    class Shuffled(Plain):
        steps = 0

        def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            self.steps += 1
            loss, _ = super().step(batch)
            terms = {"one": torch.tensor(1.0), "two": torch.tensor(2.0)}
            return loss, terms if self.steps % 2 else dict(reversed(terms.items()))

    curves = run(Shuffled()).curves
    assert (curves["one"], curves["two"]) == ([1.0, 1.0], [2.0, 2.0])


def test_only_a_control_may_give_another_net_than_it_got_and_only_its_skeletons() -> None:
    class Wrapped(Plain):
        plain = False

        def skeleton(self, model: nn.Module) -> nn.Module:
            return nn.Sequential(model)

        def finish(self) -> nn.Module:
            return nn.Sequential(self.model)

    class Allowed(Wrapped):
        control = True

    class Liar(Allowed):
        def finish(self) -> nn.Module:
            return nn.Sequential(self.model, nn.Linear(10, 10))

    with pytest.raises(ValueError, match="plain = False, which only a control may"):
        run(Wrapped())
    assert type(run(Allowed()).model) is nn.Sequential
    with pytest.raises(ValueError, match="other parameters"):
        run(Liar())


def test_finish_must_return_the_network_it_got() -> None:
    class Other(Plain):
        def finish(self) -> nn.Module:
            return nn.Linear(2, 2)

    class Hooked(Plain):
        def finish(self) -> nn.Module:
            self.model.stage1.register_forward_hook(lambda *_: None)
            return self.model

    class HookedBack(Plain):
        def finish(self) -> nn.Module:
            self.model.stage1.register_full_backward_hook(lambda *_: None)
            return self.model

    class Nothing(Plain):
        def finish(self) -> nn.Module:
            return None  # type: ignore[return-value]

    for method, message in (
        (Other(), "other parameters"),
        (Hooked(), "left hooks"),
        (HookedBack(), "left hooks"),
        (Nothing(), "torch module"),
    ):
        with pytest.raises(ValueError, match=message):
            run(method)


def test_schedules() -> None:
    """lr(t) = 1e-4 * 0.999^t: 5.0e-5 at 693, 6.7e-7 at 5000 (baselines.md F); linear ends at zero."""
    decay = schedule("exponential", 5000)
    assert 1e-4 * decay(693) == pytest.approx(5.0e-5, rel=1e-2)
    assert 1e-4 * decay(5000) == pytest.approx(6.7e-7, rel=1e-2)
    assert [schedule("linear", 4)(k) for k in range(5)] == [1, 0.75, 0.5, 0.25, 0]


def test_logits_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbones.build("convnet", 10, 32, 0)
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    whole = logits(model, images)
    monkeypatch.setattr("harness.training.EVAL_BATCH", 7)
    assert torch.allclose(logits(model, images), whole, atol=1e-5)
    assert model.training is False
