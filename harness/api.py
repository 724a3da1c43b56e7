"""What the verbs do, without a command line: plan, run, retry. `harness.run(...)` is `mapbench run`.

python -c "import harness; harness.run('demo', out='runs/demo')"
"""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import UsageError, environment, shards
from harness.grid import Filters, Grid, read
from results import place

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.tasks import Task
    from results.store import Store


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here is part of a cell's key."""

    out: str | None = None
    data: str | None = None
    weights: str | None = None
    source_model: str | None = None  # the file; what is in it is part of the keys, as it is of `weights`
    executor: str | None = None  # ray | inline; None: ray where it is installed
    address: str | None = None
    slots_per_gpu: int | None = None  # None: as many as fit
    shard: str | None = None  # i/n
    timeout: float | None = None
    fail_fast: bool = False
    max_failures: int | None = None
    quiet: bool = False
    mlflow: bool = True
    deterministic: bool = False  # PyTorch's deterministic algorithms throughout
    evaluate_every: int | None = None  # epochs; accuracy on val in the curves
    graphs: bool = True  # on a GPU, replay captured steps
    command: str | None = None  # as it was typed: printed on the board, so that a reader can type it too


def out_dir(grid: Grid, out: str | None) -> Path:
    """`--out`, else runs/<grid>."""
    return located(out or f"runs/{grid.name}")


def located(out: str) -> Path:
    """A run directory, or a file to write, as it was typed: absolute, or a URL (see results.place)."""
    path = place.place(out)
    return path.expanduser().absolute() if place.is_local(path) else path


def data_dir(data: str | None) -> Path:
    """`--data`, else MAPBENCH_DATA, else ./data."""
    return Path(data or os.environ.get("MAPBENCH_DATA") or "data").expanduser().absolute()


def weights_dir(weights: str | None) -> Path:
    """Folder of ImageNet weights: `--weights`, else MAPBENCH_WEIGHTS, else where torch.hub keeps them."""
    from suites.backbones.weights import hub_cache

    return Path(weights or os.environ.get("MAPBENCH_WEIGHTS") or hub_cache()).expanduser().absolute()


def source_file(source_model: str | None) -> Path | None:
    """`--source-model`: the user's own f_s."""
    return Path(source_model).expanduser().absolute() if source_model else None


def plan(grid: Grid, options: Options) -> tuple[Plan, Store]:
    """What is known and what is missing of a grid; data that is there is prepared. UsageError, SuiteError or StoreError
    before anything else is written."""
    from harness.datasets import Bar
    from harness.plan import make
    from results.store import Store

    store = Store(out_dir(grid, options.out))
    folders = data_dir(options.data), weights_dir(options.weights)
    with Bar() as bar:
        return make(grid, store, *folders, source_file(options.source_model), bar), store


def run(
    target: str, *, methods: Any = (), backbones: Any = (), pairs: Any = (), seeds: Any = (), attacks: Any = (),
    extra_methods: Any = (), precision: str | None = None, **options: Any,
) -> int:  # fmt: skip
    """Run a suite or grid file, or take it up where it stopped; returns the exit code (0, or 3 with failed cells).

    Filters are what -m, -b, -p, -s, -a and --precision take; the options are those of `Options`."""
    filters = Filters(
        tuple(methods), tuple(backbones), tuple(pairs), tuple(map(str, seeds)), tuple(attacks), tuple(extra_methods),
        precision,
    )  # fmt: skip
    return execute(target, filters, Options(**options))


def execute(target: str, filters: Filters, options: Options) -> int:
    """`mapbench run`: plan, then train what is missing; returns the exit code."""
    from harness.expected import note
    from harness.panel import say
    from results.store import Store

    environment.quiet()
    grid = read(target, filters)
    if options.shard:
        shards.read(options.shard)  # a mistake in it is said before anything is built
    Store(out_dir(grid, options.out)).check_writable()  # before the data is built, let alone anything trained
    made, store = plan(grid, options)
    if made.absent and all(made.without_data(cell) for cell in made.cells):
        raise UsageError("\n".join(made.missing_data))
    for one in store.damaged():
        say(damaged(show(one.path), one.reason))
    for line in made.missing_data:
        say(f"blocked: {line}")
    note(store, grid, made, options.command)
    mine = made.shard(options.shard)
    refuse_skipped(mine, store)
    tasks = mine.tasks()
    return complete(mine, store, tasks, options) if tasks else nothing_to_do(mine, store, options)


def nothing_to_do(made: Plan, store: Store, options: Options) -> int:
    """The no-op run; only what an earlier one could not finish is made up for: tables, board, the MLflow mirror."""
    from harness.panel import say
    from harness.tracking import mirror_in_subprocess, pending, unmirrored
    from results import tables

    tables.refresh(store)
    if not place.exists(store.out / "leaderboard.html"):
        draw(store)
    if options.mlflow and not unmirrored(store.out) and pending(store.out):
        say(mirror_in_subprocess(store.out))
    failed, blocked = len(made.by_status["failed"]), without_data(made)
    again = f", {failed} failed (see `mapbench status {show(store.out)}`)" if failed else ""
    again += f", {blocked} blocked: their data is not there" if blocked else ""
    say(f"nothing to do: {len(made.by_status['done'])} cells done{again}")
    return 3 if failed or blocked else 0


def without_data(made: Plan) -> int:
    """How many cells wait for data that is not there."""
    return sum(made.without_data(cell) for cell in made.by_status["blocked"])


