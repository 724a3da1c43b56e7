"""`source-generator`: pictures of the source made out of f_s alone, for the methods that may not see the source.

    mapbench run digits-mini -m sf-map

A conditional generator G(z, y) under a class loss of frozen f_s, the statistics its BatchNorms remember, and total
variation: map.md 5, which recalls MAP's two main terms and leaves their weights and the architecture open. Ours,
because the plain form collapses to one colour cloud a class which f_s accepts and nobody else does (trials.md), is:

* the class loss is asked of pictures each moved, turned, zoomed and made noisy, with features of f_s dropped, so that
  an image has to be a picture of its class in many ways and not by one accident of f_s;
* BatchNorm statistics are compared on their own scale (a Gaussian's), so that no layer with large values decides alone;
* two pictures of one class must differ in f_s's own features (mode seeking), and z sets the style of every layer.

Half of what it draws comes from the generator as it ended (fresh), half from its moving average (memory).
Without BatchNorm (plain VGG) the statistics are missing: DAFL's terms stand in and the run is flagged (map.md 5).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from methods.base import Access, Batch, param, tapped
from methods.images import from_pixels, shifted, to_bytes
from methods.synthesis import Synthesiser

CHUNK = 128  # images drawn at once; the generators' BatchNorm always runs on the batch's own statistics
EPS = 0.05  # keeps 1 / difference finite for two equal pictures


class Generator(nn.Module):
    """z (n, latent) and y (n,) to pictures in 0..1, (n,3,S,S): from S/4 up twice; z sets the style of every layer."""

    def __init__(self, classes: int, image_size: int, latent: int, width: int) -> None:
        super().__init__()
        self.latent, self.sides = latent, [-(-image_size // 4), -(-image_size // 2), image_size]
        wide = (width, width // 2, width // 4)
        self.embed = nn.Embedding(classes, latent)
        self.start = nn.Linear(2 * latent, wide[0] * self.sides[0] ** 2)
        self.norm = nn.BatchNorm2d(wide[0], track_running_stats=False)
        self.style = nn.Sequential(nn.Linear(latent, latent), nn.LeakyReLU(0.2))
        pairs = list(itertools.pairwise(wide))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b, affine=False, track_running_stats=False) for _, b in pairs)
        self.styles = nn.ModuleList(nn.Linear(latent, 2 * b) for _, b in pairs)
        self.paint = nn.Conv2d(wide[2], 3, 3, padding=1)
        self.colours = nn.Linear(latent, 12)  # a 3x3 mix of the channels and an offset, per picture

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        style = self.style(z)
        h = self.start(torch.cat([z, self.embed(y)], 1)).view(len(z), -1, self.sides[0], self.sides[0])
        h = self.norm(h.contiguous(memory_format=torch.channels_last))
        for side, conv, norm, styled in zip(self.sides[1:], self.convs, self.norms, self.styles, strict=True):
            gain, shift = styled(style)[:, :, None, None].chunk(2, 1)
            h = _doubled(h, conv.get_parameter("weight"))[..., :side, :side]
            h = F.leaky_relu(norm(h) * (1 + gain) + shift, 0.2)
        mix, offset = self.colours(style).split([9, 3], 1)
        mix, painted = mix.view(-1, 3, 3) + torch.eye(3, device=z.device), self.paint(h)
        with torch.autocast(z.device.type, enabled=False):  # a picture is fp32: a grey level is a step of bf16
            mixed = torch.einsum("nij,njhw->nihw", mix, painted.float())
            return torch.sigmoid(mixed + offset.float()[:, :, None, None])


def _doubled(h: Tensor, weight: Tensor) -> Tensor:
    """h (n,a,S,S) at twice the size, nearest neighbour, and convolved with `weight` (b,a,3,3) and padding: (n,b,2S,2S).

    Four neighbouring pixels of the larger picture are one of h, so the kernel can be summed first: 16 products for each
    pixel of h instead of 36."""
    w = weight.flip(2, 3).transpose(0, 1)
    kernel = F.pad(w, (0, 1, 0, 1)) + F.pad(w, (1, 0, 0, 1)) + F.pad(w, (0, 1, 1, 0)) + F.pad(w, (1, 0, 1, 0))
    made: Tensor = F.conv_transpose2d(h, kernel.contiguous(memory_format=torch.channels_last), stride=2, padding=1)
    return made


class Source(nn.Module):
    """What the training ends with: the generators (fresh) and their moving averages (memory)."""

    def __init__(
        self, members: int, classes: int, image_size: int, latent: int, width: int, reach: float, jitter: int
    ) -> None:
        super().__init__()
        self.classes, self.reach, self.jitter = classes, reach, jitter
        self.fresh = nn.ModuleList(Generator(classes, image_size, latent, width) for _ in range(members))
        self.memory = copy.deepcopy(self.fresh)

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` pictures, uint8 (count,3,S,S), and the classes they were drawn for, int64: all classes alike often,
        all generators alike often, half fresh and half from memory. z lies `reach` times as far out as in training,
        and each picture is moved by up to `jitter` pixels, which the generators themselves hardly do."""
        nets = [*self.fresh, *self.memory]
        device = next(self.parameters()).device
        images, labels = [], []
        for i, size in enumerate(_shares(count, len(nets) * -(-count // (CHUNK * len(nets))))):
            net = nets[i % len(nets)]
            y = (torch.arange(CHUNK, device=device) + i * CHUNK) % self.classes
            z = self.reach * torch.randn(CHUNK, net.latent, generator=generator).to(device)
            kept = torch.randperm(CHUNK, generator=generator)[:size].to(device)
            moves = torch.randint(-self.jitter, self.jitter + 1, (2, size), generator=generator).to(device)
            images.append(shifted(to_bytes(net(z, y)[kept]), *moves))
            labels.append(y[kept])
        return torch.cat(images), torch.cat(labels)


def _shares(count: int, parts: int) -> list[int]:
    """`count` in `parts` whole parts that differ by one at most."""
    return [count // parts + (i < count % parts) for i in range(parts)]


class SourceGenerator(Synthesiser):
    name = "source-generator"
    # 1 moved the whole batch by the same pixels: f_s then took shapes for digits that nobody else did. 2 had no reach
    version = 3
    cycle = 1

    @dataclass(frozen=True)
    class Params:
        members: int = param(1, "generators trained side by side, each on its share of the batch", "ours", least=1)
        latent: int = param(64, "length of z and of the class embedding", "ours; 256 in DFQ, map.md 5", least=1)
        width: int = param(64, "channels at a quarter of the image size, halved twice", "ours", least=4)
        bn: float = param(
            10.0, "weight of the BatchNorm statistics", "ours; 1 to 10 on another scale in map.md 5", least=0
        )
        tv: float = param(0.1, "weight of total variation", "ours; map.md 5", least=0)
        move: int = param(3, "class loss: pixels a picture is moved by at most", "ours; digits-mini's shift", least=0)
        turn: float = param(0.2, "class loss: radians a picture is turned by at most", "ours", least=0)
        zoom: float = param(0.1, "class loss: logarithm of the largest zoom, in or out", "ours", least=0)
        noise: float = param(0.3, "class loss: largest standard deviation of the noise, of 0..1", "ours", least=0)
        drop: float = param(0.4, "class loss: share of f_s's features that are dropped", "ours", least=0, most=1)
        spread: float = param(
            0.2, "weight of mode seeking in f_s's features", "ours; trials.md found it needed", least=0
        )
        spread_pixels: float = param(0.1, "weight of mode seeking in pixels", "ours", least=0)
        reach: float = param(
            1.1, "standard deviation of z when pictures are drawn; in training it is 1",
            "ours; on digits-mini's val each tenth adds .03 to .05 of diversity and costs the judge .00 to .02",
            least=0,
        )  # fmt: skip
        jitter: int = param(
            1, "pixels a picture is moved by at most when it is drawn", "ours; 2 costs the judge more", least=0
        )
        memory: float = param(
            0.99, "momentum of the memory's moving average", "0.999 for longer schedules, map.md U7", least=0, most=1
        )

    def blank(self, classes: int, image_size: int) -> Source:
        p = self.params
        return Source(p.members, classes, image_size, p.latent, p.width, p.reach, p.jitter)

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        device = next(model.parameters()).device
        self.source = self.blank(access.classes, access.image_size).to(device).to(memory_format=torch.channels_last)
        self.steps = torch.zeros((), device=device)
        self.norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        if not self.norms:
            self.flags.append("no-bn-fallback")

    def optimizers(self) -> list[Optimizer]:
        return [self.access.optimizer(self.source.fresh.parameters(), betas=(0.5, 0.999))]  # map.md 5

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        p, pairs = self.params, self.access.batch // 2
        self._remember()
        y = torch.randint(self.access.classes, (pairs,), device=next(self.model.parameters()).device).repeat(2)
        x = self._pictures(y)
        features: dict[int, Tensor] = {}
        statistics: list[Tensor] = []
        seen = [self.model.feature_tap, self.model.embedding]
        with self._statistics(statistics), tapped(self.model, seen, lambda i, out: features.update({i: out.float()})):
            logits = self.model(from_pixels(x))
        terms = {
            "class": F.cross_entropy(self._disturbed(x), y),
            "prior": p.bn * torch.stack(statistics).sum() if statistics else _dafl(logits, features[1]),
            "tv": p.tv * ((x[:, :, 1:] - x[:, :, :-1]).abs().mean() + (x[..., 1:] - x[..., :-1]).abs().mean()),
            "spread": p.spread * _closeness(features[0], features[0].detach().abs().mean())
            + p.spread_pixels * _closeness(x, 1.0),
        }
        return torch.stack(list(terms.values())).sum(), {k: v.detach() for k, v in terms.items()}

    def finish(self) -> nn.Module:
        return self.source

    def _pictures(self, y: Tensor) -> Tensor:
        """One picture for each label, (n,3,S,S) in 0..1, from the members in turn."""
        members = len(self.source.fresh)
        z = torch.randn(len(y), self.params.latent, device=y.device)
        made = [net(z[i::members], y[i::members]) for i, net in enumerate(self.source.fresh)]
        x = torch.empty((len(y), *made[0].shape[1:]), device=y.device)
        for i, pictures in enumerate(made):
            x[i::members] = pictures
        return x

    def _disturbed(self, x: Tensor) -> Tensor:
        """Logits of f_s, features dropped, for the pictures each moved, turned, zoomed and with noise of its own."""
        p = self.params
        moved = _posed(x, p.move, p.turn, p.zoom)
        moved = moved + p.noise * torch.rand(len(x), 1, 1, 1, device=x.device) * torch.randn_like(x)

        def dropped(index: int, out: Tensor) -> Tensor:
            return F.dropout2d(out, p.drop) if out.ndim == 4 else F.dropout(out, p.drop)

        with tapped(self.model, [*self.model.taps, self.model.embedding], dropped):
            logits: Tensor = self.model(from_pixels(moved))
        return logits

    @contextmanager
    def _statistics(self, found: list[Tensor]) -> Iterator[None]:
        """Collect, for each BatchNorm, how far its input is from what it remembers: mean over channels of
        ((mu - mu_bn)^2 + (sigma - sigma_bn)^2) / sigma_bn^2."""

        def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            assert isinstance(module, nn.BatchNorm2d)
            assert module.running_mean is not None and module.running_var is not None
            maps = args[0].float()  # statistics are fp32, as those that it remembers are
            mean, std = maps.mean((0, 2, 3)), (maps.var((0, 2, 3)) + module.eps).sqrt()
            wanted = (module.running_var + module.eps).sqrt()
            found.append((((mean - module.running_mean) ** 2 + (std - wanted) ** 2) / wanted**2).mean())

        handles = [m.register_forward_pre_hook(look) for m in self.norms]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def _remember(self) -> None:
        """The moving average; a plain mean at first, so that the untrained start does not linger in it."""
        self.steps += 1
        share = (1 / self.steps).clamp_min(1 - self.params.memory)
        for old, new in zip(self.source.memory.parameters(), self.source.fresh.parameters(), strict=True):
            old.lerp_(new, share)


def _posed(x: Tensor, move: float, turn: float, zoom: float) -> Tensor:
    """Each picture (n,3,S,S) moved by up to `move` pixels, turned by up to `turn` radians and zoomed by up to a factor
    of e^`zoom`, evenly; what comes in from outside repeats the border."""
    dx, dy, angle, scale = (2 * torch.rand(4, len(x), device=x.device) - 1).unbind()
    shift = 2 * move / x.shape[-1]  # grid_sample's coordinates run from -1 to 1
    scale = (zoom * scale).exp()
    cos, sin = scale * (turn * angle).cos(), scale * (turn * angle).sin()
    pose = torch.stack([torch.stack([cos, -sin, shift * dx], 1), torch.stack([sin, cos, shift * dy], 1)], 1)
    with torch.autocast(x.device.type, enabled=False):  # places to 1/256 of a picture are pixels apart
        where = F.affine_grid(pose, list(x.shape), align_corners=False)
    return F.grid_sample(x, where, padding_mode="border", align_corners=False)


def _closeness(values: Tensor, scale: Tensor | float) -> Tensor:
    """Mean of 1 / (difference + EPS) over the pairs (i, i + n/2) of (n, ...), differences in units of `scale`."""
    a, b = values.flatten(1).chunk(2)
    return (1 / ((a - b).abs().mean(1) / scale + EPS)).mean()


def _dafl(logits: Tensor, embedding: Tensor) -> Tensor:
    """Without BatchNorm: classes in balance and strong features, DAFL's weights (map.md 5)."""
    mean = logits.softmax(1).mean(0)
    return 20 * (mean * mean.clamp_min(1e-8).log()).sum() - 1e-3 * embedding.abs().mean()
