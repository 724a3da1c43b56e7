"""Several cells on one GPU: whether each keeps to its share of the memory.

    PYTHONPATH=. python tests/bench/slots.py          a minute on an H100; needs torch alone

First what a process takes on the device before it has a tensor (`CONTEXT_MB` of harness/executors/memory.py). Then one
process in a share of a quarter asks for more than that: it must fail by itself, while its neighbour, which holds its
own, goes on; alone on the device it must get it. What k processes get done together: tests/bench/gpu_packing.py.
"""

from __future__ import annotations

import subprocess
import sys
import time
from multiprocessing import get_context

import torch

from harness.executors.memory import CONTEXT_MB, Share, release

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
        print(f"its neighbour, meanwhile: {neighbour.get()}")


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


if __name__ == "__main__":
    main()
