"""Synthesisers: they make images where a scenario has none. One file = one synthesiser; its cell is of kind `synth`.

    mapbench list methods

A synthesiser is trained once per source model and shared by every method that names it in `inputs`. It keeps the
contract of a method (needs, params, setup, optimizers, step); what it finishes with is a module that can do one of

    draw(count, generator)                  -> images uint8 (count,3,S,S), labels int64: a stand-in for the source
    neighbours(images, labels, generator)   -> the same for images near those given: a stand-in for unknown targets

and `blank` gives an untrained one, which a checkpoint is loaded into.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from methods.base import Access, Method, Needs


class Synthesiser(Method, ABC):
    """Base of all synthesisers. `setup` gets f_s, which stays as it is."""

    needs: ClassVar[Needs] = Needs(source="none", target="none")
    plain: ClassVar[bool] = False  # what it finishes with is no classifier
    share: ClassVar[float] = 1.0  # of the epochs of the suite's synth recipe; what has less to learn takes less

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model.eval().requires_grad_(False), access)

    @abstractmethod
    def blank(self, classes: int, image_size: int) -> nn.Module:
        """An untrained module of the shape that `finish` returns under these params."""
