"""What a synthesiser's images are worth, said by a judge who knows the real source and never helped to make them.

    mapbench status runs/digits-mini      each synth cell with what the judge said; the picture lies in pictures/

f_s itself labels 97 to 100 % of colour clouds as they were meant (trials.md), so it is no judge. The judge is a net of
another architecture (no BatchNorm, average pooling, 5x5 convolutions), trained on the source's real train part. It is
the auditor's: no method and no synthesiser sees it or anything it says.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.cells import stable_seed
from harness.scoring import part_of
from harness.training import logits
from methods.images import normalise, shifted
from suites import schema

COUNT = 512  # generated images that are judged: a standard error of 2 % at most
EPOCHS, BATCH, RATE, SHIFT = 20, 32, 1e-3, 3  # of the judge: 92 to 99 % on the real val parts of digits-mini, in 8 s
EACH = 6  # pictures of a class
REAL = (
    500  # real images that are measured: all that digits-mini has; whole parts at 224 px do not fit beside their maps
)

_judges: dict[tuple[str, ...], nn.Sequential] = {}


def measure(
    module: Any, f_s: nn.Module, data: Path, suite: schema.Suite, spec: dict[str, Any], device: torch.device
) -> tuple[dict[str, float], bytes | None]:
    """The numbers of a synth cell, and a picture (PNG): for each class EACH real images above EACH made ones.

    Of images drawn for a class, or made as neighbours of real ones: `judge` and `f_s` (the share that each labels as
    meant), `diversity` and `diversity_judge` (mean distance of two images of a class, in pixels and in the judge's
    embedding, as a share of the real images' own), `bn_distance` (see below), `moved` (neighbours only: mean absolute
    change of a pixel, in 0..1). `judge_real`, `f_s_real` and `bn_distance_real` say the same of real images, those of
    the part that is scored."""
    real, labels = _some(*part_of(data, suite, spec, spec["source"], spec["score"], device))
    draws = torch.Generator().manual_seed(stable_seed("quality", spec["source"], spec["seed"]))
    said: dict[str, float] = {}
    if hasattr(module, "draw"):
        made, meant = module.draw(COUNT, generator=draws)
    else:
        made, meant = module.neighbours(real, labels, generator=draws)
        said["moved"] = float((made.float() - real.float()).abs().mean() / 255)
    judge = judge_of(data, suite, spec, device)
    inside = judge[:-1]
    for name, images, truth in (("", made, meant), ("_real", real, labels)):
        for who, net in (("judge", judge), ("f_s", f_s)):
            said[who + name] = float((logits(net, images).argmax(1) == truth.cpu()).float().mean())
        said["bn_distance" + name] = bn_distance(f_s, images)
    said["diversity"] = _spread(made.float(), meant) / _spread(real.float(), labels)
    said["diversity_judge"] = _spread(logits(inside, made), meant.cpu()) / _spread(logits(inside, real), labels.cpu())
    return said, _picture(real, labels, made, meant)


def _some(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """At most REAL of them, evenly from the first to the last, for a part may be sorted by class."""
    rows = torch.linspace(0, len(images) - 1, min(REAL, len(images)), dtype=torch.float64).round().long()
    return images[rows.to(images.device)].to(labels.device), labels[rows.to(labels.device)]


def judge_of(data: Path, suite: schema.Suite, spec: dict[str, Any], device: torch.device) -> nn.Sequential:
    """The judge of one source, trained once per process; its last layer gives the logits."""
    key = (spec["domains"][spec["source"]], str(device))
    if key not in _judges:
        images, labels = part_of(data, suite, spec, spec["source"], "train", device)
        with torch.random.fork_rng():
            torch.manual_seed(stable_seed("judge", spec["source"]))
            _judges[key] = _trained(_net(spec["classes"]).to(device), images, labels)
    return _judges[key]


def _net(classes: int) -> nn.Sequential:
    stages: list[nn.Module] = []
    for wide_in, wide, kernel in ((3, 16, 5), (16, 32, 5), (32, 48, 3)):
        stages += [nn.Conv2d(wide_in, wide, kernel, padding=kernel // 2), nn.ReLU(), nn.AvgPool2d(2)]
    head = [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48 * 16, 96), nn.ReLU(), nn.Linear(96, classes)]
    return nn.Sequential(*stages, *head).to(memory_format=torch.channels_last)


def _trained(net: nn.Sequential, images: Tensor, labels: Tensor) -> nn.Sequential:
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    steps = len(images) // BATCH
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / (steps * EPOCHS))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).to(images.device).split(BATCH)[:steps]:
            moves = torch.randint(-SHIFT, SHIFT + 1, (2, len(rows))).to(labels.device)
            shown = shifted(images[rows].to(labels.device), *moves)
            loss = F.cross_entropy(net(normalise(shown)), labels[rows.to(labels.device)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    return net.eval().requires_grad_(False)


@torch.inference_mode()
def bn_distance(f_s: nn.Module, images: Tensor) -> float:
    """How far the images are from what f_s's BatchNorms remember of its training: over all their channels, the mean of
    ((mu - mu_bn)^2 + (sigma - sigma_bn)^2) / sigma_bn^2, square-rooted. NaN for a net without any."""
    far: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        assert module.running_mean is not None and module.running_var is not None
        mean, std = args[0].mean((0, 2, 3)), args[0].std((0, 2, 3))
        wanted = module.running_var.sqrt()
        far.append(((mean - module.running_mean) ** 2 + (std - wanted) ** 2) / wanted**2)

    hooks = [m.register_forward_pre_hook(look) for m in f_s.modules() if isinstance(m, nn.BatchNorm2d)]
    try:
        f_s.eval()(normalise(images))
    finally:
        for hook in hooks:
            hook.remove()
    return float(torch.cat(far).mean().sqrt()) if far else float("nan")


def _spread(vectors: Tensor, labels: Tensor) -> float:
    """Mean distance of two different images of one class, averaged over the classes."""
    spreads = []
    for label in labels.unique():
        mine = vectors[labels == label].flatten(1)
        if len(mine) > 1:
            spreads.append(torch.cdist(mine, mine).sum() / (len(mine) * (len(mine) - 1)))
    return float(torch.stack(spreads).mean())


def _picture(real: Tensor, real_labels: Tensor, made: Tensor, made_labels: Tensor) -> bytes | None:
    """A column per class: real images on top, made ones below. None for more classes than can be looked at."""
    from PIL import Image

    classes = real_labels.unique().tolist()
    if len(classes) > 20:
        return None
    size = real.shape[-1]
    sheet = torch.full((3, (2 * EACH) * size + 4, len(classes) * size), 255, dtype=torch.uint8)
    for column, label in enumerate(classes):
        for top, images, labels in ((0, real, real_labels), (EACH * size + 4, made, made_labels)):
            for row, image in enumerate(images[labels == label][:EACH].cpu()):
                y, x = top + row * size, column * size
                sheet[:, y : y + size, x : x + size] = image
    buffer = BytesIO()
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    return buffer.getvalue()
