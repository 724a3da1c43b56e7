"""Several cells on one GPU: whether each keeps to its share of the memory, and what k processes get done together.

    PYTHONPATH=. python tests/bench/slots.py          2 minutes on an H100; needs what tests/bench/gpu.py needs

First what a process takes on the device before it has a tensor (`CONTEXT_MB` of harness/executors/memory.py). Then one
process in a share of a quarter asks for more than that: it must fail by itself, while its neighbour, which holds its
own, goes on; alone on the device it must get it. Last, k processes train `ntl` on VGG11 at 64 px for the same time,
each in its share: steps a second of all together, beside one process on its own.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from multiprocessing import get_context
from typing import Any

import torch

from harness.executors.memory import CONTEXT_MB, Share, fitting, release

SECONDS = 12.0  # each k trains for so long, after all have begun
GIB = 2**30


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    fork = get_context("spawn")
    before = used()
    with fork.Pool(1) as pool:
        name, total, held = pool.apply(context)
    print(f"{name}, {total:.0f} MiB, torch {torch.__version__}\n")
    print(f"a process without a tensor takes {held - before:.0f} MiB; memory.CONTEXT_MB is {CONTEXT_MB}")
    quarter = 0.25 * total / 1024  # GiB
    with fork.Pool(2) as pool:
        neighbour = pool.apply_async(grab, (Share(4), False, 0.8 * quarter, 20.0))
        time.sleep(10.0)
        greedy = pool.apply(grab, (Share(4), False, 1.2 * quarter, 0.0))
        print(f"a quarter is {quarter:.1f} GiB; one that asks for a fifth more: {greedy}")
        print(f"the same, alone: {pool.apply(grab, (Share(4), True, 1.2 * quarter, 0.0))}")
        print(f"its neighbour, meanwhile: {neighbour.get()}\n")
    print("| slots | steps a second, together | beside one | peak MiB of each |")
    print("|---:|---:|---:|---:|")
    one = 0.0
    for k in (1, 2, 4, 8):
        barrier = fork.Manager().Barrier(k)
        with fork.Pool(k) as pool:
            told = pool.starmap(train, [(Share(k), barrier)] * k)
        together = sum(steps for steps, _ in told) / SECONDS
        one = one or together
        peak = max(peak for _, peak in told)
        print(f"| {k} | {together:.0f} | {together / one:.2f} | {peak:.0f} |")
    print(f"\n`--slots-per-gpu auto` on such a device, 16 cores beside it, takes {fitting(peak, total, 16)}")


def used() -> float:
    """MiB in use on the device, by nvidia-smi."""
    ask = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.check_output(ask, text=True).split()[0])


def context() -> tuple[str, float, float]:
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    return torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / 2**20, used()


def grab(share: Share, alone: bool, gib: float, seconds: float) -> str:
    """Ask for so much, in pieces, and keep it for a while."""
    share.hold(alone)
    held: list[torch.Tensor] = []
    try:
        while len(held) < gib * 4:
            held.append(torch.ones(GIB // 16, dtype=torch.float32, device="cuda"))
        time.sleep(seconds)
        return f"has its {len(held) / 4:.1f} GiB"
    except torch.cuda.OutOfMemoryError:
        return f"out of memory at {len(held) / 4:.1f} GiB"
    finally:
        del held
        release()


def train(share: Share, barrier: Any) -> tuple[int, float]:
    """Steps of `ntl` in SECONDS, as a cell takes them, and the peak in MiB."""
    from harness.access import DataAccess
    from harness.cards import cards, load
    from suites import backbones
    from tests.bench.gpu import CLASSES, PAPER, domains

    share.hold(alone=False)
    device = torch.device("cuda")
    card = cards()["ntl"]
    method = load(card, card.check({}, "ntl"))
    parts = domains(64, 5000, device)
    net = copy.deepcopy(backbones.build("vgg11", CLASSES, 64, 0)).to(device).train()
    access = DataAccess(method, parts, PAPER, CLASSES, 64, 0, {}, 5000)
    method.setup(net, access)
    (optimizer,) = method.optimizers()
    steps, end = 0, float("inf")
    while time.monotonic() < end:
        for batch in access.epoch():
            optimizer.zero_grad(set_to_none=True)
            loss, _ = method.step(batch)
            loss.backward()
            optimizer.step()
            steps += 1
            if steps == 40:  # warm: begin together, and count from here
                torch.cuda.synchronize()
                barrier.wait()
                steps, end = 41, time.monotonic() + SECONDS
            if time.monotonic() > end:
                break
    torch.cuda.synchronize()
    return steps - 41, torch.cuda.max_memory_allocated() / 2**20


if __name__ == "__main__":
    main()
