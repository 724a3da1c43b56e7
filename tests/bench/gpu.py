"""What one NVIDIA GPU does with the benchmark's steps, in under 8 minutes: tables for docs/performance.md.

    PYTHONPATH=. python tests/bench/gpu.py --json gpu.json
    PYTHONPATH=. python tests/bench/gpu.py --peer /tmp/NTL --peer /tmp/CUTI      theirs in place of the published form
    PYTHONPATH=. python tests/bench/gpu.py --quick                               in miniature, on a CPU too

Needs torch, torchvision, pydantic and PyYAML; neither Ray nor MLflow nor data.

gpu_plan.py      what is measured, in order of worth
gpu_steps.py     a step of each method, eager and graphed, in each precision; its share of the device's peak
gpu_peers.py     our step beside the official one
gpu_packing.py   k processes on one device
gpu_sums.py      computed from these: cells an hour, and whether the memory probe is right

What is measured is printed row by row, what matters most first. It runs in a process of its own: where an error
leaves the device unusable, or a row hangs, another process goes on behind that row. After `--minutes` what is left is
skipped, and a line says what. `--json` holds all rows, and is written with each.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.gpu_plan import Job

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ("peak", "steps", "probe", "peers", "packing")
GRACE = 30.0  # seconds that a row may take after the time is up
BROKEN = 3  # exit code: the device will not go on in this process


@dataclass(frozen=True)
class Table:
    """A section's columns: key, heading, and how its numbers are written ("" for text)."""

    columns: tuple[tuple[str, str, str], ...]

    def head(self) -> str:
        rule = "|".join("---:" if form else "---" for _, _, form in self.columns)
        return f"| {' | '.join(heading for _, heading, _ in self.columns)} |\n|{rule}|"

    def line(self, row: dict[str, Any]) -> str:
        told = [(row.get(key), form) for key, _, form in self.columns]
        cells = ["" if v is None else format(v, f) if f and not isinstance(v, str) else str(v) for v, f in told]
        return f"| {' | '.join(cells)} |"


TABLES = {
    "peak": Table((
        ("precision", "TFLOP/s", ""), ("datasheet", "datasheet", ".0f"), ("matmul", "large matmul", ".1f"),
        ("note", "", ""),
    )),
    "steps": Table((
        ("cell", "cell", ""), ("precision", "precision", ""), ("eager", "eager, ms", ".2f"),
        ("graphed", "graphed, ms", ".2f"), ("gain", "ratio", ".2f"), ("gflop", "GFLOP", ".0f"),
        ("eager_share", "eager, % of peak", ".1f"), ("graphed_share", "graphed, % of peak", ".1f"),
        ("eager_mib", "eager, peak MiB", ".0f"), ("graphed_mib", "graphed, peak MiB", ".0f"),
        ("graphed_held", "held", ".0f"), ("apart", "curves apart", ".0e"), ("note", "", ""),
    )),
    "probe": Table((
        ("net", "net", ""), ("kind", "cells", ""), ("estimate", "estimate, MiB", ".0f"), ("note", "", ""),
    )),
    "peers": Table((
        ("cell", "step", ""), ("precision", "precision", ""), ("against", "against", ""),
        ("theirs", "theirs, ms", ".2f"), ("eager", "ours eager, ms", ".2f"), ("graphed", "ours graphed, ms", ".2f"),
        ("ratio_eager", "theirs / eager", ".2f"), ("ratio", "theirs / best", ".2f"), ("target", "target 3", ""),
        ("theirs_mib", "theirs, peak MiB", ".0f"), ("apart", "first loss apart", ".0e"), ("note", "", ""),
    )),
    "packing": Table((
        ("net", "net", ""), ("way", "ntl, tf32", ""), ("k", "k", "d"), ("together", "steps a second, together", ".0f"),
        ("beside", "beside one", ".2f"), ("share", "% of tf32's peak", ".1f"), ("mib", "peak MiB of each", ".0f"),
        ("held", "held", ".0f"), ("note", "", ""),
    )),
}  # fmt: skip


