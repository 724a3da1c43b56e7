"""The scenario enforced: a method is served the train parts its `needs` declares, an attack its n images, and no more.

    .venv/bin/pytest tests/harness/test_access.py

Where it declares `generated`, it is served what a synthesiser made; those images go the way of real ones: 8 bits,
shuffled, moved, normalised. A guard against mistakes, not a sandbox. No val or test image passes through here, and of
the attacker's part only to an attack (harness/attacking.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from methods import MethodError
from methods.base import REAL, Batch, Method
from methods.images import normalise, shifted
from suites.schema import Recipe

# Epochs whose generated images are drawn anew; later ones have these again in turn, shuffled and moved anew. That is
# three times as many as f_s itself had. Chosen for time: drawing took a quarter of a cell without a source.
DRAWN = 3


class DataAccess:
    """The `Access` handed to a method's setup, and the batches of its steps.

    `parts` maps "source" and "target" to (images uint8 (n,3,S,S), labels int64 (n,)) of the TRAIN part (for an attack:
    the target's ATTACKER part); what is not served from disk is absent. `inputs` maps the synthesisers that the method
    named to their trained modules, `count` is how many images an epoch draws of a generated source: as many as f_s was
    trained on. Both domains are shuffled independently, once an epoch, from `generator`'s own stream, and an epoch has
    min(n_source, n_target) // batch steps (baselines.md A5). Where the recipe has a `shift`, every image served in a
    batch is moved by up to that many pixels, by a draw of its own.

    `union` says how many of the target's images come from each of its domains, in their order. These are shuffled by
    themselves and take turns, so that each has its share of every batch; a union is as long as the smallest of them
    times their number."""

    def __init__(
        self,
        method: Method,
        parts: dict[str, tuple[Tensor, Tensor]],
        recipe: Recipe,
        classes: int,
        image_size: int,
        seed: int,
        inputs: Mapping[str, Any] | None = None,
        count: int = 0,
        union: Sequence[int] = (),
    ) -> None:
        self.classes, self.image_size = classes, image_size
        self.inputs: Mapping[str, Any] = dict(inputs or {})
        self.generator = torch.Generator().manual_seed(seed)
        self._order = torch.Generator().manual_seed(seed)  # apart, so that a method's draws leave the data order alone
        self._shift = torch.Generator().manual_seed(seed + 1)  # apart, so that a shift leaves it alone too
        self._draw = torch.Generator().manual_seed(seed + 2)
        self._method, self._recipe, self._count = method.name, recipe, count
        self._needs, self._union = method.needs, union
        self._supply = {"source": method.needs.source, "target": method.needs.target}
        self._images = {d: images for d, (images, _) in parts.items() if self._supply[d] in REAL}
        # images may lie on the host where a GPU trains; labels never do
        self._device = {d: labels.device for d, (_, labels) in parts.items()}
        self._labels = {d: labels for d, (_, labels) in parts.items() if self._supply[d] == "labelled"}
        self._drawn: list[dict[str, tuple[Tensor, Tensor]]] = []  # of the last DRAWN epochs, the oldest first

    def source(self) -> tuple[Tensor, Tensor | None]:
        return self._whole("source")

    def target(self) -> tuple[Tensor, Tensor | None]:
        return self._whole("target")

    def _whole(self, domain: str) -> tuple[Tensor, Tensor | None]:
        if domain not in self._images:
            raise self._needs.refusal(self._method, f"{domain} data")
        return normalise(self._images[domain]), self._labels.get(domain)

    def optimizer(
        self, parameters: Iterable[nn.Parameter], lr: float | None = None, betas: tuple[float, float] = (0.9, 0.999)
    ) -> Optimizer:
        r = self._recipe
        rate = r.lr if lr is None else lr
        if r.optimizer == "sgd":
            return SGD(parameters, lr=rate, momentum=r.momentum, weight_decay=r.weight_decay)
        return Adam(parameters, lr=rate, betas=betas, weight_decay=r.weight_decay, fused=True)

    @property
    def batch(self) -> int:
        """Images a step and domain."""
        return self._recipe.batch

    @property
    def steps_per_epoch(self) -> int:
        served = [len(pieces) * min(pieces) for pieces in map(self._pieces, self._images)]
        if "generated" in self._supply.values() or not served:
            served.append(len(self._images.get("source", ())) or self._count)
        return min(served) // self._recipe.batch

    def epoch(self) -> Iterator[Batch]:
        """One epoch's batches, each of `recipe.batch` images per declared domain."""
        images, labels = {**self._images}, {**self._labels}
        for domain, (made, meant) in self._generated().items():
            images[domain], labels[domain] = made, meant
        orders = {d: self._turns(d, len(x)).to(x.device) for d, x in images.items()}
        for step in range(self.steps_per_epoch):
            parts: dict[str, Tensor] = {}
            for domain, held in images.items():
                rows = orders[domain][step * self._recipe.batch :][: self._recipe.batch]
                # not held[rows]: that goes byte by byte, and takes seven times as long on a CPU
                taken = held.index_select(0, rows).to(self._device.get(domain, held.device))
                rows = rows.to(taken.device)
                parts[f"x_{domain[0]}"] = normalise(self._moved(taken))
                if domain in self._images:
                    parts[f"rows_{domain[0]}"] = rows
                if domain in labels:
                    parts[f"y_{domain[0]}"] = labels[domain][rows]
            yield Batch(self._method, self._needs, parts)

    def _pieces(self, domain: str) -> Sequence[int]:
        """How many images each of the domains behind "source" or "target" has."""
        return self._union if domain == "target" and self._union else [len(self._images[domain])]

    def _turns(self, domain: str, count: int) -> Tensor:
        """The rows of one epoch in their order, (n,): each domain of a union shuffled by itself, then in turns."""
        pieces = self._pieces(domain) if domain in self._images else [count]
        starts = [sum(pieces[:i]) for i in range(len(pieces))]
        shuffled = [start + torch.randperm(n, generator=self._order) for start, n in zip(starts, pieces, strict=True)]
        return torch.stack([rows[: min(pieces)] for rows in shuffled], 1).flatten()

    def _generated(self) -> dict[str, tuple[Tensor, Tensor]]:
        """An epoch's generated images and their labels, by domain: new ones, or those of DRAWN epochs ago."""
        if len(self._drawn) == DRAWN:
            made = self._drawn.pop(0)
        else:
            made = {}
            if self._supply["source"] == "generated":
                made["source"] = self._made("draw", self._count)
            if self._supply["target"] == "generated":
                source = made["source"] if "source" in made else (self._images["source"], self._labels["source"])
                made["target"] = self._made("neighbours", *source)
        self._drawn.append(made)
        return made

    def _made(self, how: str, *given: Any) -> tuple[Tensor, Tensor]:
        """Images uint8 and labels that the one input which can `draw` (or make `neighbours`) gives."""
        able = [module for module in self.inputs.values() if hasattr(module, how)]
        if len(able) != 1:
            raise MethodError(
                f"{self._method} declares generated images, but {len(able)} of its inputs "
                f"({', '.join(self.inputs) or 'none'}) can {how}: name one such synthesiser in `inputs`"
            )
        return getattr(able[0], how)(*given, generator=self._draw)

    def _moved(self, images: Tensor) -> Tensor:
        reach = self._recipe.shift
        if not reach:
            return images
        draws = torch.randint(-reach, reach + 1, (2, len(images)), generator=self._shift).to(images.device)
        return shifted(images, *draws)
