"""What a board takes: `results.load` and the terminal of 100,000 rows of `pairs`, the page of 5,000 protected models.

    PYTHONPATH=. .venv/bin/python tests/bench/boards.py                    some two minutes on two cores
    PYTHONPATH=. .venv/bin/python tests/bench/boards.py --backbones 3      a tenth of it

The runs are made up, in form and in size as a run leaves them: 30 backbones, 19 variants, 12 pairs and 5 seeds are
34,200 protected models in 30 tables of the board. The seconds are of CPU, this machine's, the least of three: all of
it is one thread's work, and whoever else computes here does not count. Those of a verb are beyond what Python, pandas
and the command take to start. Exits 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LOAD = 2.0  # seconds of results.load
BOARD = 3.0  # seconds of the board in the terminal, beyond the start
MEMORY = 1000.0  # MB of either, at most
PAGE = 500.0  # kB
SELF = "tests.bench.boards"
WIDE = {**os.environ, "COLUMNS": "130"}  # a terminal that has room for every column
START = "import pandas, pyarrow.parquet; from harness.cli import main; main(['--version'])"
LOADED = """
import sys, time, pandas, pyarrow.parquet, results
begun = time.process_time()
rows = len(results.load(sys.argv[1]))
print(rows, time.process_time() - begun)
"""
# what the keys of real cells are made from, and the made-up ones lack
SPEC = {
    "key_version": 1, "protocol": 2, "image_size": 32, "precision": "fp32", "init": "random",
    "domains": dict.fromkeys(("uci", "uci-m", "print", "street"), "0123456789abcdef" * 4),
    "recipe": {"optimizer": "adam", "lr": 0.001, "momentum": 0.0, "weight_decay": 0.0, "batch": 32, "epochs": 12},
}  # fmt: skip


class Cost(NamedTuple):
    """Of a process."""

    seconds: float  # of CPU
    megabytes: float  # resident, at most
    said: str


def make(out: str, backbones: int, variants: int, seeds: int) -> None:
    """A run directory: records, plan and tables; a fifth of the variants are controls."""
    from results import records, tables
    from results.store import Store
    from tests.results.leaderboard.conftest import Grid

    effects = {
        f"method-{i}[lam=0.{i}]": (0.99 - i / 1000, 0.1 + i / 50, 0.12 + i / 50, 0.7, i * 5 >= variants * 4)
        for i in range(variants)
    }
    grid = Grid(effects=effects, seeds=seeds, backbones=tuple(f"net{i}" for i in range(backbones)))
    store = Store(out)
    store.write_plan(grid.plan)
    for record in grid.records:
        record["spec"] |= SPEC
        path = store.out / "records" / record["key"][:2] / records.name(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(records.dump(record))  # not records.write: 35,000 files made durable take minutes
    tables.write(store.out, grid.records, grid.plan, len(grid.records))


def made(out: str, *size: int) -> None:
    """`make` in a process of its own: a child's memory is counted from what its parent had."""
    code = f"import {SELF} as bench; bench.make({out!r}, *{size!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def cost(*arguments: str) -> Cost:
    """What Python takes for these arguments, least of three."""
    costs = []
    for _ in range(3):
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen([sys.executable, *arguments], stdout=said, stderr=said, env=WIDE)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            words = said.read()
        assert process.returncode == 0, words[-2000:]
        costs.append(Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, words))
    return min(costs)


def missed(figures: Sequence[tuple[str, float, float, str]]) -> list[str]:
    """Prints (what, figure, bound, unit) each, and returns what is above its bound."""
    for what, figure, bound, unit in figures:
        print(f"{what:<44}{figure:>9.2f} {unit:<3} at most {bound:g}", flush=True)
    return [what for what, figure, bound, _ in figures if not figure <= bound]


def rows(folder: str, backbones: int, start: Cost) -> list[str]:
    """Bounds missed by 100,000 rows of `pairs`, where there are 30 backbones."""
    out = str(Path(folder, "rows"))
    made(out, backbones, 19, 5)
    load, board = cost("-c", LOADED, out), cost("-m", "harness.cli", "leaderboard", out)
    count, seconds = load.said.split()
    print(f"{int(count):,} rows of pairs, {backbones * 19} of the board\n")
    assert board.said.count("net") >= backbones, board.said[:2000]
    return missed([
        ("results.load", float(seconds), LOAD, "s"),
        ("  its process, memory", load.megabytes, MEMORY, "MB"),
        ("mapbench leaderboard, beyond the start", board.seconds - start.seconds, BOARD, "s"),
        ("  memory", board.megabytes, MEMORY, "MB"),
    ])  # fmt: skip


def page(folder: str, backbones: int, start: Cost) -> list[str]:
    """Bounds missed by the page of 5,040 protected models, where there are 7 backbones."""
    out, file = str(Path(folder, "page")), Path(folder, "page.html")
    made(out, backbones, 12, 5)
    html = cost("-m", "harness.cli", "leaderboard", out, "--html", str(file))
    print(f"\n{backbones * 12 * 12 * 5:,} protected models, their page in {html.seconds - start.seconds:.2f} s\n")
    return missed([
        ("size of the page", file.stat().st_size / 1000, PAGE, "kB"),
        ("  memory to make it", html.megabytes, MEMORY, "MB"),
    ])  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", type=int, default=30, help="of the 100,000 rows; the page has a quarter")
    asked = parser.parse_args()
    start = cost("-c", START)
    print(f"the start {start.seconds:.2f} s, {start.megabytes:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        lost = rows(folder, asked.backbones, start) + page(folder, max(1, asked.backbones // 4), start)
    for name in lost:
        print(f"bound missed: {name.strip()}")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