@dataclass
class Told:
    """What is known so far, as --json has it."""

    path: Path
    device: str = ""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    begun: int = -1  # the last job that was
    table: str = ""  # the one that rows are being added to

    @classmethod
    def read(cls, path: Path) -> Told:
        return cls(path, **json.loads(path.read_text())) if path.exists() else cls(path)

    def write(self) -> None:
        held = {name: value for name, value in vars(self).items() if name != "path"}
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(held, indent=1, default=str))
        beside.replace(self.path)

    def add(self, job: Job, row: dict[str, Any]) -> None:
        if self.table != job.title:
            print(f"\n### {job.title}\n\n{TABLES[job.section].head()}")
            self.table = job.title
        print(TABLES[job.section].line(row))
        self.rows.setdefault(job.section, []).append({"title": job.title, **row})
        self.write()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=7.0)
    asked.add_argument("--json", type=Path)
    asked.add_argument("--peer", type=Path, action="append", default=[], help="a checkout of the authors' code")
    asked.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--until", type=float, help=argparse.SUPPRESS)  # of the process that measures; time.time()
    given = asked.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # lines that are there when time runs out
    if given.until is not None:
        sys.exit(measure(given, Told.read(given.json)))
    with tempfile.TemporaryDirectory() as folder:
        path = (given.json or Path(folder) / "gpu.json").resolve()
        path.unlink(missing_ok=True)
        supervise(given, path)


def supervise(given: argparse.Namespace, path: Path) -> None:
    """Processes that measure, one after another until all is done or the time is up; then what is computed."""
    from tests.bench import gpu_sums

    until = time.time() + 60 * given.minutes
    what = [sys.executable, "-m", "tests.bench.gpu", "--json", str(path), "--until", str(until)]
    what += [*(["--quick"] if given.quick else []), "--only", *given.only]
    what += [part for peer in given.peer for part in ("--peer", str(peer.resolve()))]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    while True:
        process = subprocess.Popen(what, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, start_new_session=True)
        try:
            code = process.wait(until + GRACE - time.time())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(f"\nThe time is up, and row {Told.read(path).begun} did not end: it was stopped.")
            break
        told = Told.read(path)
        if code == 0 or time.time() > until or told.begun < 0:
            break
        if code != BROKEN:
            print(f"\nThe process that measured ended with {code}, in row {told.begun}; another goes on behind it.")
        told.table = ""
        told.write()
    told = Told.read(path)
    for lines in (gpu_sums.probe(told.rows), gpu_sums.cells(told.rows)):
        print("\n" + "\n".join(lines))
    if told.skipped:
        print(f"\nSkipped, for the time was up: {'; '.join(told.skipped)}.")


def measure(given: argparse.Namespace, told: Told) -> int:
    """The jobs behind the last that was begun; 0 when all are done or skipped."""
    import torch

    from tests.bench import gpu_packing, gpu_plan, gpu_steps

    gpu = torch.cuda.is_available()
    if not told.device:
        name = torch.cuda.get_device_name() if gpu else "CPU"
        told.device = f"{name}, torch {torch.__version__}"
        print(f"## {told.device}, {time.strftime('%d %B %Y')}\n\n{gpu_packing.mps() if gpu else ''}")
    packing = gpu_plan.packer(given.quick)
    try:
        for i, job in enumerate(gpu_plan.jobs(given.quick, given.only, given.peer, packing)):
            if i <= told.begun:
                continue
            if time.time() + job.seconds > given.until:
                told.skipped = [*(name for name in told.skipped if name != job.name()), job.name()]
                continue
            told.begun = i
            told.write()
            try:
                for row in job.run():
                    told.add(job, row)
            except Exception as error:
                told.add(job, {**job.label, "note": gpu_steps.reason(error)})
            try:
                gpu_steps.wait()
            except Exception as error:
                print(f"\nThe device is unusable to this process ({gpu_steps.reason(error)}); another goes on.")
                sys.stdout.flush()
                packing.close()
                os._exit(BROKEN)  # nothing that torch would do on the way out can be relied on
    finally:
        packing.close()
        told.write()
    return 0


if __name__ == "__main__":
    main()
