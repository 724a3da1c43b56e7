"""Every method in bf16: finite, near its fp32, and with losses, statistics and pictures that are fp32 all the same.

.venv/bin/pytest tests/methods/test_bf16.py
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from harness import numerics, toy
from harness.cards import cards, load
from harness.training import Fitted
from methods.cuti import CUTI
from methods.cuti_source_only import CUTISourceOnly
from methods.df_map import DFMap
from methods.losses import kl
from methods.synthesis.neighbours import Neighbourhood
from methods.synthesis.source_generator import Generator, SourceGenerator, _posed

MORE = {  # settings whose losses have pieces of their own
    "cuti": {"layers": "learned"},
    "ntl": {"tap": "embedding", "bound": "product"},
    "sa-map": {"bn": "batch", "granularity": "filter"},
    "sf-map": {"distill": "1", "hold": "2.5", "guard": "0.5"},
    "df-map": {"distill": "1", "guard": "0.4", "colour": "1", "ink": "1", "texture": "1", "far": "0.5"},
    "source-generator": {"members": "2"},
}
SETTINGS = [(name, {}) for name in sorted(cards())] + list(MORE.items())


@cache
def trained(name: str) -> nn.Module:
    """What others name as an input, in fp32."""
    user = next(card for card in cards().values() if name in (*card.inputs, card.beside))
    return toy.inputs(user, cards())[name]


def fitted(name: str, given: dict[str, str], precision: str) -> Fitted:
    card, model = cards()[name], toy.network(1)
    if card.start == "source":
        model.load_state_dict(toy.source_state())
    inputs = {other: trained(other) for other in (*card.inputs, card.beside) if other}
    method = load(card, card.check(given, "here"))
    return toy.train(method, model, toy.pair(0), inputs=inputs, epochs=1, precision=precision)


@pytest.mark.parametrize(("name", "given"), SETTINGS, ids=lambda of: of if isinstance(of, str) else ",".join(of))
def test_a_method_in_bf16_is_finite_and_near_its_fp32(name: str, given: dict[str, str]) -> None:
    fp32, bf16 = (fitted(name, given, precision) for precision in ("fp32", "bf16"))
    assert fp32.curves.keys() == bf16.curves.keys()
    assert {v.dtype for v in bf16.model.state_dict().values()} <= {torch.float32, torch.int64}
    assert all(torch.isfinite(v).all() for v in bf16.model.state_dict().values())
    assert bf16.curves.get("loss", []) == pytest.approx(fp32.curves.get("loss", []), rel=0.05)
    if "loss" in fp32.curves and name not in ("gate", "continue"):
        assert fp32.curves["loss"] != bf16.curves["loss"]  # or it was no bf16


def test_losses_and_pictures_and_statistics_are_fp32_whatever_the_net_is_in() -> None:
    g = torch.Generator().manual_seed(0)
    maps = (3 + torch.randn(8, 6, 5, 5, generator=g)).bfloat16()  # what a tap shows under autocast
    labels, pictures = torch.arange(8), torch.rand(8, 3, 16, 16, generator=g)

    def both(make: Any) -> tuple[Any, Any]:
        """What `make` gives outside of autocast and within it."""
        outcomes, net = [], nn.Linear(1, 1)
        for precision in ("fp32", "bf16"):
            torch.manual_seed(0)
            with numerics.autocast(precision, net):
                outcomes.append(make())
        return outcomes[0], outcomes[1]

    def same(make: Any) -> bool:
        plain, cast = both(make)
        return bool(cast.dtype == torch.float32 and torch.equal(plain, cast))

    answers = torch.randn(8, 10, generator=g).bfloat16()
    assert same(lambda: kl(answers, labels)) and torch.equal(kl(answers, labels), kl(answers.float(), labels))

    styles = Neighbourhood(1, 16, 0.6)
    assert same(lambda: styles.styled(0, pictures, torch.Generator().manual_seed(0)))
    assert same(lambda: _posed(pictures, 3, 0.2, 0.1))
    painter = Generator(10, 16, 8, 8)
    plain, cast = both(lambda: painter(torch.randn(8, 8), labels))
    assert cast.dtype == torch.float32 and not torch.equal(plain, cast)
    assert len(cast.unique()) > 0.9 * cast.numel()  # of bf16 there are few in 0..1

    for cut in (CUTI(), CUTISourceOnly()):
        _, cast = both(lambda cut=cut: cut._isolate(0, maps))
        torch.manual_seed(0)
        assert cast.dtype == torch.bfloat16 and torch.equal(cast, cut._isolate(0, maps.float()).bfloat16())

    norm = nn.BatchNorm2d(6).eval()
    generator, found = SourceGenerator(), []
    generator.norms = [norm]
    for seen in (maps, maps.float()):
        with generator._statistics(found):
            norm(seen)
    assert found[0].dtype == torch.float32 and torch.equal(found[0], found[1])
    far = DFMap()
    far.norms, far.f_s = [norm], norm
    assert torch.equal(far._seen(maps)[1], far._seen(maps.float())[1])