def refuse_skipped(made: Plan, store: Store) -> None:
    """A row, not a hole, for each cell of a cross product that its method cannot run."""
    for cell in made.by_status["skipped"]:
        if cell.key not in made.winners:
            now = time.time()
            store.commit({
                "schema": 1, "key": cell.key, "attempt": 1, "uuid": uuid.uuid4().hex[:8], "status": "skipped",
                "spec": cell.spec, "cell": cell.meta, "parent_checkpoint": None, "flags": [], "error": cell.skip,
                "started": now, "finished": now, "seconds": 0.0, "peak_memory_mb": None,
                "environment": environment.provenance(), "accuracy": [], "curves": {}, "checkpoint": None,
                "checkpoint_sha256": None, "predictions": None, "log": None,
            })  # fmt: skip


def complete(made: Plan, store: Store, tasks: list[Task], options: Options) -> int:
    """Drive the tasks to their end, draw the board, mirror to MLflow, say where everything is; the exit code."""
    from harness.driver import drive
    from harness.executors import make as make_executor
    from harness.executors import probe
    from harness.panel import Panel, say
    from harness.tasks import Policy
    from harness.tracking import Mirror, unmirrored

    shapes = probe.shapes(task.payload["spec"] for task in tasks)
    executor = make_executor(
        options.executor, address=options.address, slots_per_gpu=options.slots_per_gpu, shapes=shapes,
        peak_mb=made.peak_mb(shapes), quiet=options.quiet,
    )  # fmt: skip
    if executor.name != "inline" and place.is_private(store.out):
        raise UsageError(f"{store.out} is seen by this process alone: use --executor inline")
    context = {
        "out": str(store.out), "data": str(data_dir(options.data)), "weights": str(weights_dir(options.weights)),
        "source_model": str(source_file(options.source_model) or ""), "entry": "harness.worker:run_cell",
        "timeout": options.timeout, "deterministic": options.deterministic,
        "evaluate_every": options.evaluate_every, "graphs": options.graphs,
    }  # fmt: skip
    policy = Policy(timeout=options.timeout, fail_fast=options.fail_fast, max_failures=options.max_failures)
    without = unmirrored(store.out) if options.mlflow else None
    mirror = Mirror(store.out) if options.mlflow and not without and not options.shard else None
    try:
        summary = drive(tasks, executor, store, context, policy, Panel(len(tasks), quiet=options.quiet))
        if summary.interrupted:
            left = len(tasks) - sum(summary.counts.values())
            say(f"interrupted; nothing finished is lost, {left} cells are left: the same command goes on")
            return 130
        if summary.stopped:
            say(summary.stopped)
            if not (options.fail_fast or options.max_failures):
                return 1  # nobody asked for it: a full disk, or no slot that stays up
        board = draw(store)
        if not options.quiet:
            board_to_terminal(board)
        if mirror:
            say(mirror.sync())
        elif options.shard:
            rest_of_the_grid(store, options)
        if without:
            say(without)
        return 3 if closing(store, made) else 0
    finally:
        if mirror:
            mirror.close()


def rest_of_the_grid(store: Store, options: Options) -> None:
    """After a shard: the driver that ends last has the whole grid before it, and mirrors it."""
    from harness.panel import say
    from harness.tracking import mirror_in_subprocess, unmirrored

    asked = {cell["key"] for cell in (store.plan() or {}).get("cells", [])}
    left = len(asked - store.outcomes().keys())
    if left:
        say(f"shard {options.shard} is done; {left} cells of the grid are other shards', and not done yet")
    elif options.mlflow and not unmirrored(store.out):
        say(mirror_in_subprocess(store.out))


def draw(store: Store) -> Any:
    """The board of a run directory, written to leaderboard.html; returned so that the terminal shows the same frame."""
    from results import leaderboard
    from results.leaderboard import html

    parts = {cell["score"] for cell in (store.plan() or {}).get("cells", [])}
    board = leaderboard.load(store.out, score="val" if parts == {"val"} else "test")
    html.write(board, store.out / "leaderboard.html", store.out)
    return board


def board_to_terminal(board: Any) -> None:
    """The board as tables on stdout."""
    from rich.console import Console

    from results.leaderboard import terminal

    terminal.render(board, Console())


def closing(store: Store, made: Plan) -> int:
    """Say what failed, where everything is and what to type next; returns how many of the plan's cells failed, or wait
    for data."""
    from harness import known
    from harness.panel import say

    out, winners = show(store.out), known.winners(store, (cell.key for cell in made.cells))
    failed = [c for c in made.cells if winners.get(c.key, {}).get("status") not in ("ok", "skipped", None)]
    for cell in failed[:10]:
        record = winners[cell.key]
        say(f"{record['status']}: {cell.label}: {record['error']} ({out}/{record['log']})")
    if blocked := without_data(made):
        say(f"blocked: {blocked} cells, whose data is not there")
    say(f"board    {out}/leaderboard.html")
    say(f"tables   {out}/tables/*.parquet")
    say(f"next     mapbench retry {out}" if failed else f"next     mapbench leaderboard {out}")
    return len(failed) + blocked


def damaged(path: str, reason: str) -> str:
    """The line about a record that cannot be read."""
    return f"damaged record {path} ({reason}): its cell runs again; `mapbench clean` removes the file"


def show(path: Path) -> str:
    """A path as the user would type it."""
    if not place.is_local(path):
        return str(path)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
