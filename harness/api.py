"""What the verbs do, without a command line: plan, run, retry. `harness.run(...)` is `mapbench run`.

    python -c "import harness; harness.run('demo', out='runs/demo')"
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import environment
from harness.grid import Filters, Grid, read

if TYPE_CHECKING:
    from harness.plan import Plan
    from results.store import Store


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here is part of a cell's key."""

    out: str | None = None
    data: str | None = None
    executor: str | None = None  # ray | inline; None: ray where it is installed
    address: str | None = None
    slots_per_gpu: int = 1
    timeout: float | None = None
    fail_fast: bool = False
    max_failures: int | None = None
    quiet: bool = False
    mlflow: bool = True


def out_dir(grid: Grid, out: str | None) -> Path:
    """`--out`, else runs/<grid>."""
    return Path(out or f"runs/{grid.name}").expanduser().absolute()


def data_dir(data: str | None) -> Path:
    """`--data`, else MAPBENCH_DATA, else ./data."""
    return Path(data or os.environ.get("MAPBENCH_DATA") or "data").expanduser().absolute()


def plan(grid: Grid, options: Options) -> tuple[Plan, Store]:
    """What is known and what is missing of a grid. UsageError, SuiteError or StoreError before anything is written."""
    from harness.plan import make
    from results.store import Store

    store = Store(out_dir(grid, options.out))
    return make(grid, store, data_dir(options.data)), store


def run(
    target: str, *, methods: Any = (), backbones: Any = (), pairs: Any = (), seeds: Any = (), extra_methods: Any = (),
    retry: bool = False, **options: Any,
) -> int:  # fmt: skip
    """Run a suite or grid file, or take it up where it stopped; returns the exit code (0, or 3 with failed cells).

    Filters are what -m, -b, -p, -s take; the options are those of `Options`."""
    filters = Filters(tuple(methods), tuple(backbones), tuple(pairs), tuple(map(str, seeds)), tuple(extra_methods))
    return execute(target, filters, Options(**options), retry)


def execute(target: str, filters: Filters, options: Options, retry: bool = False) -> int:
    """`mapbench run` (or `retry`): plan, drive what is missing, rewrite the tables, draw the board, mirror to MLflow."""
    from harness.panel import say
    from harness.plan import as_json
    from results.store import Store

    environment.quiet()
    grid = read(target, filters)
    Store(out_dir(grid, options.out)).check_writable()  # before the data is built, let alone anything trained
    made, store = plan(grid, options)
    store.write_plan(as_json(grid, made.cells))
    refuse_skipped(made, store)
    tasks = made.tasks(retry)
    failed = len(made.by_status["failed"])
    if not tasks:
        store.write_tables(force=False)
        if not (store.out / "leaderboard.html").exists():
            draw(store)
        again = f", {failed} failed (see `mapbench status {show(store.out)}`)" if failed else ""
        say(f"nothing to do: {len(made.by_status['done'])} cells done{again}")
        return 3 if failed else 0
    summary = drive_plan(made, store, tasks, options)
    if summary.interrupted:
        say(f"interrupted; nothing finished is lost. The same command goes on: {len(tasks) - sum(summary.counts.values())} cells left")
        return 130
    failed = len([r for r in store.winners().values() if r["key"] in {c.key for c in made.cells} and r["status"] not in ("ok", "skipped")])
    return 3 if failed else 0


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


def drive_plan(made: Plan, store: Store, tasks: list[Any], options: Options) -> Any:
    from harness.driver import drive
    from harness.executors import make as make_executor
    from harness.panel import Panel, say
    from harness.scheduler import Policy
    from harness.tracking import Mirror

    executor = make_executor(options.executor, address=options.address, slots_per_gpu=options.slots_per_gpu, quiet=options.quiet)
    context = {"out": str(store.out), "data": str(data_dir(options.data)), "entry": "harness.worker:run_cell"}
    policy = Policy(timeout=options.timeout, fail_fast=options.fail_fast, max_failures=options.max_failures)
    mirror = Mirror(store.out) if options.mlflow else None
    try:
        summary = drive(tasks, executor, store, context, policy, Panel(len(tasks), quiet=options.quiet))
        if not summary.interrupted:
            board = draw(store)
            if not options.quiet:
                board_to_terminal(board)
            if mirror:
                say(mirror.sync())
            closing(store, made, board)
    finally:
        if mirror:
            mirror.close()
    return summary


def draw(store: Store) -> Any:
    """The board of a run directory, written to leaderboard.html; returned so that the terminal shows the same frame."""
    from results import leaderboard
    from results.leaderboard import html

    parts = {cell["score"] for cell in (store.plan() or {}).get("cells", [])}
    board = leaderboard.load(store.out, score="val" if parts == {"val"} else "test")
    html.write(board, store.out / "leaderboard.html")
    return board


def board_to_terminal(board: Any) -> None:
    """The board as tables on stdout."""
    from rich.console import Console

    from results.leaderboard import terminal

    terminal.render(board, Console())


def closing(store: Store, made: Plan, board: Any) -> None:
    """Where everything is and what to type next."""
    from harness.panel import say

    out = show(store.out)
    winners = store.winners()
    bad = [c for c in made.cells if winners.get(c.key, {}).get("status") not in ("ok", "skipped", None)]
    for cell in bad[:10]:
        say(f"{winners[cell.key]['status']}: {cell.label}: {winners[cell.key]['error']} ({out}/{winners[cell.key]['log']})")
    say(f"board    {out}/leaderboard.html")
    say(f"tables   {out}/tables/*.parquet")
    say(f"next     mapbench leaderboard {out}" + (f"   or   mapbench retry {out}   ({len(bad)} failed)" if bad else ""))


def show(path: Path) -> str:
    """A path as the user would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def fail(message: str) -> int:
    """A mistake of the user's, on stderr; exit code 2."""
    for line in message.split("\n"):
        print(f"mapbench: {line}", file=sys.stderr)
    return 2


