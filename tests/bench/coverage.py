"""Whether the board's intervals cover and its tests hold their level, on simulated grids whose truth is known.

    PYTHONPATH=. .venv/bin/python tests/bench/coverage.py [--runs 2000]

Prints, for each design, the share of 95 % intervals that cover the truth (of one method's target_removed, and of the
difference of two), how often the paired test finds a difference where there is none, how often Holm's finds any among
five equal methods, and beside them what a Wilcoxon test over (pair, seed) and a bootstrap over them would have done.
Exits 1 where one of ours, in a design that is not named as hard, lies outside 93 to 97 % or above 7 %.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import wilcoxon

from results.paired import Difference, holm, removed_difference
from results.stats import removed_against
from tests.results.simulation import Design

DESIGNS = {
    "4 sources x 3 seeds": Design(),
    "4 sources x 5 seeds": Design(seeds=5),
    "4 sources x 2 seeds": Design(seeds=2),
    "1 source x 5 seeds": Design(sources=1, seeds=5),
    "much shared, little own": Design(shared=0.06, own=0.01),
}
HARD = {
    "sources that vary unlike, 1 to 3": Design(unlike=3.0),  # the variance is pooled over sources
    # the mean is clipped at chance, which no t-interval knows of
    "pairs near chance": Design(left=0.15),
    "most pairs below chance": Design(left=0.08),
}
SHIFT = 0.03
BOOTSTRAPS = 200


def wilson(rate: float, runs: int) -> str:
    """`0.951±0.010`: a share with half of its own 95 % interval."""
    return f"{rate:.3f}±{1.96 * (rate * (1 - rate) / runs) ** 0.5:.3f}"


def one(rows: pd.DataFrame, design: Design) -> tuple[float, float]:
    got = removed_against(rows, design.pairs, {"argmax": ("target_before_balanced", "target_after_balanced")})
    return got["target_removed_argmax_low"], got["target_removed_argmax_high"]


def differences(design: Design, rng: np.random.Generator) -> Iterator[Difference]:
    for a, b in itertools.combinations(design.run(rng), 2):
        yield removed_difference(a, b, design.pairs)


def naive(a: pd.DataFrame, b: pd.DataFrame, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether Wilcoxon's test and a bootstrap, both over (pair, seed), find a difference."""
    apart = (a["target_after_balanced"] - b["target_after_balanced"]).to_numpy()
    drawn = rng.choice(apart, (BOOTSTRAPS, len(apart))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return bool(wilcoxon(apart).pvalue < 0.05), not low <= 0 <= high


def study(design: Design, runs: int) -> list[float]:
    rng = np.random.default_rng(2026)
    apart = replace(design, shift=SHIFT)
    truth, gap = apart.removed[0], apart.removed[0] - apart.removed[1]
    alone, paired, level, wil, boot, family = [], [], [], [], [], []
    for _ in range(runs):
        a, b = apart.run(rng)
        low, high = one(a, apart)
        alone.append(low <= truth <= high)
        got = removed_difference(a, b, apart.pairs)
        paired.append(got.low <= gap <= got.high)
        a, b = design.run(rng)
        level.append(removed_difference(a, b, design.pairs).p < 0.05)
        for found, verdict in zip((wil, boot), naive(a, b, rng), strict=True):
            found.append(verdict)
    five = replace(design, methods=5)
    for _ in range(runs // 4):
        family.append(min(holm([d.p for d in differences(five, rng)])) < 0.05)
    return [float(np.mean(found)) for found in (alone, paired, level, family, wil, boot)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Coverage and level of the board's statistics, by simulation.")
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args(arguments).runs
    heads = ("covers", "covers, paired", "level, paired", "Holm, any of 10", "Wilcoxon", "bootstrap")
    table = Table("design", *heads, title=f"{runs} runs of each design (Holm: {runs // 4})")
    missed = []
    for name, design in {**DESIGNS, **HARD}.items():
        found = study(design, runs)
        each = [runs, runs, runs, runs // 4, runs, runs]
        table.add_row(
            name + (" (hard)" if name in HARD else ""), *(wilson(f, n) for f, n in zip(found, each, strict=True))
        )
        bad = not (0.93 <= found[0] <= 0.97 and 0.93 <= found[1] <= 0.97 and found[2] <= 0.07 and found[3] <= 0.07)
        if bad and name in DESIGNS:
            missed.append(name)
    Console(width=150).print(table)
    for name in missed:
        print(f"missed: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
