"""The verbs that read what was measured: boards and comparisons, and what brings results together or hands them on.

    mapbench leaderboard runs/digits-mini
    mapbench compare runs/digits-mini sa-map cuti
    mapbench show runs/digits-mini 0991
    mapbench publish runs/digits-mini
    mapbench mlflow runs/digits-mini --per-cell

They belong to the command of harness/cli.py and, like it, import what they need when they are called.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from harness.options import FILTERS, JSON, asked, options


@click.command()
@click.argument("directory", metavar="DIR")
@options(
    *FILTERS,
    click.option("--split", "score", type=click.Choice(["test", "val"]), default="test", show_default=True),
    click.option("--by-pair", is_flag=True, help="A row per pair; --latex and --markdown then as papers print it."),
    click.option("--html", metavar="FILE", help="One self-contained page."),
    *(
        click.option(f"--{f}", "form", flag_value=f, help=f"Print as {f}.")
        for f in ("json", "csv", "markdown", "latex")
    ),
)
def leaderboard(directory: str, score: str, by_pair: bool, html: str | None, form: str | None, **typed: Any) -> int:
    """The board, in the terminal or as a file."""
    from harness import views

    return views.board(directory, asked(typed)[0], score, html, form, by_pair)


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("beside", metavar="published|OTHER_DIR|A B", nargs=-1)
@options(*FILTERS[:-1], JSON)
def compare(directory: str, beside: tuple[str, ...], as_json: bool, **typed: Any) -> int:
    """Two variants, two runs, or a run beside what papers print: paired, with intervals and a sentence to quote.

    \b
    mapbench compare runs/digits-mini sa-map 'ntl[tuned]'     two variants, named as on the board or as they were run
    mapbench compare runs/digits-mini runs/elsewhere          what both runs have
    mapbench compare runs/digits published                    a verdict for each figure, and what has none
    """
    from harness.compare import compare as comparing

    return comparing(directory, beside, asked(typed)[0], as_json)


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("sources", metavar="FROM...", nargs=-1, required=True)
def merge(directory: str, sources: tuple[str, ...]) -> int:
    """Bring the results of other run directories into DIR; no cell counts twice.

    A FROM that ends in .csv holds figures of a method whose code is not public, a line per model, pair and seed. They
    stand on the board as NAME[closed], flagged not-rerunnable. Its columns, fractions in 0..1 (results/closed_csv.py):

    \b
    suite backbone method scenario start source target seed source_after target_after cite
    [split_seed tuned source_before target_before source_images target_images]
    [source_after_balanced target_after_balanced target_matched target_decoded]
    """
    from harness.api import located
    from results import merge as merging
    from results.store import Store

    into = Store(located(directory))
    runs = {source: Store(located(source)) for source in sources if not source.endswith(".csv")}
    made: dict[str, list[dict[str, Any]]] = {}
    if files := [source for source in sources if source.endswith(".csv")]:  # pydantic is loaded for these alone
        from results import closed, closed_csv

        known = closed.known([into, *runs.values()])
        made = {file: closed.made(closed_csv.read(located(file)), known) for file in files}
    told = dict(zip(runs, merging.merge(into, list(runs.values())), strict=True)) if runs else {}
    for file, records in made.items():  # all that was typed has been checked by now
        told[file] = closed.commit(into, records)
    for source in dict.fromkeys(sources):
        click.echo(f"{source}: {told[source]}")
    return 0


@click.command()
@click.argument("directory", metavar="DIR")
@options(
    click.option("--to", metavar="FOLDER", help="Or its URL. Default: DIR-published, beside DIR."),
    click.option("--records", "with_records", is_flag=True, help="The records too: others can merge them."),
    JSON,
)
def publish(directory: str, to: str | None, with_records: bool, as_json: bool) -> int:
    """A folder for static hosting or a pull request: board, tables, manifest; nothing of this machine."""
    from harness.api import located, show
    from harness.views import opened
    from results import publish as publishing

    store = opened(directory)
    made = publishing.publish(store, located(to) if to else publishing.beside(store.out), with_records)
    folder = show(made.folder)
    if as_json:
        click.echo(json.dumps(vars(made) | {"folder": folder}, indent=1))
        return 0
    done = made.cells - sum(made.gaps.values())
    skipped = f", {made.gaps['skipped']} skipped" if "skipped" in made.gaps else ""  # by the grid's own rules
    click.echo(f"{folder}: {made.files} files, {made.size / 1e6:.1f} MB, {done} of {made.cells} cells{skipped}")
    if lost := ", ".join(f"{n} {status}" for status, n in made.gaps.items() if status != "skipped"):
        click.echo(f"incomplete: {lost}; README.md and manifest.json say which")
    if made.damaged:
        click.echo(f"left out: {made.damaged} records that cannot be read, see `mapbench status {directory}`")
    click.echo(f"next     mapbench verify {folder}")
    return 0


@click.command()
@click.argument("folder", metavar="FOLDER")
@options(JSON)
def verify(folder: str, as_json: bool) -> int:
    """Whether a publication is what it says: files, keys, coverage, and every number; exit code 3 when it is not."""
    from harness.api import located
    from results import verify as verifying

    found = verifying.verify(located(folder))
    if as_json:
        facts = {"folder": folder, "ok": not found.problems, **asdict(found)}
        click.echo(json.dumps({**facts, "problems": [problem._asdict() for problem in found.problems]}, indent=1))
    else:
        click.echo(verifying.said(found))
    return 3 if found.problems else 0


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("key", metavar="KEY")
@options(click.option("--html", metavar="FILE", help="One self-contained page, with pictures and the log."), JSON)
def show(directory: str, key: str, html: str | None, as_json: bool) -> int:
    """One cell: what it is, its accuracies beside its parent's, curves, files, and the command that trains it again.

    KEY is the beginning of its key, 4 hex digits or more."""
    from harness.show import show as showing

    return showing(directory, key, html, as_json)


@click.command()
@click.argument("directory", metavar="DIR")
@options(
    click.option("--uri", metavar="URI", help="Server or database. Default: $MLFLOW_TRACKING_URI, else DIR/mlflow.db."),
    click.option("--per-cell", is_flag=True, help="Also a run for every cell, with its curves."),
)
def mlflow(directory: str, uri: str | None, per_cell: bool) -> int:
    """Mirror a run directory to MLflow, or bring its mirror up to date; exit code 3 when MLflow did not take it."""
    from harness import tracking

    return tracking.mirror(directory, uri, per_cell)


VERBS = (leaderboard, compare, show, merge, publish, verify, mlflow)
