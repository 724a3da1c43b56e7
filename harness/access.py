"""The scenario enforced: a method is served the train parts its `needs` declares, an attack its n images, and no more.

    .venv/bin/pytest tests/harness/test_access.py

Where it declares `generated`, it is served what a synthesiser made; those images go the way of real ones: 8 bits,
shuffled, moved, normalised. A guard against mistakes, not a sandbox. No val or test image passes through here, and of
the attacker's part only to an attack (harness/attacking.py).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from harness.drawn import Drawn, Made
from methods import MethodError
from methods.adam import Adam
from methods.base import REAL, Batch, Method
from methods.images import normalise, shifted
from suites.schema import Recipe

# Bytes of normalised images that are made at once, for several steps: what is done to an image on its way is a dozen
# small operations, whose calls take longer than their work. On a CPU so many as stay in its cache until they are used.
SERVED = {"cpu": 3 << 20, "cuda": 64 << 20}


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
    times their number. `drawn` holds the generated images of cells that draw the same ones."""

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
        drawn: Drawn | None = None,
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
        self._drawn, self._epochs = Drawn() if drawn is None else drawn, 0

    def twin(self) -> DataAccess:
        """The same, with a generator of its own in the state that this one's is in."""
        other = copy.copy(self)
        other.generator = self.generator.clone_state()
        return other

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
        return Adam(parameters, lr=rate, betas=betas, weight_decay=r.weight_decay)

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
        at_once = self._at_once(images)
        for first in range(0, self.steps_per_epoch, at_once):
            steps = min(at_once, self.steps_per_epoch - first)
            rows = {d: order[first * self.batch :][: steps * self.batch] for d, order in orders.items()}
            yield from self._served(images, labels, rows, steps)

    def _at_once(self, images: Mapping[str, Tensor]) -> int:
        """Steps whose images are made together."""
        place = next((self._place(domain, held) for domain, held in images.items()), None)
        step = max(1, len(images)) * self.batch * 3 * self.image_size**2 * 4  # bytes, float32
        return max(1, SERVED.get(place.type if place else "cpu", SERVED["cpu"]) // step)

    def _place(self, domain: str, held: Tensor) -> torch.device:
        """Where a domain's images are wanted."""
        return self._device.get(domain, held.device)

    def _served(
        self, images: dict[str, Tensor], labels: dict[str, Tensor], rows: dict[str, Tensor], steps: int
    ) -> Iterator[Batch]:
        """The batches of so many steps. `rows` are the images' places, (steps * batch,) of each domain."""
        if not images:
            for _ in range(steps):
                yield Batch(self._method, self._needs, {})
            return
        taken, beside = [], {}
        domains = sorted(images)  # the source first, as batch.joint has them
        for domain in domains:
            held = images[domain]
            # not held[rows]: that goes byte by byte, and takes seven times as long on a CPU
            mine = held.index_select(0, rows[domain]).to(self._place(domain, held))
            taken.append(mine.unflatten(0, (steps, self.batch)))
            here = rows[domain].to(mine.device)
            if domain in self._images:
                beside[f"rows_{domain[0]}"] = here.view(steps, -1)
            if domain in labels:
                beside[f"y_{domain[0]}"] = labels[domain][here].view(steps, -1)
        # (steps, domains * batch, 3, S, S): the domains of a step lie side by side, for methods that take both at once
        pictures = taken[0] if len(taken) == 1 else torch.stack(taken, 1).flatten(1, 2)
        pictures = pictures.flatten(0, 1)
        if self._recipe.shift:
            pictures = shifted(pictures, *self._moves(list(images), steps).to(pictures.device))
        pictures = normalise(pictures).unflatten(0, (steps, -1))
        for step in range(steps):
            joint = pictures[step]
            parts = dict(zip([f"x_{domain[0]}" for domain in domains], joint.split(self.batch), strict=True))
            if len(domains) > 1:
                parts["joint"] = joint
            yield Batch(self._method, self._needs, {**parts, **{name: held[step] for name, held in beside.items()}})

    def _pieces(self, domain: str) -> Sequence[int]:
        """How many images each of the domains behind "source" or "target" has."""
        return self._union if domain == "target" and self._union else [len(self._images[domain])]

    def _turns(self, domain: str, count: int) -> Tensor:
        """The rows of one epoch in their order, (n,): each domain of a union shuffled by itself, then in turns."""
        pieces = self._pieces(domain) if domain in self._images else [count]
        starts = [sum(pieces[:i]) for i in range(len(pieces))]
        shuffled = [start + torch.randperm(n, generator=self._order) for start, n in zip(starts, pieces, strict=True)]
        return torch.stack([rows[: min(pieces)] for rows in shuffled], 1).flatten()

    def _generated(self) -> Made:
        """An epoch's generated images and their labels, by domain."""
        self._epochs += 1
        return self._drawn.epoch(self._epochs - 1, self._draw, self._drawing)

    def _drawing(self) -> Made:
        made: Made = {}
        if self._supply["source"] == "generated":
            made["source"] = self._made("draw", self._count)
        if self._supply["target"] == "generated":
            source = made["source"] if "source" in made else (self._images["source"], self._labels["source"])
            made["target"] = self._made("neighbours", *source)
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

    def _moves(self, drawn: list[str], steps: int) -> Tensor:
        """How far the images of so many steps are moved down and right, (2, steps * domains * batch), source first;
        drawn step by step, in a step domain by domain as `drawn` has them."""
        reach, batch = self._recipe.shift, self.batch
        draws = torch.randint(-reach, reach + 1, (steps, len(drawn), 2, batch), generator=self._shift)
        places = [drawn.index(domain) for domain in sorted(drawn)]
        return draws[:, places].permute(2, 0, 1, 3).flatten(1)
