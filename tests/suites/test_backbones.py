"""Cards against the nets themselves: cost, sizes, taps; and the initial weights, which every key stands for.

Nets are built on torch's meta device, which computes shapes and costs and no numbers.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from suites import SuiteError, backbones
from suites.backbones.pool import Pool

SIZES = (32, 48, 112)  # the least of most; odd maps on the way; the published one that no net halves to the end
ALL = [(name, size) for name, card in backbones.CARDS.items() for size in SIZES if not card.refusal(size)]


def meta(name: str, size: int, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return backbones.build(name, classes, size, 0)


def shapes(net: nn.Module, size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the outputs of everything the net names, for two images."""
    seen: dict[str, tuple[int, ...]] = {}
    for name in {*net.taps, net.feature_tap, net.embedding}:
        net.get_submodule(name).register_forward_hook(lambda m, i, out, name=name: seen.update({name: out.shape}))
    net(torch.empty(2, 3, size, size, device="meta"))
    return seen


def test_what_there_is() -> None:
    vggs = {f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")}
    others = {"convnet", "resnet18", "resnet34", "resnet50", "swin_t", "vit_b_16"}
    assert set(backbones.CARDS) == vggs | others


@pytest.mark.parametrize(("name", "size"), ALL)
def test_cost_is_what_torch_counts(name: str, size: int) -> None:
    """Every multiply-add of convolutions, linear layers and attention; to the last one."""
    net = meta(name, size, classes=65)
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(2, 3, size, size, device="meta"))  # two: BatchNorm refuses to train on one number
    assert counter.get_total_flops() == 2 * 2 * backbones.card(name).macs(size, 65)


@pytest.mark.parametrize(
    ("name", "size", "mmac"),
    [("vgg11", 32, 153), ("vgg13", 64, 914), ("vgg19", 64, 1593), ("vgg19", 112, 4878), ("resnet18", 64, 148),
     ("resnet34", 64, 299), ("resnet50", 64, 334), ("vit_b_16", 64, 1459), ("vit_b_16", 224, 17560)],
)  # fmt: skip
def test_cost_is_the_published_one(name: str, size: int, mmac: int) -> None:
    """baselines.md E1, counted there from other code."""
    assert backbones.card(name).gflop(size) == pytest.approx(2e-3 * mmac, rel=2e-3)


@pytest.mark.parametrize(("name", "size"), [*ALL, ("resnet18", 33), ("swin_t", 36), ("convnet", 44)])
def test_taps_are_maps_with_channels_second_and_end_where_the_card_says(name: str, size: int) -> None:
    net = meta(name, size)
    seen = shapes(net, size)
    maps = [seen[t] for t in net.taps]
    assert len(maps) == {"convnet": 4, "swin_t": 4, "vit_b_16": 0}.get(name, 5)
    assert [m[2] for m in maps] == [m[3] for m in maps]
    if maps:
        assert maps[-1][2] == backbones.card(name).last_tap(size)
        assert [m[1] for m in maps] == sorted(m[1] for m in maps) and maps[-1][1] >= 64
    else:
        assert backbones.card(name).last_tap(size) == 0
    assert len(seen[net.embedding]) == 2


@pytest.mark.parametrize(
    ("name", "feature", "embedding"),
    [
        ("convnet", (32, 16, 16), 128),
        *((f"vgg11{bn}", (256, 16, 16), 256) for bn in ("", "_bn")),  # NTL's features[:10], 65,536 numbers at 64 px
        *((f"vgg{n}{bn}", (128, 16, 16), 256) for n in (13, 16, 19) for bn in ("", "_bn")),
        ("resnet18", (512,), 512),
        ("resnet34", (512,), 512),
        ("resnet50", (2048,), 2048),
        ("swin_t", (768,), 256),
        ("vit_b_16", (768,), 768),
    ],
)
def test_ntl_and_embedding_hang_where_the_field_hangs_them(name: str, feature: tuple[int, ...], embedding: int) -> None:
    """baselines.md B1 and A4, at 64 px."""
    net = meta(name, 64)
    seen = shapes(net, 64)
    assert seen[net.feature_tap] == (2, *feature)
    assert seen[net.embedding] == (2, embedding)


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_ntl_hangs_on_features_9_and_with_batchnorm_in_the_same_place(name: str) -> None:
    plain, normed = meta(name, 32), meta(f"{name}_bn", 32)
    assert plain.feature_tap == "features.9"
    before = {
        net: [type(m) for m in list(net.features)[: int(net.feature_tap.split(".")[1]) + 1]] for net in (plain, normed)
    }
    assert [kind for kind in before[normed] if kind is not nn.BatchNorm2d] == before[plain]


