"""The memory of a slot: running out of it hits the cell that asked for too much, not its neighbours.

On a CPU a worker runs under a limit of its own, so that a failed allocation is an error and not the kernel's kill. On a
GPU each of k processes may take its share of the device; a cell that is tried again alone may take all of it.

    pytest tests/harness/test_memory.py
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import dataclass

CONTEXT_MB = 640  # of a process on a GPU before any tensor: 621 MiB on an H100 (docs/performance.md)
FRAGMENTS = 1.25  # what the allocator reserves, over the peak that a record tells. Chosen.
MOST_SLOTS = 4  # on one GPU: four get nearly twice as much done as one, eight no more (docs/performance.md)


@dataclass(frozen=True)
class Share:
    """What a slot may have: on a CPU `memory_mb` of data segment, on a GPU one of `slots` shares of the device."""

    slots: int = 1  # that share the device, or the machine's memory
    memory_mb: int | None = None

    def hold(self, alone: bool) -> None:
        """Limit this process for the cell to come; `alone`: it may have what all slots of its device have."""
        if self.memory_mb is not None:
            import resource

            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (self.memory_mb * (self.slots if alone else 1) * 2**20, hard))
        elif (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(1.0 if alone else self.fraction(total / 2**20))

    def fraction(self, total_mb: float) -> float:
        """The part of a GPU's memory that a process may allocate: its share, less what it takes without a tensor."""
        return 1.0 if self.slots == 1 else max(1 / self.slots - CONTEXT_MB / total_mb, 0.01)


def release() -> None:
    """Hand a GPU's cached memory back: the neighbours need it, and a cell that is tried again alone."""
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def fitting(peak_mb: float | None, total_mb: float, cores: float) -> int:
    """How many slots a GPU of `total_mb` takes whose cells need `peak_mb` at most, with `cores` of the host beside it;
    one as long as no cell has been measured."""
    if not peak_mb:
        return 1
    return max(1, min(int(total_mb / (peak_mb * FRAGMENTS + CONTEXT_MB)), int(cores), MOST_SLOTS))


def smallest_gpu() -> float:
    """MiB of the smallest GPU of this machine, by nvidia-smi: no process has to be started on the device for it."""
    ask = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    return min(map(float, subprocess.check_output(ask, text=True, timeout=30).split()))


def keep() -> None:
    """Keep freed memory in this process. glibc hands it back to the system, and a training step on a CPU, which frees
    its activations, faults it in anew: 900 page faults a step of convnet (sa-map, 16 + 16 images), 27 ms a step that
    are 18 to 23 without them. Other C libraries have no such knob, and nothing is done. No number changes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD: what is larger is mapped on its own; 32 MiB is the most that glibc takes
    mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD: free memory at the heap's top beyond which some is handed back
    mallopt(-2, 64 << 20)  # M_TOP_PAD: how much more than asked for the heap grows by
