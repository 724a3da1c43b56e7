"""R10: a pair of the demo grid, all of it, beside the bare training steps of its cells.

    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --only R10

Ours is `harness.run("demo", ...)` by the inline executor: planning, serving, the loop, scoring and both probes,
records, tables, board; an attack that trains nothing is all overhead. Bare is a loop of step, backward and optimiser
over the same batches, which are served before its clock starts. The data is built once, before both, and one process
does it all. It is one round, of 80 s of CPU time and 11 cells, which evens out more than rounds of a step do.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import harness
from harness import api, attacking
from harness.access import DataAccess
from harness.cards import card_of, load
from harness.grid import Filters, read
from harness.scoring import part_of
from suites import backbones, cache, schema
from tests.bench.clock import Benchmark, Sides, agree
from tests.bench.published import Published
from tests.bench.steps import train

PAIR = "uci-m:uci"
CPU = torch.device("cpu")


def run(data: Path) -> Path:
    """The pair in a directory of its own."""
    out = Path(tempfile.mkdtemp(dir=data.parent))
    with contextlib.redirect_stdout(io.StringIO()):
        code = harness.run(
            "demo", pairs=(PAIR,), out=str(out), data=str(data), executor="inline", mlflow=False, quiet=True
        )
    agree("exit code of the demo", code, 0)
    return out


def bare(data: Path, payload: dict[str, Any]) -> float:
    """CPU seconds of a cell's training steps and of nothing else. It begins with initial weights, whatever the cell
    began with: a step takes as long."""
    spec, suite = payload["spec"], schema.Suite(**payload["suite"])
    attack = spec["kind"] == "attack"
    given = {} if spec["kind"] == "train" else spec["attack_params" if attack else "params"]
    method, recipe = load(card_of(payload["method"]), given), schema.Recipe(**spec["recipe"])
    home = spec["target"] if attack else spec["source"]
    count = cache.manifest(suite, data, spec["split_seed"], home)["parts"]["train"]["count"]
    if attack:
        recipe = attacking.budget(recipe, given["n"], count)
        parts = {"target": attacking.images(data, suite, spec, CPU)}
    else:
        parts = {"source": part_of(data, suite, spec, spec["source"], "train", CPU)}
        for target in spec.get("targets", ()):
            parts["target"] = part_of(data, suite, spec, target, "train", CPU)
    access = DataAccess(method, parts, recipe, spec["classes"], spec["image_size"], 0, {}, count)
    model = backbones.build(spec["backbone"], spec["classes"], spec["image_size"], 0).train()
    method.setup(model, access)
    optimizers, took = method.optimizers(), 0.0
    for _ in range(recipe.epochs if optimizers else 0):
        batches = list(access.epoch())
        begun = time.process_time()
        for batch in batches:
            train(method, optimizers, batch)
        took += time.process_time() - begun
    return took


def prepare(form: Published) -> Sides:
    folder = tempfile.TemporaryDirectory()
    data = Path(folder.name) / "data"
    asked = api.Options(out=str(Path(folder.name) / "planned"), data=str(data))
    made, _ = api.plan(read("demo", Filters(pairs=(PAIR,))), asked)  # builds the data, once
    payloads = [dict(task.payload) for task in made.tasks()]

    def theirs(held: Any = folder) -> float:  # the folder goes with the side that was given it
        return sum(bare(data, payload) for payload in payloads)

    return Sides(lambda: (run(data), None)[1], theirs)


BENCHMARKS = [
    Benchmark(
        "R10", "a pair of the demo grid over its bare training steps", 1.5, prepare, at_most=True, rounds=1,
        against="our bare steps",
    )
]  # fmt: skip