def test_vgg_taps_are_the_poolings() -> None:
    assert meta("vgg11", 64).taps == tuple(f"features.{i}" for i in (2, 5, 10, 15, 20))
    for name in ("vgg13", "vgg16_bn", "vgg19"):
        net = meta(name, 64)
        assert all(isinstance(net.get_submodule(t), nn.MaxPool2d) for t in net.taps)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vgg11", 31, "vgg11 needs images of at least 32 px, this suite has 31"),
        ("convnet", 7, "convnet needs images of at least 8 px"),
        ("resnet18", 28, "resnet18 needs images of at least 32 px"),
        ("swin_t", 28, "swin_t needs images of at least 32 px"),
        ("swin_t", 34, "swin_t needs a multiple of its patch, 4 px, as image size; this suite has 34"),
        ("vit_b_16", 40, "vit_b_16 needs a multiple of its patch, 16 px, as image size; this suite has 40"),
        ("vgg12", 32, "unknown backbone 'vgg12': did you mean vgg"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused_in_one_line(name: str, size: int, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        backbones.build(name, 10, size, 0)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "first", "last", "weight"),
    [
        ("convnet", [-0.001441, 0.103239, -0.158395], [-0.035774, 0.056563, 0.052481], 57.440887),
        ("vgg11", [0.048163, -0.075906, 0.029618], [-0.040244, 0.013638, -0.02254], 79.881037),
    ],
)
def test_initial_weights_are_pinned(name: str, first: list[float], last: list[float], weight: float) -> None:
    """Golden: keys call these weights by the seed alone, so other ones under the same key would be another number.
    First numbers of the first layer, of the last bias, and the sum of |w| of the last layer."""
    state = list(backbones.build(name, 10, 32, 0).parameters())
    assert state[0].flatten()[:3].tolist() == pytest.approx(first, abs=1e-6)
    assert state[-1][:3].tolist() == pytest.approx(last, abs=1e-6)
    assert float(state[-2].detach().double().abs().sum()) == pytest.approx(weight, rel=1e-6)


def test_a_seed_is_all_that_decides_and_the_global_stream_is_left_alone() -> None:
    torch.manual_seed(1)
    a, drawn = backbones.build("convnet", 10, 32, 5), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    b, other = backbones.build("convnet", 10, 32, 5), backbones.build("convnet", 10, 32, 6)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a.parameters(), other.parameters(), strict=True))


def test_cards_load_no_torch() -> None:
    code = (
        "import sys; from suites import backbones;"
        "[c.gflop(64) for c in backbones.CARDS.values()]; print({'torch', 'torchvision', 'numpy'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "set()\n"


@pytest.mark.parametrize("shape", [(4, 16, 32, 32), (2, 3, 7, 8), (1, 8, 2, 2)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_pooling_is_torchs_own_with_and_without_gradients(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    x = torch.randn(shape).round(decimals=1).contiguous(memory_format=layout)  # rounded: there are ties
    ours, theirs = Pool(), nn.MaxPool2d(2)
    assert torch.equal(ours(x), theirs(x))
    grads = []
    for pool in (ours, theirs):
        given = x.clone().requires_grad_()
        (pool(given) ** 2).sum().backward()
        grads.append(given.grad)
    assert torch.equal(*grads)  # type: ignore[arg-type]
