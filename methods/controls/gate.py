"""`gate`: a domain classifier before f_s; what it takes for the target is answered at random, the rest by f_s itself.

    mapbench run digits-mini -m gate

f_s is not touched, so the source keeps its answers wherever the gate lets it through, and the logits of a refused image
hold nothing to decode: in trials it lost 0.0-0.3 % of the source and left 10-12 % to a logistic map (trials.md 5). Its
weakness is another: whoever has the weights takes the gate off. A method has to be worth more than this on a board of
attackers who hold the weights, or at least as much on one of those who do not.

It is the one form a plain network cannot have, so it says `plain = False`: its checkpoint holds f_s under `f_s.`, the
domain classifier under `gate.` and the salt of the random answers, and loads into `Gate().skeleton(model)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from methods.base import Access, Batch, Method, Needs, param

# Pixels come normalised, one grey level apart by 1/255/0.229 or so: 64 steps a unit tell any two levels apart, and none
# of the 3 x 256 values lies within 0.0008 of a tie, so an image has the same answer on every device.
STEPS = 64
GOLDEN, MIX1, MIX2 = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # splitmix64's, as signed int64


def mixed(z: Tensor) -> Tensor:
    """splitmix64's finaliser on int64 (Steele, Lea and Flood, 2014): every bit of z moves half the bits of the result.

    Products wrap around, as they should; a right shift of a negative number drags its sign in, hence the masks."""
    z = (z ^ ((z >> 30) & (1 << 34) - 1)) * MIX1
    z = (z ^ ((z >> 27) & (1 << 37) - 1)) * MIX2
    return z ^ ((z >> 31) & (1 << 33) - 1)


class Gated(nn.Module):
    """f_s's logits (n, K) where `gate` takes an image (n,3,S,S) for the source, and random ones where not."""

    def __init__(self, f_s: nn.Module) -> None:
        super().__init__()
        self.f_s = f_s
        self.gate = nn.Sequential(
            *(layer for wide_in, wide in ((3, 16), (16, 32), (32, 64)) for layer in _stage(wide_in, wide)),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1),
        )  # fmt: skip
        self.salt: Tensor
        self.register_buffer("salt", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.f_s(x)
        return torch.where(self.gate(x) > 0, self.answers(x, logits.shape[1]).to(logits.dtype), logits)

    def answers(self, x: Tensor, classes: int) -> Tensor:
        """Logits (n, K), float32, uniform on [0, 1): drawn by a hash of the image's pixels and the salt, so an image
        asked for twice, in whatever batch, is answered alike, and every class is as likely to come first."""
        pixels = (x.float() * STEPS).round().to(torch.int64).flatten(1)
        places = torch.arange(1, pixels.shape[1] + 1, device=x.device)
        image = mixed((pixels * mixed(places * GOLDEN + self.salt)).sum(1))
        draws = mixed(image[:, None] + torch.arange(1, classes + 1, device=x.device) * GOLDEN)
        return ((draws >> 40) & (1 << 24) - 1).float() / (1 << 24)  # 24 bits: what a float32 holds


def _stage(wide_in: int, wide: int) -> list[nn.Module]:
    conv = nn.Conv2d(wide_in, wide, 3, stride=2, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]


class Gate(Method):
    name = "gate"
    control = True
    fidelity = "control"
    plain = False
    needs = Needs(source="labelled", target="unlabelled")
    cycle = 1

    @dataclass(frozen=True)
    class Params:
        lr: float | None = param(
            1e-3, "learning rate of the gate; none = the recipe's", "chosen: it starts untrained", least=0
        )

    def setup(self, model: nn.Module, access: Access) -> None:
        super().setup(model, access)
        model.eval().requires_grad_(False)
        self.gated = self.skeleton(model)

    def skeleton(self, model: nn.Module) -> Gated:
        gated = Gated(model)
        gated.to(next(model.parameters()).device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return gated

    def optimizers(self) -> list[Optimizer]:
        return [self.access.optimizer(self.gated.gate.parameters(), lr=self.params.lr)]

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The gate alone learns, to tell the two domains apart; BatchNorm sees both halves of a step at once."""
        taken = self.gated.gate(batch.joint).flatten()
        is_target = (torch.arange(len(taken), device=taken.device) >= len(batch.x_s)).float()
        loss = F.binary_cross_entropy_with_logits(taken, is_target)
        right = ((taken > 0) == (is_target > 0)).float().mean()
        return loss, {"domain_ce": loss.detach(), "domain_accuracy": right}

    def finish(self) -> nn.Module:
        """Another salt for another seed: otherwise the random answers would be the same in all of them."""
        self.gated.salt.copy_(torch.randint(2**62, (), generator=self.access.generator))
        return self.gated.requires_grad_(True)
