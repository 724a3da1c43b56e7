"""R9: how many models the grid of the MAP paper trains, counted, where each trial for itself would train its own.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R9

15 pairs, 5 methods and 3 seeds are 225 trials; each trains its source model and then protects it: 450. Here a source
model belongs to a suite, backbone, source and seed, and df-map, which knows no target, is trained once for all of a
source's. The generators that sf-map and df-map draw from are counted by themselves: no two papers train the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.forest import expand, imagenet
from harness.grid import read
from tests.bench.clock import Benchmark, Counts, agree
from tests.bench.published import Published

PAIRS, METHODS, SEEDS = 15, 5, 3
SOURCES = 4 + 2 + 1  # digits, CIFAR and STL, VisDA
# f_s; ntl, cuti, sa-map and sf-map by pair; df-map by source
OURS = {"train": SOURCES * SEEDS, "with a target": PAIRS * 4 * SEEDS, "without one": SOURCES * SEEDS}
GENERATORS = 2 * SOURCES * SEEDS  # sf-map's and df-map's; by trial they would be 2 * PAIRS * SEEDS
ALONE = 2 * PAIRS * METHODS * SEEDS


def cells() -> list[Any]:
    """The real grid, on data that nobody has to have."""
    grid = read("map-paper")
    prints = {
        (part.suite.suite, part.split_seed): {domain: f"print of {domain}" for domain in part.suite.domains}
        for part in grid.parts
    }
    return expand(grid, prints, {backbone: f"weights of {backbone}" for backbone in imagenet(grid)})


def prepare(form: Published) -> Counts:
    made = cells()
    kinds = Counter(cell.meta["kind"] for cell in made)
    protected = [cell for cell in made if cell.meta["kind"] == "protect"]
    aimed = [cell for cell in protected if cell.meta["targets"]]
    counted = {"train": kinds["train"], "with a target": len(aimed), "without one": len(protected) - len(aimed)}
    for name, wanted in OURS.items():
        agree(f"cells, {name}", counted[name], wanted)
    agree("generators", kinds["synth"], GENERATORS)
    # the trials that these stand for: a cell without a target is one for each of its source's targets
    targets = {(c.meta["suite"], c.meta["source"], tuple(c.meta["targets"])) for c in aimed}
    reach = Counter(source[:2] for source in targets)
    trials = len(aimed) + sum(reach[c.meta["suite"], c.meta["source"]] for c in protected if not c.meta["targets"])
    agree("trials", 2 * trials, ALONE)
    of = f"{counted['train']} source models, {counted['with a target']} protected against a target, "
    of += f"{counted['without one']} against none; beside them {kinds['synth']} generators, not {2 * PAIRS * SEEDS}"
    return Counts(sum(counted.values()), 2 * trials, of)


EXACT = ALONE / sum(OURS.values())  # 450 / 222; every part of it is asserted
BENCHMARKS = [Benchmark("R9", "trainings of the MAP paper's grid", EXACT, prepare, against="each trial alone")]
