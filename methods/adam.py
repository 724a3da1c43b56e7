"""Adam as torch's fused kernel computes it, without the bookkeeping of its step(): the same bits, half the time.

    .venv/bin/pytest tests/methods/test_adam.py

For nets as small as a digit's, gathering parameters, gradients and state anew at every step takes as long as the
update: 0.63 ms of an 11 ms step of convnet on one core, 0.35 with the lists kept (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Lists(NamedTuple):
    """A group's tensors in the order in which the kernel takes them."""

    params: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]


class Adam(torch.optim.Adam):
    """torch.optim.Adam(fused=True), without amsgrad."""

    def __init__(
        self, params: Iterable[Any], lr: float, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        self._lists: list[_Lists] = []  # of each group; empty until torch has made the state

    def zero_grad(self, set_to_none: bool = True) -> None:
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        grads = [[p.grad for p in lists.params if p.grad is not None] for lists in self._lists]
        whole = [len(held) == len(lists.params) for held, lists in zip(grads, self._lists, strict=True)]
        if closure is not None or not whole or not all(whole):
            outcome = super().step(closure)
            self._lists = self._gathered()
            return outcome
        for group, lists, held in zip(self.param_groups, self._lists, grads, strict=True):
            torch._foreach_add_(lists.steps, 1)
            torch._fused_adam_(
                lists.params, held, lists.first, lists.second, [], lists.steps, lr=group["lr"],
                beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=group["weight_decay"], eps=group["eps"],
                amsgrad=False, maximize=False,
            )  # fmt: skip
        return None

    step.hooked = True  # type: ignore[attr-defined]  # torch would wrap it for its profiler, at 0.02 ms a step

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._lists = self._gathered()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        self._lists = []

    def _gathered(self) -> list[_Lists]:
        """What step() needs; nothing where a parameter has no state yet, or where a group spans devices or types, which
        torch sorts out at every step."""
        found = []
        for group in self.param_groups:
            states = [self.state.get(p) for p in group["params"]]
            if any(not s for s in states) or len({(p.device, p.dtype) for p in group["params"]}) > 1:
                return []
            if group["amsgrad"] or group["maximize"]:
                return []
            kept = [[s[name] for s in states] for name in ("exp_avg", "exp_avg_sq", "step")]  # type: ignore[index]
            found.append(_Lists(list(group["params"]), *kept))
        return found
