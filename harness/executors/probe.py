"""How much of a GPU's memory the cells of a grid will take, by a few steps of each shape, before any has run.

    mapbench run digits-mini --slots-per-gpu auto

For each net and size: training on a batch of source and target images with Adam, where the grid has synthesisers a
generator's step through the frozen net, and the scoring of test images, 512 at once. Images are noise, so no data
is needed; it takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from harness.executors import memory

STEPS = 3  # of each shape: Adam's moments come with the first, the allocator's blocks are settled by the second
LONGEST = 20.0  # seconds after which no further shape begins: the largest have had theirs
# What a method holds beyond plain training and scoring: cuti-source-only, the most of all, has 1.15 times the MiB of
# uniform on VGG11 at 64 px (docs/performance.md). Chosen above that.
BEYOND = 1.3


class Shape(NamedTuple):
    """What the memory of a cell depends on."""

    backbone: str
    image_size: int
    classes: int
    synth: bool  # a generator is trained, through the net; otherwise the net
    images: int  # in a step


def shapes(specs: Iterable[Mapping[str, Any]]) -> list[Shape]:
    """Of cells, each with the most images that any takes in a step; those that compute most come first."""
    from suites import backbones

    most: dict[tuple[str, int, int, bool], int] = {}
    for spec in specs:
        at = spec["backbone"], spec["image_size"], spec["classes"], spec["kind"] == "synth"
        batch = spec.get("recipe", {}).get("batch", 1)  # a given f_s is only scored
        most[at] = max(most.get(at, 0), batch * (2 if spec["kind"] == "protect" else 1))
    found = [Shape(*at, images) for at, images in most.items()]
    return sorted(found, key=lambda s: (-backbones.card(s.backbone).gflop(s.image_size) * s.images, s))


def peak_mb(asked: Iterable[Shape], device: str = "cuda", reserved: Callable[[], float] | None = None) -> float | None:
    """The most MiB that a cell of these shapes takes on the device, its own tensors and what the allocator keeps for
    them. `reserved` says how many bytes have been held at most; without it, None where there is no GPU."""
    import torch

    if reserved is None:
        if not torch.cuda.is_available():
            return None
        reserved = torch.cuda.max_memory_reserved
    until = time.monotonic() + LONGEST
    for shape in asked:
        _steps(shape, torch.device(device))
        memory.release()
        if time.monotonic() > until:
            break
    return BEYOND * reserved() / 2**20


def _steps(shape: Shape, device: Any) -> None:
    """A few steps of training, and one batch of scoring."""
    import torch

    from harness.training import EVAL_BATCH, logits
    from methods.images import from_pixels
    from methods.synthesis.source_generator import Generator
    from suites import backbones

    net = backbones.build(shape.backbone, shape.classes, shape.image_size, 0).to(device).train()
    labels = torch.arange(shape.images, device=device) % shape.classes
    images = torch.rand(shape.images, 3, shape.image_size, shape.image_size, device=device)
    maker = Generator(shape.classes, shape.image_size, 64, 64).to(device) if shape.synth else None
    trained = net if maker is None else maker
    net.requires_grad_(maker is None)
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-4)
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        x = images if maker is None else maker(torch.randn(shape.images, 64, device=device), labels)
        # a synthesiser shows the net its pictures twice: as they are, and disturbed
        passes = [net(from_pixels(x)) for _ in range(1 if maker is None else 2)]
        torch.stack([torch.nn.functional.cross_entropy(y, labels) for y in passes]).sum().backward()
        optimizer.step()
    logits(net, torch.zeros(EVAL_BATCH, 3, shape.image_size, shape.image_size, dtype=torch.uint8))
