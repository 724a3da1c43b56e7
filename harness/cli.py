"""The command `mapbench`: one verb per question, the same filters on all.

    mapbench --help
    mapbench run demo

Loads neither torch, ray, mlflow nor pandas itself; each verb imports what it needs when it is called.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from harness import boards
from harness.options import (
    DATA,
    FILTERS,
    HOW,
    JSON,
    METHODS,
    OUT,
    SHARD,
    SOURCE_MODEL,
    WEIGHTS,
    WHAT,
    asked,
    options,
)  # fmt: skip

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="mapbench")
def cli() -> None:
    """Which model-IP-protection method can be trusted: NTL, CUTI and MAP on equal terms.

    \b
    mapbench run demo               a first board in two minutes, nothing to download
    mapbench run digits-mini        the embedded suite: 12 pairs, all methods and controls, 3 seeds
    mapbench plan digits-mini -m 'sa-map[cap=sample]' -p uci-m:uci -s 0-4
    mapbench leaderboard runs/digits-mini --html board.html
    mapbench data digits            what of a suite's data is there, what is missing, and where to get it
    mapbench new method mine        a file to start your own method from; mapbench check mine --methods mine.py

    The same command again resumes. Exit codes: 0 all cells ok, 3 finished with failed cells, 2 bad usage, 1 our fault.
    """


@cli.command()
@click.argument("target", metavar="SUITE|FILE.yaml")
@options(*WHAT, SHARD, *HOW)
def run(target: str, **typed: Any) -> int:
    """Run what is missing of a suite or grid file; the same command again resumes."""
    from harness.api import execute

    return execute(target, *asked(typed))


@cli.command()
@click.argument("target", metavar="SUITE|FILE.yaml")
@options(*WHAT, SHARD, JSON)
def plan(target: str, as_json: bool, **typed: Any) -> int:
    """What `run` would do: cells new, done, failed, stale, blocked; all mistakes at once; the time it will take."""
    from harness import api, grid, views

    filters, how = asked(typed)
    what = grid.read(target, filters)
    made, store = api.plan(what, how)
    made = made.shard(how.shard)
    click.echo(
        json.dumps(views.plan_json(what.name, made), indent=1) if as_json else views.plan_text(what.name, made, store)
    )
    return 0


@cli.command()
@click.argument("directory", metavar="DIR")
@options(*FILTERS, JSON)
def status(directory: str, as_json: bool, **typed: Any) -> int:
    """Counts, running cells, and failures with their last lines."""
    from harness import views

    facts = views.status(directory, asked(typed)[0])
    click.echo(json.dumps(facts, indent=1) if as_json else views.status_text(facts))
    return 0


@cli.command()
@click.argument("directory", metavar="DIR")
@options(*FILTERS, METHODS, DATA, WEIGHTS, SOURCE_MODEL, *HOW)
def retry(directory: str, **typed: Any) -> int:
    """Run the failed cells of a run directory again."""
    from harness.retry import retry as again

    return again(directory, *asked({**typed, "out": directory}))


@cli.command()
@click.argument("directory", metavar="DIR")
@options(
    click.option("--dry-run", is_flag=True, help="Only say what would be removed."),
    click.option("--stale", is_flag=True, help="Also cells that a newer version of themselves has replaced."),
    JSON,
)
def clean(directory: str, dry_run: bool, stale: bool, as_json: bool) -> int:
    """Remove what killed runs left behind, and what no record names."""
    from dataclasses import asdict

    from harness.views import opened
    from results import clean as cleaning

    store = opened(directory)
    found = cleaning.leftovers(store, stale)
    if not dry_run:
        cleaning.remove(store, found)
    rows = [asdict(item) for item in found]
    click.echo(json.dumps(rows, indent=1) if as_json else cleaning.said(found, dry_run))
    return 0


@cli.command(name="list")
@click.argument("what", type=click.Choice(["methods", "backbones", "suites", "domains"]))
@options(
    click.option("--methods", "extra_methods", multiple=True, metavar="PATH"),
    click.option("--json", "as_json", is_flag=True),
)
def list_(what: str, extra_methods: Any, as_json: bool) -> int:
    """What there is: methods with their params, backbones, suites, domains."""
    from harness import listing

    rows = listing.listing(what, extra_methods)
    click.echo(json.dumps(rows, indent=1) if as_json else listing.text(what, rows))
    return 0


@cli.command()
@click.argument("method", metavar="METHOD")
@options(METHODS, JSON)
def check(method: str, extra_methods: tuple[str, ...], as_json: bool) -> int:
    """Whether a method keeps the contract, on a toy pair, in seconds; exit code 3 when it does not."""
    from dataclasses import asdict

    from harness import check as checking

    lines = checking.check(method, extra_methods)
    rows = [asdict(line) for line in lines]
    click.echo(json.dumps(rows, indent=1) if as_json else checking.text(method, extra_methods, lines))
    return 3 if any(line.state == "FAIL" for line in lines) else 0


@cli.command()
@click.argument("target", metavar="SUITE|FILE.yaml")
@options(
    DATA,
    WEIGHTS,
    click.option("--download", is_flag=True, help="Fetch what torchvision can fetch."),
    click.option("--check", is_flag=True, help="Only look; prepare nothing."),
    click.option("--verify", is_flag=True, help="Read every byte of what was prepared before."),
    click.option("--jobs", type=click.IntRange(1), metavar="N", help="Threads. Default: the cores."),
    JSON,
)
def data(target: str, data: str | None, as_json: bool, **typed: Any) -> int:
    """Verify the data of a suite and prepare it; what is missing, where it must lie, and where to get it."""
    from harness import api, datasets

    survey = datasets.data(target, data, **typed)
    said = datasets.as_json(survey) if as_json else None
    click.echo(json.dumps(said, indent=1) if said else datasets.text(survey, api.data_dir(data), target))
    return 0 if survey.complete else 2


@cli.group()
def new() -> None:
    """Write a file to start from."""


@new.command(name="method")
@click.argument("name", metavar="NAME")
@click.option("--out", metavar="FILE", help="Default: NAME.py, here.")
def new_method(name: str, out: str | None) -> int:
    """A method that works as it is: change its loss, check it, run it."""
    from harness import scaffold

    click.echo(scaffold.method(name, out))
    return 0


@cli.command()
@options(OUT, DATA, JSON)
def doctor(out: str | None, data: str | None, as_json: bool) -> int:
    """Whether this machine has what a run needs."""
    from harness import environment
    from harness.api import data_dir, located

    checks = environment.doctor(located(out or "runs"), data_dir(data))
    if as_json:
        click.echo(json.dumps([dict(zip(("check", "state", "detail"), c, strict=True)) for c in checks], indent=1))
    else:
        for check, state, detail in checks:
            click.echo(f"{state:<5}{check:<22}{detail}")
    return 2 if any(state == "fail" for _, state, _ in checks) else 0


for verb in boards.VERBS:
    cli.add_command(verb)


def main(argv: list[str] | None = None) -> None:
    """Entry point. A user's mistake is one line per mistake on stderr and exit code 2, never a traceback."""
    from harness import UsageError

    try:
        code = cli.main(args=argv, prog_name="mapbench", standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        click.echo(f"mapbench: {error.format_message()}", err=True)
        code = 2
    except click.Abort:
        code = 130
    except ValueError as error:
        if not isinstance(error, _mistakes(UsageError)):
            raise
        from results.plain import plain

        for line in str(error).split("\n"):
            click.echo(f"mapbench: {plain(line)}", err=True)
        code = 2
    sys.exit(code or 0)


def _mistakes(*ours: type) -> tuple[type, ...]:
    """The four packages' own error types, without importing what is not loaded yet."""
    names = (("suites", "SuiteError"), ("results", "StoreError"), ("methods", "MethodError"))
    return (*ours, *(getattr(sys.modules[m], n) for m, n in names if m in sys.modules))


if __name__ == "__main__":
    main()
