"""The comparison with published figures in a terminal. `mapbench compare DIR published` shows it.

Theirs and ours stand in one line, under the pair they are of. What has nothing of ours beside it, and never can have,
is counted below the tables with the reason, so that a table holds only what a run can add to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from string import ascii_lowercase

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from results.compare import MEANINGS, NOT_COMPARABLE, NOT_RUN, Comparison
from results.leaderboard import number
from results.leaderboard.terminal import folded
from results.plain import plain
from results.published import Figure

MARKS = {"inferred": "*", "digitised": "~"}
STYLES = {NOT_COMPARABLE: "dim", NOT_RUN: "dim"}
VARIANT = 22  # a longer one is folded after its commas: cut short, its settings could not be told apart
COLUMNS = ("variant", "metric", "theirs", "ours", "diff", "n", "verdict", "notes")
LEAST = {"variant": 10, "verdict": 10, "notes": 5}  # columns that may wrap in a narrow terminal, and how far
TEXT = ("variant", "metric", "verdict", "notes")


class Footnotes:
    """What is said of rows, once and then referred to: a, b, ... for why not comparable, 1, 2, ... for the rest."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def of(self, comparison: Comparison) -> str:
        """References to all that is said of a row; a new text gets the next letter or number."""
        for text in comparison.why:
            self.reasons.setdefault(text, ascii_lowercase[len(self.reasons)])
        for text in comparison.notes:
            self.notes.setdefault(text, str(len(self.notes) + 1))
        return " ".join(
            [self.reasons[text] for text in comparison.why] + [self.notes[text] for text in comparison.notes]
        )


def render(comparisons: Sequence[Comparison], console: Console, title: str, sentence: str) -> None:
    """A table per publication and suite; below them what differs, what cannot be compared, and what the words mean."""
    console.print(Text(title, style="bold"))
    console.print(Text(sentence))
    shown = [c for c in comparisons if c.ours or c.verdict != NOT_COMPARABLE]
    footnotes = Footnotes()
    for _, rows in groupby(shown, key=_heading):
        console.print()
        tried = list(rows)
        table = _table(tried, footnotes, COLUMNS)
        free = console.options.update(max_width=1000)
        if Measurement.get(console, free, table).maximum > console.width:  # the one that a reader can work out
            table = _table(tried, footnotes, tuple(name for name in COLUMNS if name != "diff"))
        console.print(table)
    _lines("not comparable, because", footnotes.reasons, console)
    _lines("what else differs or is not known", footnotes.notes, console)
    _left_out([c for c in comparisons if c not in shown], console)
    console.print()
    _listed({word: Text(meaning, style="dim") for word, meaning in MEANINGS.items()}, console)


def _heading(comparison: Comparison) -> str:
    """`cifar-stl · JailNTL, CVPR 2025 (poster) · vgg13, 64 px, imagenet weights`: who, and what is known of theirs."""
    figure = comparison.figure
    size = f"{figure.image_size} px" if figure.image_size else ""
    known = ", ".join(filter(None, [figure.backbone, size, figure.init and f"{figure.init} weights"]))
    return " · ".join(filter(None, [figure.suite, f"{figure.cite} ({figure.via})", known]))


def _table(rows: list[Comparison], footnotes: Footnotes, columns: Sequence[str]) -> Table:
    table = Table(
        title=escape(_heading(rows[0])), title_justify="left", title_style="bold", box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    for name in columns:
        table.add_column(
            name, justify="left" if name in TEXT else "right", no_wrap=name not in LEAST, overflow="fold",
            min_width=LEAST.get(name),
        )  # fmt: skip
    order = list(dict.fromkeys(map(_place, rows)))
    for place, of in groupby(sorted(rows, key=lambda row: order.index(_place(row))), key=_place):
        table.add_row(Text(place, style="bold"))
        for row in of:
            cells = _cells(row, footnotes)
            table.add_row(*(Text(cells[name]) for name in columns), style=STYLES.get(row.verdict, ""))
    return table


def _place(row: Comparison) -> str:
    """The pair, and below it the network of ours."""
    figure = row.figure
    pair = f"{figure.source}:{figure.target}" if figure.target else f"mean of {len(figure.pairs)} pairs"
    ours = plain(row.backbone or "nothing")
    return f"{pair}\n ours: {ours}" + (f", split {row.split_seed}" if row.split_seed else "")


def _cells(row: Comparison, footnotes: Footnotes) -> dict[str, str]:
    """A row as text, by column."""
    figure, ours = row.figure, row.ours
    start = f" ({row.start})" if row.start not in (None, "source") else ""
    value, difference, n = "–", "–", "–"
    if ours:
        half = f"±{number((ours.high - ours.low) / 2)}" if ours.low is not None and ours.high is not None else ""
        value, n = number(ours.value) + half, f"{ours.seeds}/{ours.units}"
        difference = "–" if row.difference is None else f"{row.difference:+.3f}"
    variant = folded(plain(f"  {row.variant or figure.method}{start}"), VARIANT)
    texts = (variant, figure.metric, theirs(figure), value, difference, n, row.verdict, footnotes.of(row))
    return dict(zip(COLUMNS, texts, strict=True))


def theirs(figure: Figure) -> str:
    """As exact as it is known: `0.856`, `0.870±0.015~` (measured in a drawing), `0.704..0.840*` (inferred)."""
    low, high = ("" if bound is None else number(bound) for bound in (figure.low, figure.high))
    text = f"{low}..{high}" if figure.value is None else number(figure.value)
    if figure.value is not None and figure.confidence == "digitised":
        text += f"±{number((figure.bounds[1] - figure.bounds[0]) / 2)}"
    return text + MARKS.get(figure.confidence, "")


def _lines(head: str, texts: dict[str, str], console: Console) -> None:
    if texts:
        console.print(f"\n{head}", style="bold", highlight=False)
        _listed({mark: Text(text) for text, mark in texts.items()}, console)


def _listed(texts: Mapping[str, Text], console: Console) -> None:
    """Each after its mark, its further lines under its first."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for mark, text in texts.items():
        grid.add_row(Text(mark), text)
    console.print(grid)


def _left_out(comparisons: Sequence[Comparison], console: Console) -> None:
    """Figures that nothing of ours is put beside: why, how many of each publication, and of what."""
    if comparisons:
        console.print("\nnot comparable, and nothing of ours is put beside", style="bold", highlight=False)
    key = lambda c: (c.why, c.figure.cite, c.figure.via)  # noqa: E731
    for (why, cite, via), of in groupby(sorted(comparisons, key=key), key=key):
        rows = list(of)
        methods = ", ".join(dict.fromkeys(c.figure.method for c in rows))
        attacks = ", ".join(dict.fromkeys(c.figure.attack for c in rows if c.figure.attack))
        what = f"{methods} after {attacks}" if attacks else methods
        figures = "1 figure" if len(rows) == 1 else f"{len(rows)} figures"
        _listed({"-": Text(f"{cite} ({via}): {figures} of {what}; {'; '.join(why)}")}, console)
