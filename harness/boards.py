"""The verbs that read what was measured: boards and comparisons, and what brings results together or hands them on.

    mapbench leaderboard runs/digits-mini
    mapbench compare runs/digits-mini published

They belong to the command of harness/cli.py and, like it, import what they need when they are called.
"""

from __future__ import annotations

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
@click.argument("beside", metavar="published", nargs=-1)
@options(*FILTERS[:-1], JSON)
def compare(directory: str, beside: tuple[str, ...], as_json: bool, **typed: Any) -> int:
    """Ours beside the figures that papers print, with a verdict each, and what cannot be compared."""
    from harness.compare import compare as comparing

    return comparing(directory, beside, asked(typed)[0], as_json)


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("sources", metavar="FROM...", nargs=-1, required=True)
def merge(directory: str, sources: tuple[str, ...]) -> int:
    """Bring the results of other run directories into DIR; no cell counts twice."""
    from harness.api import located
    from results import merge as merging
    from results.store import Store

    told = merging.merge(Store(located(directory)), [Store(located(source)) for source in sources])
    for source, merged in zip(sources, told, strict=True):
        click.echo(f"{source}: {merged}")
    return 0


VERBS = (leaderboard, compare, merge)
