"""`mapbench compare DIR A B` and `mapbench compare DIR OTHER_DIR`: two variants of a run, or what two runs share.

    mapbench compare runs/digits-mini sa-map 'ntl[tuned]' -p uci:print

Loads neither torch nor Ray. The numbers are results/versus.py, the terminal and JSON results/versus_text.py.
"""

from __future__ import annotations

from pathlib import Path

from harness import UsageError, api
from harness.grid import Filters
from harness.views import chosen, opened
from results import place, versus, versus_text
from results.versus import Report, Run


def compare(directory: str, beside: tuple[str, ...], filters: Filters, as_json: bool) -> int:
    """Print the comparison with `beside`: another run directory, or two variants' names. Every mistake is a UsageError
    or a StoreError of one line, and is found before anything is computed."""
    report = _report(directory, beside, filters)
    if as_json:
        print(versus_text.to_json(report))
        return 0
    from rich.console import Console

    sides = f"{report.a} beside {report.b}"
    title = sides if report.runs else f"{api.show(opened(directory).out)}, {sides}"
    versus_text.render(report, Console(), f"mapbench compare: {title}")
    return 0


def is_run(text: str) -> bool:
    """Whether a text names a run directory, a folder or a URL."""
    return place.is_run(api.located(text))


def _report(directory: str, beside: tuple[str, ...], filters: Filters) -> Report:
    here = opened(directory).out
    if len(beside) == 1:
        there = api.located(beside[0])
        if _same(here, there):
            raise UsageError(f"{directory} and {beside[0]} are the same run directory: name another")
        return versus.of_runs(_read(directory, here, filters), _read(beside[0], there, filters))
    if filters.methods:
        raise UsageError(f"-m is not for two variants: {' and '.join(beside)} say which; leave it out")
    return versus.of_variants(_read(directory, here, filters), *beside)


def _read(name: str, out: Path, filters: Filters) -> Run:
    """A run, of the cells that pass -b, -m, -p and -s."""
    return versus.read(out, name, None if filters == Filters() else lambda cell: chosen(cell, filters))


def _same(one: Path, other: Path) -> bool:
    if place.is_local(one) and place.is_local(other):
        return one.resolve() == other.resolve()
    return str(one) == str(other)
