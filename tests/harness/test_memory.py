"""How much a slot may have: what is set for a cell on a CPU, and what is reckoned for a GPU.

What a share does on a real GPU is shown by tests/bench/slots.py; its figures stand in docs/performance.md.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness import environment
from harness.executors import memory
from harness.executors.memory import Share, fitting


@pytest.mark.parametrize(
    ("peak", "total", "cores", "slots"),
    [
        (None, 81079, 16, 1),  # nothing has been measured
        (0, 81079, 16, 1),
        (2798, 81079, 16, memory.MOST_SLOTS),
        (30000, 81079, 16, 2),
        (2798, 81079, 2, 2),  # the host's cores are what is short
        (70000, 81079, 16, 1),
        (200000, 81079, 16, 1),  # it does not fit at all: the cell says so itself
    ],
)
def test_as_many_slots_as_the_memory_takes_of_the_largest_cell(
    peak: float | None, total: float, cores: float, slots: int
) -> None:
    assert fitting(peak, total, cores) == slots


def test_the_shares_of_a_gpu_and_what_the_processes_take_themselves_fit_on_it() -> None:
    total = 81079.0
    assert Share(1).fraction(total) == 1.0
    for slots in (2, 4, 8):
        taken = slots * (Share(slots).fraction(total) * total + memory.CONTEXT_MB)
        assert 0.99 * total < taken <= total
    assert Share(8).fraction(4096.0) > 0  # a small device: something is left to fail with


def test_on_a_cpu_a_cell_that_asks_for_more_than_its_share_fails_and_alone_it_gets_it() -> None:
    code = """
from harness.executors.memory import Share
share = Share(slots=2, memory_mb=600)
for alone in (False, True, False):
    share.hold(alone)
    try:
        block = bytearray(800 << 20)
        print("has it")
    except MemoryError:
        print("out of memory")
    block = None
"""
    told = subprocess.check_output([sys.executable, "-c", code], cwd=environment.ROOT, text=True)
    assert told.splitlines() == ["out of memory", "has it", "out of memory"]
