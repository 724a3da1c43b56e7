"""Every method on every family of backbones: a step, finite losses, a plain network, a checkpoint that comes back.

What is random is drawn small: four images a step at the least size that the method's taps allow. A method that taps
takes two steps, because CUTI isolates at every other one.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from safetensors.torch import load as parse
from torch import Tensor, nn

from harness.access import DataAccess
from harness.cards import cards, load
from harness.checkpoints import checkpoint
from harness.grid import unfit
from harness.training import Fitted, fit, logits
from methods.base import tapped
from methods.sa_map import SAMap
from suites import backbones
from suites.schema import Recipe, load_suite
from tests.methods.conftest import thinned

FAMILIES = ["vgg11", "vgg11_bn", "resnet18", "swin_t", "vit_b_16"]
RECIPE = Recipe(optimizer="sgd", lr=1e-3, batch=4, epochs=1, schedule="linear")
KNOWN = {name: card for name, card in cards().items() if card.kind == "protect"}
MAKERS = {name: card for name, card in cards().items() if card.kind == "synth"}


def size(method: str) -> int:
    return 64 if KNOWN[method].smallest_tap else 32


@pytest.fixture(scope="module")
def fresh() -> Any:
    """fresh(name, size): a net that is built once and not to be changed; it does not outlive its family's tests."""
    held: dict[tuple[str, int], nn.Module] = {}

    def get(name: str, image_size: int) -> nn.Module:
        if (name, image_size) not in held:
            for other in [key for key in held if key[0] != name]:
                del held[other]
            held[name, image_size] = backbones.build(name, 10, image_size, 0)
        return held[name, image_size]

    return get


def parts(image_size: int, steps: int = 1) -> dict[str, tuple[Tensor, Tensor]]:
    g, n = torch.Generator().manual_seed(0), steps * RECIPE.batch
    return {
        domain: (
            torch.randint(0, 256, (n, 3, image_size, image_size), generator=g, dtype=torch.uint8),
            torch.randint(0, 10, (n,), generator=g),
        )
        for domain in ("source", "target")
    }


def maker(name: str) -> Any:
    return load(MAKERS[name], MAKERS[name].check({}, "test"))


def trained(method: Any, model: nn.Module, image_size: int) -> Fitted:
    torch.manual_seed(0)
    inputs = {name: maker(name).blank(10, image_size) for name in method.inputs}
    inputs |= {method.beside: thinned(model)} if method.beside else {}
    steps = 2 if method.smallest_tap else 1
    access = DataAccess(method, parts(image_size, steps), RECIPE, 10, image_size, 0, inputs, steps * RECIPE.batch)
    assert access.steps_per_epoch == steps
    *_, fitted = fit(method, model, access, RECIPE)
    assert isinstance(fitted, Fitted)
    return fitted


# a control of forms.py is another's loss on other images: that one stands for it
OWN = sorted(name for name, card in KNOWN.items() if not card.file.endswith("forms.py"))
RUNS = [(b, m) for b in FAMILIES for m in OWN if not (b == "vit_b_16" and KNOWN[m].smallest_tap)]


@pytest.mark.parametrize(("backbone", "method"), RUNS)
def test_a_smoke_cell(backbone: str, method: str, fresh: Any) -> None:
    card, px = KNOWN[method], size(method)
    before = fresh(backbone, px)
    fitted = trained(load(card, card.check({}, "test")), copy.deepcopy(before), px)
    assert type(fitted.model) is type(before) or not card.plain
    assert all(torch.isfinite(torch.tensor(curve)).all() for curve in fitted.curves.values())
    state, was = fitted.model.state_dict(), before.state_dict()
    assert all(torch.isfinite(v).all() for v in state.values())
    same = card.plain and all(torch.equal(v, was[k]) for k, v in state.items())
    assert same == (method == "untrained")
    back = parse(checkpoint(fitted.model))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in state.items())


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.parametrize("backbone", FAMILIES)
def test_every_synthesiser_learns_from_every_family(backbone: str, name: str, fresh: Any) -> None:
    """Those without BatchNorm have less to learn from; the source generator says so."""
    before = fresh(backbone, 32)
    model = copy.deepcopy(before)
    fitted = trained(maker(name), model, 32)
    assert all(torch.isfinite(torch.tensor(curve)).all() for curve in fitted.curves.values())
    assert all(torch.equal(v, before.state_dict()[k]) for k, v in model.state_dict().items())
    bare = not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert fitted.flags == (["no-bn-fallback"] if bare and name == "source-generator" else [])


