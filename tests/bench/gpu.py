"""Cells of every family at the paper's size on one GPU: VGG11 and VGG13, 64 and 32 px, 5,000 images, batches of 32.

    PYTHONPATH=. python tests/bench/gpu.py               4 epochs of each: 93 s for the first of 3 tables on an H200
    PYTHONPATH=. python tests/bench/gpu.py --epochs 30   the full cells of NTL's and CUTI's digits, 10 minutes or so
    PYTHONPATH=. python tests/bench/gpu.py --quick       one table in 2 epochs of 160 images, to see that it runs

Needs torch, torchvision, pydantic and PyYAML; neither Ray nor MLflow nor data. The images are made here, so the
accuracies only say whether a cell did what it is for; what is measured is the time, by epochs, the first one aside.
What came out stands in docs/performance.md.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.access import DataAccess
from harness.cards import cards, load
from harness.training import Fitted, fit, logits
from methods.base import REAL
from suites import backbones
from suites.schema import Recipe

CLASSES = 10
# Adam at 1e-4, batches of 32 and 30 epochs are NTL's and CUTI's released code on digits (baselines.md A5); MAP's recipe
# is not published
PAPER = Recipe(optimizer="adam", lr=1e-4, batch=32, epochs=30, schedule="constant")
TRAIN = PAPER.model_copy(update={"epochs": 3})  # these images are easily learned
SYNTH = Recipe(optimizer="adam", lr=2e-3, batch=128, epochs=8, schedule="linear")  # 8 x 39 steps, digits-mini's 320
METHODS = [
    "continue", "uniform", "ntl", "cuti", "sa-map", "ntl-source-only", "cuti-source-only",
    "sf-map", "ntl-source-free", "cuti-source-free", "df-map",
]  # fmt: skip
MAKERS = ["source-generator", "diversity-generator", "source-neighbours"]
Parts = dict[str, tuple[Tensor, Tensor]]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--epochs", type=int, default=4)
    given = asked.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # lines that are there when time runs out
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, float32 without tf32\n")
    epochs, count = (2, 160) if given.quick else (given.epochs, 5000)
    for backbone, size in (("vgg11", 64), ("vgg11", 32), ("vgg13", 64))[: 1 if given.quick else None]:
        table(backbone, size, epochs, count, device)


def table(backbone: str, size: int, epochs: int, count: int, device: torch.device) -> None:
    """One line for each synthesiser, and each method that is defined there, on one f_s."""
    parts, held = domains(size, count, device), domains(size, 512, device)
    net = backbones.build(backbone, CLASSES, size, 0).to(device)
    f_s, *_ = cell("continue", net, parts, {}, TRAIN)
    print(f"{backbone}, {size} px, {count} images a domain, {epochs} epochs\n")
    print("| cell | ms a step | seconds | peak MiB | finite | source | target |")
    print("|---|---:|---:|---:|---|---:|---:|")
    print(f"| f_s | | | | | {right(f_s, held['source']):.3f} | {right(f_s, held['target']):.3f} |")
    made: dict[str, nn.Module] = {}
    for maker in MAKERS:
        recipe = SYNTH.model_copy(update={"epochs": min(SYNTH.epochs, epochs)})
        module, *said = cell(maker, copy.deepcopy(f_s), parts, made, recipe)
        made[maker] = module.eval().requires_grad_(False)
        print(line(maker, *said) + " | |")
    tap = backbones.CARDS[backbone].last_tap(size)
    for method in (name for name in METHODS if tap >= cards()[name].smallest_tap):
        model, *said = cell(method, copy.deepcopy(f_s), parts, made, PAPER.model_copy(update={"epochs": epochs}))
        print(line(method, *said) + f" {right(model, held['source']):.3f} | {right(model, held['target']):.3f} |")
    print()


def cell(
    name: str, net: nn.Module, parts: Parts, made: dict[str, nn.Module], recipe: Recipe
) -> tuple[nn.Module, float, float, float, bool]:
    """A whole training: the module, seconds a step (first epoch aside), seconds, peak MiB, whether it is finite."""
    card = cards()[name]
    method = load(card, card.check({}, name))
    real = {"source": method.needs.source, "target": method.needs.target}
    mine: dict[str, Any] = {maker: made[maker] for maker in card.inputs}
    count = len(parts["source"][0])
    served = {domain: part for domain, part in parts.items() if real[domain] in REAL}
    access = DataAccess(method, served, recipe, CLASSES, parts["source"][0].shape[-1], 0, mine, count)
    torch.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    ticks, fitted = [time.perf_counter()], None
    for event in fit(method, net, access, recipe):
        if isinstance(event, Fitted):
            fitted = event
        else:
            ticks.append(time.perf_counter())  # an epoch ends by reading its mean loss off the device
    assert fitted is not None
    step = (ticks[-1] - ticks[1]) / max(len(ticks) - 2, 1) / access.steps_per_epoch
    peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else float("nan")
    finite = all(torch.isfinite(p).all() for p in fitted.model.parameters())
    return fitted.model, step, ticks[-1] - ticks[0], peak, finite


def line(name: str, step: float, seconds: float, peak: float, finite: bool) -> str:
    return f"| {name} | {1e3 * step:.2f} | {seconds:.1f} | {peak:.0f} | {'yes' if finite else 'NO'} |"


def domains(size: int, count: int, device: torch.device) -> Parts:
    """Two domains of ten classes, uint8: a blob pattern for each class, dark on light with noise, and the same in
    other colours. `count` seeds the draw, so that held-out images are others."""
    draws = torch.Generator().manual_seed(1)
    shapes = F.interpolate(torch.rand(CLASSES, 1, 5, 5, generator=draws).round(), size=(size, size), mode="bilinear")
    parts = {}
    for name, paper, ink in (
        ("source", (0.9, 0.9, 0.8), (0.2, 0.1, 0.4)),
        ("target", (0.6, 0.9, 0.9), (0.4, 0.2, 0.1)),
    ):
        draws = torch.Generator().manual_seed(count)
        labels = torch.randint(CLASSES, (count,), generator=draws)
        mask = shapes[labels] * (0.5 + 0.5 * torch.rand(count, 1, 1, 1, generator=draws))
        light, dark = (torch.tensor(colour).view(3, 1, 1) for colour in (paper, ink))
        images = light + (dark - light) * mask + 0.1 * torch.randn(count, 3, size, size, generator=draws)
        parts[name] = ((images.clamp(0, 1) * 255).byte().to(device), labels.to(device))
    return parts


def right(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    return float((logits(model, part[0]).argmax(1) == part[1].cpu()).float().mean())


if __name__ == "__main__":
    main()
