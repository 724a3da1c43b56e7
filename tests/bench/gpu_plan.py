"""What tests/bench/gpu.py measures, in order of worth: whatever the time is too short for is at the end.

PYTHONPATH=. python tests/bench/gpu.py --quick
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.bench import gpu_packing, gpu_peers, gpu_steps
from tests.bench.gpu_steps import Pace, Size

FOUR = ["ntl", "cuti", "sa-map", "continue"]  # in each precision, eager and graphed
OTHERS = [
    "source-generator", "diversity-generator", "source-neighbours", "uniform", "sf-map", "df-map", "ntl-source-only",
    "cuti-source-only", "ntl-source-free", "cuti-source-free",
]  # fmt: skip
# the papers' sizes
SMALL, DIGITS, CIFAR = Size("vgg11", 32, 32), Size("vgg11", 64, 32), Size("vgg13", 64, 64)
VISDA = Size("vgg19", 112, 32)
TINY, TINY_PEER = Size("convnet", 16, 4), Size("vgg11", 32, 2)
QUICK = Pace(steps=2, blocks=1, warm=8 if torch.cuda.is_available() else 1, images=16)


@dataclass(frozen=True)
class Job:
    """A row, or a few. `seconds`: about how long; with less time left it is not begun."""

    section: str
    title: str
    label: dict[str, Any]  # what its row begins with, should it fail
    run: Callable[[], list[dict[str, Any]]]
    seconds: float = 6.0

    def name(self) -> str:
        return f"{self.title} ({' '.join(str(v) for v in self.label.values())})"


def one(work: Callable[..., dict[str, Any]], *given: Any) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [work(*given)]


def jobs(quick: bool, only: Sequence[str], peers: list[Path], packing: gpu_packing.Packing) -> list[Job]:
    made = _quick(peers, packing) if quick else _full(peers, packing)
    return [job for job in made if job.section in only]


def packer(quick: bool) -> gpu_packing.Packing:
    return gpu_packing.Packing((1, 2), 0.2, QUICK) if quick else gpu_packing.Packing((1, 2, 4, 8), 4.0, Pace())


def _full(peers: list[Path], packing: gpu_packing.Packing) -> Iterator[Job]:
    pace = Pace()
    yield from _peaks(("tf32", "bf16", "fp32"))
    for size in (CIFAR, DIGITS):
        yield from _steps(size, FOUR, ["tf32"], True, pace)
    yield from _packing(packing, ((CIFAR, True), (DIGITS, True)))
    yield from _peers(peers, DIGITS, ("tf32", "fp32"), pace)
    yield from _probe(CIFAR, DIGITS)
    yield from _steps(DIGITS, OTHERS, ["tf32"], False, pace)
    for size in (CIFAR, DIGITS):
        yield from _steps(size, FOUR, ["bf16", "fp32"], True, pace)
    yield from _steps(SMALL, FOUR, ["tf32", "bf16", "fp32"], True, pace)
    yield from _steps(VISDA, [*FOUR, *OTHERS], ["tf32"], False, pace)
    yield from _steps(CIFAR, OTHERS, ["tf32"], False, pace)
    yield from _packing(packing, ((CIFAR, False), (DIGITS, False)))
    yield from _steps(SMALL, OTHERS, ["tf32"], False, pace)


def _quick(peers: list[Path], packing: gpu_packing.Packing) -> Iterator[Job]:
    yield from _peaks(("fp32",))
    yield from _steps(TINY, FOUR[:2], ["fp32", "bf16"], True, QUICK)
    yield from _steps(TINY, [*FOUR[2:], *OTHERS], ["fp32"], False, QUICK)
    yield from _steps(TINY_PEER, ["cuti"], ["fp32"], False, QUICK)  # not defined there
    yield from _peers(peers, TINY_PEER, ("fp32",), QUICK)
    yield from _probe(TINY)
    yield from _packing(packing, ((TINY, torch.cuda.is_available()),))


def _peaks(precisions: Sequence[str]) -> Iterator[Job]:
    for precision in precisions:
        yield Job("peak", "The device's peak", {"precision": precision}, one(gpu_steps.peaks, precision))


def _steps(size: Size, methods: Sequence[str], precisions: Sequence[str], eager: bool, pace: Pace) -> Iterator[Job]:
    for precision in precisions:
        for method in methods:
            work = one(gpu_steps.measured, method, size, precision, eager, pace)
            yield Job("steps", str(size), {"cell": method, "precision": precision}, work)


def _peers(peers: list[Path], size: Size, precisions: Sequence[str], pace: Pace) -> Iterator[Job]:
    for precision in precisions:
        for method in gpu_peers.METHODS:
            work = one(gpu_peers.measured, method, precision, peers, size, pace)
            yield Job(
                "peers", f"Beside the official step: {size}", {"cell": method, "precision": precision}, work, 10.0
            )


def _packing(packing: gpu_packing.Packing, what: Sequence[tuple[Size, bool]]) -> Iterator[Job]:
    for size, graphed in what:
        label = {"net": str(size), "way": "graphed" if graphed else "eager"}
        yield Job("packing", "Several processes on the device", label, partial(packing.rows, size, graphed), 45.0)


def _probe(*sizes: Size) -> Iterator[Job]:
    for size in sizes:
        for synth in (False, True):
            label = {"net": str(size), "kind": "synthesisers" if synth else "methods"}
            yield Job("probe", "The probe", label, one(estimate, size, synth))


def estimate(size: Size, synth: bool) -> dict[str, Any]:
    """What the probe says of cells of a size."""
    from harness.executors import probe

    images = gpu_steps.SYNTH_BATCH if synth else 2 * size.batch
    gpu_steps.fresh()
    shape = probe.Shape(size.backbone, size.pixels, gpu_steps.CLASSES, synth, images)
    told = probe.peak_mb([shape]) if torch.cuda.is_available() else None
    total = torch.cuda.get_device_properties(0).total_memory / 2**20 if told else None
    return {
        "net": str(size), "kind": "synthesisers" if synth else "methods", "estimate": told, "total": total,
        "backbone": size.backbone, "pixels": size.pixels, "synth": synth, "note": "" if told else "no GPU",
    }  # fmt: skip