@pytest.mark.parametrize("backbone", FAMILIES)
def test_a_checkpoint_gives_the_same_answers_in_a_net_built_anew(backbone: str, fresh: Any) -> None:
    model, (images, _) = fresh(backbone, 32), parts(32)["target"]
    twin = backbones.build(backbone, 10, 32, 1)
    twin.load_state_dict(parse(checkpoint(model)))
    assert torch.equal(logits(twin, images), logits(model, images))


@pytest.mark.parametrize("backbone", ["vgg11", "resnet18", "swin_t"])
def test_what_cuti_puts_in_at_a_tap_goes_on_through_the_net(backbone: str, fresh: Any) -> None:
    """A tap is on the way, not beside it: zeros put in at it, and at nothing after it, make all images look alike."""
    model, x = copy.deepcopy(fresh(backbone, 64)).eval(), torch.randn(3, 3, 64, 64)
    for tap in model.taps:
        with torch.no_grad(), tapped(model, [tap], lambda i, out: torch.zeros_like(out)):
            out = model(x)
        assert torch.allclose(out[0], out[1], atol=1e-5) and torch.allclose(out[0], out[2], atol=1e-5), tap
    with torch.no_grad(), tapped(model, model.taps, lambda i, out: out):
        kept = model(x)
    with torch.no_grad():
        assert not torch.allclose(kept[0], kept[1], atol=1e-5)
        assert torch.equal(kept, model(x))


@pytest.mark.parametrize(("backbone", "count"), [("resnet18", 21), ("swin_t", 54), ("vit_b_16", 50)])
def test_sa_map_scores_every_conv_linear_and_attention_matrix(backbone: str, count: int, fresh: Any) -> None:
    """By number: resnet18 has 20 convolutions and a head; swin_t 1 + 12 x 4 + 3 + 2; vit_b_16 1 + 12 x (qkv, out, 2)
    + 1. All that is left are vectors, the class token, and embeddings of position."""
    method, model = SAMap(), copy.deepcopy(fresh(backbone, 32))
    access = DataAccess(method, parts(32), RECIPE, 10, 32, 0)
    method.setup(model, access)
    assert len(method.scores) == count
    assert len(list(method.weights.values())[-1]) == 10  # what `last_layer` means by the last: it has the classes
    rest = {n: p for n, p in model.named_parameters() if n not in method.scores and p.ndim > 1}
    assert all(n.endswith(("class_token", "pos_embedding", "relative_position_bias_table")) for n in rest)
    (batch, *_) = access.epoch()
    method.step(batch)[0].backward()
    assert all(s.grad is not None and s.grad.abs().sum() > 0 for s in method.scores.values())


@pytest.mark.parametrize(
    ("backbone", "px", "why"),
    [("vit_b_16", 64, "it works on maps, and vit_b_16 has none to tap"), ("resnet18", 32, "its last tap is 1x1"),
     ("swin_t", 32, "its last tap is 1x1"), ("vgg16_bn", 32, "its last tap is 1x1"), ("resnet18", 33, None),
     ("swin_t", 36, None), ("vgg19", 64, None)],
)  # fmt: skip
def test_cuti_is_refused_where_it_is_undefined_and_nothing_else_is(backbone: str, px: int, why: str | None) -> None:
    suite = load_suite("digits-mini").model_copy(update={"image_size": px})
    said = {name: unfit(card, backbone, suite) for name, card in KNOWN.items()}
    assert {name for name, reason in said.items() if reason} == ({n for n in KNOWN if "cuti" in n} if why else set())
    assert why is None or why in str(said["cuti"])
