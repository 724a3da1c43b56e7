"""Watches a method at work on the toy pair: what it reads, which weights move when, where it waits for the device.

    mapbench check sa-map

The method runs as it would: its functions are wrapped, not replaced, and its data access is the real one, listened to.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from harness.access import DataAccess
from methods.base import Batch, Method

State = dict[str, Tensor]


@dataclass
class Seen:
    """What is noted while the method runs. Names are of entries of the model's state_dict."""

    stage: str = "setup"  # what an error now would be an error of; optimizers() counts as setup
    steps: int = 0
    read: set[str] = field(default_factory=set)  # of x_s, y_s, x_t, y_t
    moved_before: list[str] = field(default_factory=list)  # changed when the first step began
    moved_inside: list[str] = field(default_factory=list)  # parameters that a step itself changed
    waits: set[str] = field(default_factory=set)  # lines that read a number off the device


class Noting(dict[str, Tensor]):
    """The parts of a batch; notes which are read."""

    def __init__(self, parts: State, read: set[str]) -> None:
        super().__init__(parts)
        self.read = read

    def __getitem__(self, name: str) -> Tensor:
        value = super().__getitem__(name)
        self.read.add(name)
        return value


class Watching(DataAccess):
    """The real access; notes what is read."""

    def __init__(self, seen: Seen, *given: Any) -> None:
        super().__init__(*given)
        self.seen = seen

    def _whole(self, domain: str) -> tuple[Tensor, Tensor | None]:
        images, labels = super()._whole(domain)
        self.seen.read |= {f"x_{domain[0]}", *([] if labels is None else [f"y_{domain[0]}"])}
        return images, labels

    def epoch(self) -> Iterator[Batch]:
        for batch in super().epoch():
            batch._parts = Noting(batch._parts, self.seen.read)
            yield batch


class Waits(TorchDispatchMode):
    """Notes the lines of `file` that call .item(), float() or bool() on a tensor, which waits for a GPU."""

    def __init__(self, found: set[str], file: str) -> None:
        super().__init__()
        self.found, self.file = found, file

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            lines = [f.lineno for f in traceback.extract_stack() if f.filename == self.file]
            self.found.add(f"{Path(self.file).name}:{lines[-1]}" if lines else "a function it calls")
        return func(*args, **(kwargs or {}))


def watch(method: Method, seen: Seen, file: str) -> None:
    """Note what `method` does to the network it is given, around its own functions, which do what they did."""
    real = {name: getattr(method, name) for name in ("setup", "step", "finish")}
    given: dict[str, Any] = {}

    def setup(model: nn.Module, access: Any) -> None:
        given.update(model=model, state=copied(model.state_dict()))
        real["setup"](model, access)

    def step(batch: Batch) -> Any:
        seen.stage = "step"
        model = given["model"]
        if not seen.steps:
            seen.moved_before = changed(given["state"], model.state_dict())
        before = copied(dict(model.named_parameters()))
        if seen.steps < 2:  # two, because CUTI's differ; the watch itself is slow
            with Waits(seen.waits, file):
                outcome = real["step"](batch)
        else:
            outcome = real["step"](batch)
        seen.moved_inside = seen.moved_inside or changed(before, dict(model.named_parameters()))
        seen.steps += 1
        return outcome

    def finish() -> Any:
        seen.stage = "finish"
        return real["finish"]()

    vars(method).update(setup=setup, step=step, finish=finish)


def copied(state: State) -> State:
    """A state_dict that no later step can reach."""
    return {k: v.detach().clone() for k, v in state.items()}


def changed(before: State, after: State) -> list[str]:
    """Names of entries that are in both and not equal bit for bit."""
    return [k for k, v in before.items() if k in after and not torch.equal(v, after[k])]
