"""DF-MAP, data-free mask pruning: SA-MAP's mask, trained on generated source images and their generated neighbours.

    mapbench run digits-mini -m df-map -m 'df-map[tuned]'

A re-implementation from the public description of MAP (Peng et al., CVPR 2024), whose body was not available to us.
L = CE(p_t(x_s'), y_s') - min(lambda CE(p_t(x_n), y_s'), alpha), x_n = D(x_s') with its label kept, is map.md 6. One
model per source; every other domain of the suite is its target. The mask and `distill` are sa_map.py's and sf_map.py's.

As described it moves little (trials.md): f_s reads few of D's pictures, so f_t is asked to leave what was never there.
The params below are ours, against that, and no part of MAP's description, hence off:

* `colour`, `pale`, `bold`, `ink` and `texture` put x_s' itself in another look (looks.py) in the place of D's picture;
  they are shares of the neighbours;
* `far` leaves only what f_s reads as meant and what lies outside of the source, as far as f_s's BatchNorms can tell:
  a net cannot leave a domain that it cannot tell from its own;
* `guard` is sf_map.py's, and moves a source's picture towards its own other look.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods import MethodError
from methods.base import Access, Batch, Needs, param
from methods.images import from_pixels, to_pixels
from methods.looks import LOOKS
from methods.pseudo import NONE
from methods.sf_map import Distilled

DRAWS = 1024  # generated pictures that say how far from its mean the source lies
CHUNK = 512  # only how many of them are in memory at once
FLAT = 1e-4  # added to a spread, for channels that are always the same
NORMS = 3  # of f_s's BatchNorms, from the picture on: what is later knows classes rather than looks


class DFMap(Distilled):
    name = "df-map"
    cycle = 1
    needs = Needs(source="generated", target="generated")
    inputs = ("source-generator", "diversity-generator")

    @dataclass(frozen=True)
    class Params(Distilled.Params):
        colour: float = param(
            0.0, "share of recoloured pictures", "ours; all 0: D's, as described", later=True, least=0
        )
        pale: float = param(0.0, "share of grey ones of little contrast", "ours; 0: as described", later=True, least=0)
        bold: float = param(0.0, "share of grey ones of much contrast", "ours; 0: as described", later=True, least=0)
        ink: float = param(0.0, "share of ones in two greys", "ours; 0: as described", later=True, least=0)
        texture: float = param(0.0, "share of ones over clouds of colour", "ours; 0: as described", later=True, least=0)
        far: float = param(
            0.0, "share of generated source pictures that a neighbour has to lie farther out than, and be read by f_s",
            "ours; 0: as described, every neighbour counts", later=True, least=0, most=1,
        )  # fmt: skip

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        p = self.params
        self.looks = {look: share for name, look in LOOKS.items() if (share := getattr(p, name))}
        self.shares = torch.tensor(list(self.looks.values()), device=next(model.parameters()).device)
        self.left: Tensor | None = None  # which of a batch's neighbours are to be left; None: all
        if p.far:
            self.norms = [m for m in self.f_s.modules() if isinstance(m, nn.BatchNorm2d)][:NORMS]
            if not self.norms:
                raise MethodError(f"{self.name}[far] is undefined on a backbone without BatchNorm: leave it out")
            images, _ = access.inputs["source-generator"].draw(DRAWS, generator=access.generator)
            x = images.float() / 255
            x = self.guarded(x, self._another(x)) if self.looks else x
            seen = torch.cat([self._seen(from_pixels(part))[1] for part in x.split(CHUNK)])
            self.centre, self.width = seen.mean(0), seen.std(0) + FLAT
            self.edge = self._distance(seen).quantile(p.far)

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, x_t, y_t = batch.x_s, batch.x_t, batch.y_t
        if self.looks:
            x_t, y_t = from_pixels(self._another(to_pixels(x_s))), batch.y_s
        if self.params.far:
            logits, seen = self._seen(x_t)
            self.left = (logits.argmax(1) == y_t) & (self._distance(seen) > self.edge)
            y_t = y_t.where(self.left, NONE)
        loss, terms = super().step(batch.replaced(x_s=x_s, x_t=x_t, y_t=y_t))
        if self.left is not None:  # the mean over those with a label
            terms["target_ce"] = terms["target_ce"] * len(self.left) / self.left.sum().clamp_min(1)
        return loss, terms

    def target_gain(self, target: Tensor, among: Tensor | None = None) -> Tensor:
        """As its parents', over the neighbours that are to be left; 0 where none is."""
        return super().target_gain(target, self.left)

    def _another(self, x: Tensor) -> Tensor:
        """Each picture (n,3,S,S) in 0..1 in one other look, by the shares."""
        which = torch.multinomial(self.shares, len(x), replacement=True)[:, None, None, None]
        made = torch.zeros_like(x)
        for i, look in enumerate(self.looks):
            made = torch.where(which == i, look(x), made)
        return made

    @torch.no_grad()
    def _seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """f_s's logits (n,K), and of each image the mean and standard deviation of every channel that enters its first
        BatchNorms, (n,D)."""
        seen: list[Tensor] = []

        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            maps = args[0].float()  # statistics are fp32, as those of the setup are
            seen.extend((maps.mean((2, 3)), maps.std((2, 3))))

        handles = [m.register_forward_pre_hook(look) for m in self.norms]
        try:
            logits = self.f_s(images)
        finally:
            for handle in handles:
                handle.remove()
        return logits, torch.cat(seen, 1)

    def _distance(self, seen: Tensor) -> Tensor:
        """Squared distance from the generated source's mean, in units of its spread, mean over channels: (n,)."""
        return ((seen - self.centre) / self.width).square().mean(1)
