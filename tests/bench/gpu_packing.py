"""Several cells on one GPU: what k processes get done together, eager and graphed, and how much of the device's peak.

    PYTHONPATH=. python tests/bench/gpu.py --only packing

Eight processes are started once. For each net and way of launching, all set up `ntl` in tf32, as a cell does, each in
an eighth of the memory; then the first k of them train for the same few seconds while the others wait. Steps are
counted when the device is done with them. No MPS is started: where its control program is there, a line says so.
What a share of the memory keeps apart is tests/bench/slots.py's to show.
"""

from __future__ import annotations

import shutil
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from tests.bench.gpu_steps import Pace, Size

METHOD, PRECISION = "ntl", "tf32"
AT_ONCE = 10  # steps between two looks at the clock, for which the device is waited for
PATIENCE = 90.0  # seconds until a process is given up
TARGET = 35.0  # percent of the peak, at VGG13 and 64 px


class Crew:
    """Processes that train on demand."""

    def __init__(self, most: int) -> None:
        context = get_context("spawn")
        self._ends, self._processes = [], []
        for _ in range(most):
            mine, other = context.Pipe()
            process = context.Process(target=work, args=(other, most), daemon=True)
            process.start()
            other.close()  # so that its end is heard of
            self._ends.append(mine)
            self._processes.append(process)

    def ask(self, count: int, *what: Any) -> list[Any]:
        """What the first `count` answer; RuntimeError with the first reason that one of them gives."""
        for end in self._ends[:count]:
            end.send(what)
        until, answers = time.monotonic() + PATIENCE, []
        for end in self._ends[:count]:
            if not end.poll(max(0.0, until - time.monotonic())):
                raise TimeoutError(f"a process did not answer within {PATIENCE:.0f} s")
            answers.append(end.recv())
        for answer in answers:
            if isinstance(answer, str):
                raise RuntimeError(answer)
        return answers

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def work(end: Connection, slots: int) -> None:
    """In a process: set up a cell, or train on it from one moment to another; answers with a string where it fails."""
    from harness.executors.memory import Share
    from tests.bench import gpu_steps

    Share(slots).hold(alone=False)
    running: Any = None
    while True:
        try:
            what = end.recv()
        except EOFError:
            return
        try:
            if what[0] == "set up":
                running = None
                gpu_steps.fresh()
                running = gpu_steps.Running(METHOD, what[1], PRECISION, what[2], what[3])
                answer: Any = running.said or peaks()
            else:
                answer = rate(running, *what[1:])
        except Exception as error:
            answer = gpu_steps.reason(error)
        end.send(answer)


def rate(running: Any, begin: float, seconds: float) -> float:
    """Steps a second."""
    from tests.bench.gpu_steps import wait

    time.sleep(max(0.0, begin - time.monotonic()))
    steps, begun = 0, time.monotonic()
    while time.monotonic() < begin + seconds:
        running.run(AT_ONCE)
        wait()
        steps += AT_ONCE
    return steps / (time.monotonic() - begun)


def peaks() -> tuple[float, float]:
    """MiB allocated and held at most by this process."""
    import torch

    if not torch.cuda.is_available():
        return 0.0, 0.0
    return torch.cuda.max_memory_allocated() / 2**20, torch.cuda.max_memory_reserved() / 2**20


class Packing:
    """The rows; the processes are started with the first of them."""

    def __init__(self, counts: tuple[int, ...], seconds: float, pace: Pace) -> None:
        self.counts, self.seconds, self.pace = counts, seconds, pace
        self._crew: Crew | None = None

    def rows(self, size: Size, graphed: bool) -> list[dict[str, Any]]:
        """One for each k."""
        from tests.bench.gpu_steps import fresh, peak

        top = peak(PRECISION)  # before the others compute
        fresh()  # what this process holds is theirs now
        self._crew = self._crew or Crew(max(self.counts))
        try:
            return self._measured(self._crew, size, graphed, top)
        except (OSError, EOFError):  # TimeoutError is one: a process is gone, or will answer out of turn
            self.close()
            raise

    def _measured(self, crew: Crew, size: Size, graphed: bool, top: float) -> list[dict[str, Any]]:
        from tests.bench.gpu_steps import gflop

        given = crew.ask(max(self.counts), "set up", size, graphed, self.pace)
        rows: list[dict[str, Any]] = []
        for k in self.counts:
            rates = crew.ask(k, "train", time.monotonic() + 0.2, self.seconds)
            together = sum(rates)
            beside = together / rows[0]["together"] if rows else 1.0
            share = 100 * together * gflop(METHOD, size) / 1e3 / top
            rows.append({
                "net": str(size), "way": "graphed" if graphed else "eager", "k": k,
                "together": together, "beside": beside, "share": share, "mib": max(mib for mib, _ in given),
                "held": max(held for _, held in given), "backbone": size.backbone, "pixels": size.pixels,
                "note": "",
            })  # fmt: skip
        return rows

    def close(self) -> None:
        if self._crew:
            self._crew.close()
            self._crew = None


def mps() -> str:
    """Whether MPS could be had here."""
    found = shutil.which("nvidia-cuda-mps-control")
    return f"MPS: {'its control program is here, and was not started' if found else 'no control program here'}."
