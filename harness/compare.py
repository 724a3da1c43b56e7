"""`mapbench compare DIR published`: a run directory beside the published figures of its suites.

    mapbench compare runs/cifar-stl published -m cuti

Loads neither torch nor Ray. The join is results/compare.py, the figures are results/published/. Two runs, and two
variants of one, are compared by harness/versus.py; which of these was asked for is told here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from harness import UsageError, api
from harness.grid import Filters
from harness.views import chosen, opened
from results import compare as comparing
from results import published, tables
from results.compare import Comparison
from results.leaderboard import MAP_SENTENCE
from results.published import SUITES, UNPROTECTED, Figure
from suites import SuiteError
from suites import pairs as pairing

PUBLISHED = "published"
LEGACY = "-legacy5k"  # harness.grid calls a suite so whose parts have NTL's and CUTI's sizes
SENTENCE = (
    f"{MAP_SENTENCE}; NTL and CUTI are written anew after their public code. No verdict says that a paper's figure was "
    "reproduced or refuted: what differs is noted."
)


def compare(directory: str, beside: tuple[str, ...], filters: Filters, as_json: bool) -> int:
    """Print the comparison of a run with `published`, with another run, or of two of its variants with each other;
    every mistake is a UsageError or a StoreError of one line."""
    if beside == (PUBLISHED,):
        return _published(directory, filters, as_json)
    from harness import versus

    opened(directory)
    alone = [text for text in beside if text == PUBLISHED or versus.is_run(text)]
    if (len(beside), len(alone)) in ((1, 1), (2, 0)):
        return versus.compare(directory, beside, filters, as_json)
    here = f"mapbench compare {directory}"
    if len(beside) == 1:
        how = f"it is neither `{PUBLISHED}` nor a run directory; two variants are `{here} {beside[0]} B`"
    elif alone:
        how = f"{alone[0]} stands alone, as in `{here} {alone[0]}`; else name two variants of {directory}"
    else:
        how = f"write `{here} {PUBLISHED}`, `{here} OTHER_DIR`, or `{here} A B` with two variants"
    raise UsageError(f"cannot compare with {' '.join(beside) or 'nothing'}: {how}")


def _published(directory: str, filters: Filters, as_json: bool) -> int:
    store = opened(directory)
    cells, pairs = (tables.read(store.out, name) for name in ("cells", "pairs"))
    rows = cells.to_pylist()
    figures = _figures(directory, {row["suite"] for row in rows}, filters)
    # f_s stands beside theirs whatever the methods that were asked for
    made: list[Comparison] = []
    for bare, among in ((True, replace(filters, methods=())), (False, filters)):
        some = [figure for figure in figures if (figure.method == UNPROTECTED) == bare]
        wanted = [chosen(row, among) for row in rows]
        made += comparing.against(some, pairs.to_pandas(), cells.to_pandas()[wanted])
    place = {figure: i for i, figure in enumerate(figures)}
    made.sort(key=lambda comparison: place[comparison.figure])
    if as_json:
        print(comparing.to_json(made, SENTENCE))
        return 0
    from rich.console import Console

    from results import compare_text

    title = f"mapbench compare: {api.show(store.out)} beside published figures"
    compare_text.render(made, Console(), title, SENTENCE)
    return 0


def _figures(directory: str, suites: set[str], filters: Filters) -> list[Figure]:
    """The published figures of these suites, and those that name none, as far as -m and -p choose them."""
    every = published.load()
    # `split: legacy5k` is a suite of its own here, and the papers' own data
    of_suites = [
        figure.model_copy(update={"suite": name})
        for figure in every
        for name in ("", *sorted(suites))
        if figure.suite == name.removesuffix(LEGACY)
    ]
    has = ", ".join(sorted(suites))
    if not any(figure.suite for figure in of_suites):
        there = ", ".join(sorted({figure.suite for figure in every} - {""}))
        raise UsageError(
            f"{directory}: no published figure is of {has}; some are of {there}"
            if suites
            else f"{directory}: no cell has ended yet; `mapbench status {directory}` says what is going on"
        )
    methods = {text.partition("[")[0] for text in filters.methods}
    known = sorted({figure.method for figure in of_suites})
    if methods and not methods & set(known):
        raise UsageError(
            f"no published figure of {has} is of {', '.join(sorted(methods))}; some are of {', '.join(known)}"
        )
    kept = [
        figure
        for figure in of_suites
        if (not methods or figure.method in (UNPROTECTED, *methods)) and (not filters.pairs or _of(figure, filters))
    ]
    if not kept:
        raise UsageError(f"no published figure of {has} is of {', '.join(filters.pairs)}")
    return kept


def _of(figure: Figure, filters: Filters) -> bool:
    """Whether all pairs of a figure were asked for."""
    asked: set[tuple[str, tuple[str, ...]]] = set()
    for text in filters.pairs:
        with suppress(SuiteError):  # a pair of another suite
            among = SUITES.get(figure.suite.removesuffix(LEGACY), ())
            asked.update(pairing.read(text, among, figure.suite) if among else ())
    return bool(figure.pairs) and {(source, (target,)) for source, target in figure.pairs} <= asked
