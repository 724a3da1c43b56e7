"""The training loop, once, for every method; and the scoring of what came out.

    .venv/bin/pytest tests/harness/test_training.py

f_s itself is trained by the same loop, with the step of the control `continue` from the initial weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from harness import numerics
from harness.access import DataAccess
from harness.evaluation import Evaluation, add
from harness.graphs import Graphed, Recorder
from harness.steps import Rates, Step
from methods import MethodError
from methods.base import Method
from methods.images import normalise
from methods.synthesis import Synthesiser
from suites.schema import Recipe

# Images up to 64 px that are scored at once, and fewer larger ones: large, because only counts come of it, and the
# batch cannot change a prediction in eval mode
EVAL_BATCH = 512


Curves = dict[str, list[float | None]]  # by name: one number an epoch, None where nothing was measured


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


class TimedOut(TimeoutError):
    """The deadline of the cell has passed; `curves` are those of the epochs that were done."""

    def __init__(self, where: str, curves: Curves) -> None:
        super().__init__(where)
        self.curves = curves


@dataclass(frozen=True)
class Fitted:
    """What training gives: a plain network, one mean per epoch for each logged term, and flags for the board."""

    model: nn.Module
    curves: Curves
    flags: list[str]


def schedule(name: str, steps: int) -> Callable[[int], float]:
    """Learning-rate factor at step k, stepped every iteration as the published code does (baselines.md A5)."""
    return {
        "linear": lambda k: 1 - k / max(steps, 1),
        "constant": lambda k: 1.0,
        "exponential": lambda k: 0.999**k,
    }[name]


def fit(
    method: Method, model: nn.Module, access: DataAccess, recipe: Recipe, until: float = math.inf,
    precision: str = "fp32", recorder: Recorder | None = None, evaluation: Evaluation | None = None,
) -> Iterator[dict[str, Any] | Fitted]:  # fmt: skip
    """Train `model` by `method`; yields {"done", "note"} after each epoch and at last a Fitted. Its steps
    are computed in `precision`; setup() and finish() are not (harness/numerics.py).

    Raises Diverged on a loss that is not finite, MethodError when the method breaks its contract, TimedOut between two
    steps when time.monotonic() is past `until`. `recorder` captures what steps launch on a GPU, where they can be, to
    replay it (harness/graphs.py); what came of it is printed, for the cell's log."""
    if isinstance(method, Synthesiser):
        shapes = _shapes(method.blank(access.classes, access.image_size))
    elif method.plain or method.control:
        shapes = _shapes(method.skeleton(model))
    else:
        raise MethodError(f"{method.name} says plain = False, which only a control may: protect the net as it is")
    model.train()
    method.setup(model, access)
    optimizers = method.optimizers()
    rates = Rates(optimizers, schedule(recipe.schedule, access.steps_per_epoch * recipe.epochs))
    launched = Step(method, optimizers, partial(numerics.autocast, precision, model))
    step = Graphed(launched, recorder) if recorder and optimizers else launched
    curves: Curves = {}
    for epoch in range(recipe.epochs if optimizers else 0):
        try:
            with numerics.stated(precision):
                means = _epoch(access, step, rates, until)
        except TimedOut as late:
            raise TimedOut(f"in epoch {epoch + 1} of {recipe.epochs}", curves) from late
        for name, value in means.items():
            curves.setdefault(name, []).append(value)
        loss = means["loss"]
        if not math.isfinite(loss):
            raise Diverged(f"loss is {loss} in epoch {epoch + 1}")
        if evaluation:
            values = evaluation.of(method, access) if evaluation.due(epoch + 1, recipe.epochs) else {}
            add(curves, values, epoch + 1)
        yield {"done": (epoch + 1) / recipe.epochs, "note": f"epoch {epoch + 1}/{recipe.epochs}, loss {loss:.3f}"}
    yield Fitted(_plain(method, shapes), curves, [*method.flags, *_flags(curves, access.classes)])


def _epoch(access: DataAccess, step: Step | Graphed, rates: Rates, until: float) -> dict[str, float]:
    """Mean of every term over one epoch. Terms stay on the device until its end, so that no step waits."""
    rows: list[Tensor] = []
    for batch in access.epoch():
        if time.monotonic() > until:
            raise TimedOut("", {})
        rates.next()
        rows.append(step(batch))
    return dict(zip(step.names, torch.stack(rows).mean(0).tolist(), strict=True)) if rows else {}


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {k: v.shape for k, v in model.state_dict().items()}


def _plain(method: Method, shapes: dict[str, torch.Size]) -> nn.Module:
    """What finish() gave, checked to be a network of the shape that went in (or of the skeleton's) and no more."""
    model = method.finish()
    if not isinstance(model, nn.Module):
        raise MethodError(f"{method.name}.finish() must return a torch module, got {type(model).__name__}")
    if _shapes(model) != shapes:
        raise MethodError(f"{method.name}.finish() returned a network with other parameters than it was given")
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(m, kind) for m in model.modules() for kind in hooks):
        raise MethodError(f"{method.name}.finish() left hooks on the network")
    return model.eval()


def _flags(curves: Curves, classes: int) -> list[str]:
    """`not-taken-off`: the target's mean cross entropy never rose above ln K, that of knowing nothing, so a low
    source_drop says only that nothing happened (trials.md, SF-MAP)."""
    target = [value for value in curves.get("target_ce", ()) if value is not None]
    return ["not-taken-off"] if target and max(target) < math.log(classes) else []


@torch.inference_mode()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (n, K), float32 on the CPU, of uint8 images (n,3,S,S); the model runs in eval mode."""
    model.eval()
    device = next((p.device for p in model.parameters()), images.device)
    batch = max(1, EVAL_BATCH * 64**2 // max(64, images.shape[-1]) ** 2)
    return torch.cat([model(normalise(part.to(device))).float().cpu() for part in images.split(batch)])
