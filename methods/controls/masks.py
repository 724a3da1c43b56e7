"""`random-mask` and `magnitude-mask`: f_s with as many weights gone as a MAP mask takes in each layer, others chosen.

    mapbench run digits-mini -m random-mask -m 'random-mask-source-free[settings=tuned,draw=3]'

So that pruning itself can be told from MAP. Nothing is trained: a cell hangs on the cell of the method that it stands
beside (same f_s, same target), counts the zeros in each layer of that net, and prunes as many of f_s's own weights
there: by chance, or the smallest. Where sa-map's scores start at |w|, the smallest are what it would prune had the loss
no say. Beside sf-map and df-map the controls are called -source-free and -data-free. Their `needs` are the method's,
because the densities are made of its data; no image is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from methods.base import Access, Method, param
from methods.df_map import DFMap
from methods.sa_map import SAMap, maskable
from methods.sf_map import SFMap


class AsDense(Method, ABC):
    """Base: which weights of a layer go is `gone`'s to say; how many, what the net beside it says."""

    version = 2  # 1 trained a mask of its own, only to count it
    control = True
    fidelity = "control"

    @dataclass(frozen=True)
    class Params:
        settings: Literal["default", "tuned"] = param(
            "default", "the settings of the method it stands beside", "chosen: the first of the two headline rows"
        )

    def optimizers(self) -> list[Optimizer]:
        return []

    @abstractmethod
    def gone(self, weight: Tensor, count: int) -> Tensor:
        """Places in the flattened weight of the `count` that go, int64 (count,)."""

    @torch.no_grad()
    def finish(self) -> nn.Module:
        beside: Any = self.access.inputs[self.beside]
        for name, weight in maskable(self.model).items():
            keep = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
            keep[self.gone(weight, int((beside.get_parameter(name) == 0).sum()))] = False
            weight.mul_(keep.view_as(weight))
        return self.model


class RandomMask(AsDense):
    name = "random-mask"
    needs = SAMap.needs
    beside = SAMap.name

    @dataclass(frozen=True)
    class Params(AsDense.Params):
        draw: int = param(
            0, "which of many draws, a seed of its own", "chosen: 0 to 4 are five draws of one density", least=0
        )

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        cell = int(torch.randint(2**62, (), generator=access.generator))  # another one for each pair and seed
        self.draws = torch.Generator().manual_seed(cell + self.params.draw)

    def gone(self, weight: Tensor, count: int) -> Tensor:
        return torch.randperm(weight.numel(), generator=self.draws)[:count].to(weight.device)


class RandomMaskSourceFree(RandomMask):
    name = "random-mask-source-free"
    needs = SFMap.needs
    beside = SFMap.name


class RandomMaskDataFree(RandomMask):
    name = "random-mask-data-free"
    needs = DFMap.needs
    beside = DFMap.name


class MagnitudeMask(AsDense):
    name = "magnitude-mask"
    needs = SAMap.needs
    beside = SAMap.name

    def gone(self, weight: Tensor, count: int) -> Tensor:
        """Those of the smallest |w|; of equal ones the first in the layer."""
        size = weight.abs().flatten()
        if not count:
            return torch.empty(0, dtype=torch.int64, device=size.device)
        last = size.kthvalue(count).values  # sorting them all takes ten times as long
        below, equal = (size < last).nonzero().flatten(), (size == last).nonzero().flatten()
        return torch.cat([below, equal[: count - len(below)]])


class MagnitudeMaskSourceFree(MagnitudeMask):
    name = "magnitude-mask-source-free"
    needs = SFMap.needs
    beside = SFMap.name


class MagnitudeMaskDataFree(MagnitudeMask):
    name = "magnitude-mask-data-free"
    needs = DFMap.needs
    beside = DFMap.name
