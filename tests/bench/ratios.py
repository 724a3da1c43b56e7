"""The ratios that say how fast this is: our own code beside the published form of NTL and CUTI, on any machine.

    make bench                                                       all of them, four minutes on two cores
    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R1 R4
    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --peer DIR   beside a checkout of the authors' own code
    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --readme     and put the table into README.md

Every benchmark first asserts that both sides give the same, then times them: CPU time of one torch thread, in rounds
that take turns, and the median ratio is held to a floor. DIR is a clone of conditionWang/NTL, LyWang12/CUTI-Domain or
tmllab/NTLBench. Writes bench.json. Exits 1 where a floor is missed, 2 where what was asked for is not there.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.clock import Benchmark, Measured, measure

if TYPE_CHECKING:
    from tests.bench.published import Published

FILES = ("mmd", "steps", "epochs", "accounting", "trainings", "demo")
README = Path(__file__).parents[2] / "README.md"
MARKS = ("<!-- ratios -->", "<!-- end of ratios -->")  # between these, --readme writes


def known() -> list[Benchmark]:
    """All benchmarks, R1 first."""
    found = [b for name in FILES for b in import_module(f"tests.bench.{name}").BENCHMARKS]
    return sorted(found, key=lambda b: int(b.id[1:]))


def machine() -> dict[str, Any]:
    """What the times were taken on; the ratios should not depend on it."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": named[0] if named else platform.processor() or platform.machine(), "torch": torch.__version__,
        "threads": torch.get_num_threads(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def number(value: float) -> str:
    """Three digits, or all of a count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(measured: Sequence[Measured], on: dict[str, Any]) -> str:
    """Markdown; times are medians, ratios the median with the least and the greatest of the rounds."""
    lines = ["| | work | against | ours | theirs | ratio (min to max) | must be |", "|---|---|---|---|---|---|---|"]
    for one in measured:
        said = one.json()
        unit = "" if one.of else " ms"
        ours, theirs = (number(said[side]["median"]) + unit for side in ("ours", "theirs"))
        low, middle, high = (f"{said['ratio'][k]:.2f}" for k in ("min", "median", "max"))
        reach = f" ({low} to {high})" if len(one.ratios) > 1 else ""
        bound = "exact" if one.of else f"{said['bound']} {one.benchmark.floor:g}"
        missed = "" if one.passes else " **missed**"
        columns = (said["id"], said["work"], said["against"], ours, theirs, middle + reach, bound + missed)
        lines.append(f"| {' | '.join(columns)} |")
    where = f"{on['cpu']}, torch {on['torch']}, {on['threads']} thread, CPU time, {on['date']}."
    counted = [f"{one.benchmark.id}: {one.of}." for one in measured if one.of]
    return "\n".join([*lines, "", where, *counted])


def into(readme: Path, text: str) -> None:
    """Put a table between the two marks."""
    before, begun, rest = readme.read_text().partition(MARKS[0])
    _, ended, after = rest.partition(MARKS[1])
    if not (begun and ended):
        raise SystemExit(f"{readme} has no {MARKS[0]} with a {MARKS[1]} below it")
    readme.write_text(f"{before}{begun}\n{text}\n{ended}{after}")


def chosen(only: Sequence[str], form: Published) -> list[Benchmark]:
    """What was asked for. Beside a peer: what it has code for. Exits 2 on a name that is not there."""
    there = {b.id: b for b in known() if form.covers is None or b.id in form.covers}
    if wrong := [name for name in only if name not in there]:
        stop(f"{form.name} has no {', '.join(wrong)}: there are {', '.join(there)}")
    return [b for name, b in there.items() if not only or name in only]


def stop(line: str) -> None:
    print(line, file=sys.stderr)
    raise SystemExit(2)


def run(benchmarks: Sequence[Benchmark], form: Published) -> list[Measured]:
    """One after the other, each told of as it ends."""
    done = []
    for one in benchmarks:
        begun = time.perf_counter()
        done.append(measure(one, form))
        middle, took = done[-1].json()["ratio"]["median"], time.perf_counter() - begun
        print(f"{one.id:<4}{one.work}: {middle:.2f}  [{took:.0f} s]", file=sys.stderr, flush=True)
    return done


def report(measured: Sequence[Measured], to: Path, readme: bool) -> int:
    """bench.json and the table; 1, and the names, where a floor is missed."""
    on = machine()
    to.write_text(json.dumps({"machine": on, "benchmarks": [one.json() for one in measured]}, indent=1) + "\n")
    text = table(measured, on)
    print(text)
    if readme:
        into(README, text)
    missed = [one for one in measured if not one.passes]
    for one in missed:
        said = one.json()
        print(f"floor missed: {said['id']}, {said['ratio']['median']:.2f}, {said['bound']} {said['floor']:g}")
    return bool(missed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="R1 ... R10")
    parser.add_argument("--peer", metavar="DIR", type=Path, help="a checkout of the authors' code")
    parser.add_argument("--json", metavar="FILE", type=Path, default=Path("bench.json"))
    parser.add_argument("--readme", action="store_true", help="replace the table in README.md too")
    asked = parser.parse_args(arguments)
    if asked.readme and (asked.only or asked.peer):
        parser.error("--readme puts the whole table there: leave out --only and --peer")
    import torch

    from tests.bench import peers, published

    torch.set_num_threads(1)
    form = published.Published()
    if asked.peer:
        try:
            form = peers.recognised(asked.peer)
        except peers.UnknownPeer as unknown:
            stop(str(unknown))
    return report(run(chosen(asked.only, form), form), asked.json, asked.readme)


if __name__ == "__main__":
    sys.exit(main())
