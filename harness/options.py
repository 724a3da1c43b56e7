"""The options that several verbs share, each written once.

    mapbench run --help

Of those that say how to run, none is part of a cell's key.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

import click

FILTERS = (
    click.option(
        "-m", "--method", "methods", multiple=True, metavar="NAME[p=v]", help="Method, with params or [tuned]."
    ),
    click.option("-b", "--backbone", "backbones", multiple=True, metavar="NAME", help="Backbone."),
    click.option(
        "-p", "--pair", "pairs", multiple=True, metavar="SRC:TGT", help="Pair; a union as src:a+b, or src:* for all."
    ),
    click.option("-s", "--seed", "seeds", multiple=True, metavar="0-2", help="Seeds: 0, 0,1,2 or 0-4."),
    click.option("-a", "--attack", "attacks", multiple=True, metavar="NAME[n=50]", help="Attack; `none` for none."),
)
METHODS = click.option(
    "--methods", "extra_methods", multiple=True, metavar="PATH", help="Your methods: file or folder."
)
OUT = click.option("--out", metavar="DIR", help="Run directory, or its URL. Default: runs/<suite>.")
DATA = click.option("--data", metavar="DIR", help="Data directory. Default: $MAPBENCH_DATA, else ./data.")
WEIGHTS = click.option(
    "--weights", metavar="DIR", help="ImageNet weights. Default: $MAPBENCH_WEIGHTS, else torch hub's cache."
)
SOURCE_MODEL = click.option(
    "--source-model", metavar="FILE", help="Your own f_s, in place of a trained one: safetensors or a state_dict."
)
PRECISION = click.option(
    "--precision", metavar="NAME", help="Of training: fp32, tf32 or bf16. Default: the grid's own, else fp32."
)
JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
WHAT = (*FILTERS, PRECISION, METHODS, OUT, DATA, WEIGHTS, SOURCE_MODEL)
HOW = (
    click.option("--executor", type=click.Choice(["ray", "inline"]), help="Default: ray where it is installed."),
    click.option("--address", metavar="ADDR", help="A running Ray cluster. Default: a local one, for this run only."),
    click.option(
        "--slots-per-gpu",
        metavar="N|auto",
        default="auto",
        show_default=True,
        callback=lambda *given: _slots(given[-1]),
        help="Cells at once on a GPU; auto: what its memory holds, four at most.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        metavar="S",
        help="Seconds a cell may take; then it stops by itself, or is killed ten seconds later.",
    ),
    click.option("--fail-fast", is_flag=True, help="Stop at the first failed cell."),
    click.option("--max-failures", type=click.IntRange(1), metavar="N", help="Stop after N failed cells."),
    click.option("--quiet", is_flag=True, help="Only the closing lines."),
    click.option("--no-mlflow", is_flag=True, help="Do not mirror to MLflow."),
    click.option("--deterministic", is_flag=True, help="PyTorch's deterministic algorithms throughout; slower."),
    click.option(
        "--evaluate-every", type=click.IntRange(1), metavar="K", help="Accuracy on val every K epochs, for the curves."
    ),
    click.option("--no-graphs", is_flag=True, help="On a GPU launch step by step, instead of replaying CUDA graphs."),
)


SHARD = click.option("--shard", metavar="i/n", help="The i-th of n drivers: whole trees, no cell twice.")


def _slots(text: str) -> int | None:
    """`--slots-per-gpu`: a number, or None for auto."""
    if text == "auto":
        return None
    if not (text.isdigit() and int(text)):
        raise click.BadParameter(f"{text!r} is neither a number from 1 nor auto")
    return int(text)


def options(*groups: Any) -> Callable[[Any], Any]:
    """Stack click options, in the order given."""

    def wrap(function: Any) -> Any:
        for option in reversed(groups):
            function = option(function)
        return function

    return wrap


def asked(typed: dict[str, Any]) -> tuple[Any, Any]:
    """What was typed, as (Filters, Options): what to run, and how."""
    from harness.api import Options
    from harness.grid import Filters

    what = {
        name: typed.pop(name)
        for name in ("methods", "backbones", "pairs", "seeds", "attacks", "extra_methods", "precision")
        if name in typed
    }
    for name in ("mlflow", "graphs"):
        if f"no_{name}" in typed:
            typed[name] = not typed.pop(f"no_{name}")
    return Filters(**what), Options(**typed, command=shlex.join(["mapbench", *sys.argv[1:]]))
