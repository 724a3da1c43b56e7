"""The board in the layout of the papers' tables: a column per method, a row per target, and what was lost below them.

    mapbench leaderboard runs/digits-mini --by-pair --latex     (or --markdown)

A table per suite, backbone and scenario. The accuracies of a target are those of results.leaderboard.by_pair.frame, the
drops are made by results.stats.drops as the board's are: of a source, and last of all sources, where they equal the
board's own. Here they become texts; papers_text.py sets them as LaTeX and Markdown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from results.intervals import places_of
from results.leaderboard import INTERVALS, MAP_SENTENCE, Board, Group, by_pair, is_defined, name_of, number, said_of
from results.stats import ROW, drops, observed, over_units

if TYPE_CHECKING:
    import pandas as pd

MOST = 6  # columns of methods in a table; more are put into another, which is called continued
UNDEFINED = number(None)
HOW = (
    "Accuracy in %, top-1, before → after protection: of each target, and of the source itself as the mean over the "
    "models of its pairs. Source Drop and Target Drop are what is lost, in % of what there was; ST-D is their ratio, "
    f"of means the ratio of means. ± is {INTERVALS}"
)
BOLD = (
    "Bold is the best drop of all columns, controls included, and only where its interval lies apart from that of "
    "every other complete one; ST-D has no interval."
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A row of a table: a text for each column, and which of them is best where one can be told to be."""

    label: str
    texts: list[str]
    best: int | None = None


@dataclass(frozen=True)
class Block:
    """Rows that belong together: those of a source, or the means over sources."""

    name: str
    lines: list[Line]


@dataclass(frozen=True)
class Printed:
    """One table as text; `heads` may have several lines."""

    title: str
    heads: list[str]
    blocks: list[Block]
    notes: list[str]


def losses(board: Board) -> pd.DataFrame:
    """One row per variant and source, and one per variant with source "", the mean over sources.

    Columns: those of results.stats.ROW, source, together ("", or the union of targets that were blocked at once, as
    asked for), seeds, units (int, train cells), source_before, source_after, source_drop, target_drop, the last three
    with the ends of their 95 % t-intervals, _low and _high, and st_d. All from top-1, fractions in 0..1, NaN where
    undefined.
    """
    import pandas as pd

    names = [*ROW, "key", "source", "target", "seed", "source_before", "source_after", "source_drop", "target_drop"]
    rows = board.pairs.loc[board.pairs["role"] == "target", names]
    rows = rows.assign(together=_together(rows["source"], rows["key"].map(by_pair.called(board)), rows["target"]))
    places = [*ROW, "source", "together"]
    found = [
        dict(zip(places, place, strict=True)) | _lost(of)
        for place, of in rows.groupby(places, sort=False, dropna=False)
    ]
    for row, of in observed(board.pairs, "source_before", "source_after").groupby(ROW, sort=False, dropna=False):
        found.append(dict(zip(places, (*row, "", ""), strict=True)) | _lost(of))
    return pd.DataFrame(found)


def _together(source: pd.Series, pair: pd.Series, target: pd.Series) -> list[str]:
    """The pair where it is a union, "" for a target alone and where none was named."""
    return [p if p not in (s, f"{s}:{t}") else "" for s, p, t in zip(source, pair, target, strict=True)]


def _lost(of: pd.DataFrame) -> dict[str, Any]:
    after, low, high, _ = over_units(of, "source_after")
    return drops(of) | {
        "seeds": of["seed"].nunique(),
        "units": len(places_of(of, "source", "seed")),
        "source_before": over_units(of, "source_before")[0],
        "source_after": after,
        "source_after_low": low,
        "source_after_high": high,
    }


def tables(board: Board) -> list[Printed]:
    """Every table of the board, in its order; wide ones in several."""
    each = by_pair.frame(board)
    each = each[each["target"] != ""]
    each = each.assign(together=_together(each["source"], each["pair"], each["target"]))
    targets, sources = _by_place(each, "source", "together", "target"), _by_place(losses(board), "source", "together")
    return [table for group in board.groups() for table in _split(group, targets, sources)]


def _by_place(frame: pd.DataFrame, *names: str) -> dict[tuple[Any, ...], dict[tuple[str, ...], Row]]:
    """Rows by their variant, then by some columns."""
    found: dict[tuple[Any, ...], dict[tuple[str, ...], Row]] = {}
    for row in frame.to_dict("records"):
        place = tuple(row[name] for name in names)
        found.setdefault(tuple(row[name] for name in ROW), {})[place] = {str(k): v for k, v in row.items()}
    return found


def _split(group: Group, targets: Mapping[Any, Any], sources: Mapping[Any, Any]) -> Iterator[Printed]:
    """A group's tables, of MOST columns each: methods first, then controls."""
    rows = sorted((row for _, row in group.frame.iterrows()), key=lambda row: bool(row["control"]))
    if not rows:  # a group of the untrained net alone
        return
    of_targets, of_sources = ([found.get(tuple(row[ROW]), {}) for row in rows] for found in (targets, sources))
    blocks = [*_blocks(group, of_targets, of_sources), _means(rows, [of.get(("", "")) for of in of_sources])]
    heads = [name_of(row) + ("\n(control)" if row["control"] else "") for row in rows]
    notes = [HOW, _sizes(rows), BOLD, f"{MAP_SENTENCE}.", *(f"{line}." for line in said_of(group))]
    for start in range(0, len(rows), MOST):
        here = slice(start, start + MOST)
        yield Printed(
            group.title + (" (continued)" if start else ""),
            heads[here],
            [Block(block.name, [_cut(line, here) for line in block.lines]) for block in blocks],
            notes,
        )


def _cut(line: Line, here: slice) -> Line:
    inside = line.best is not None and here.start <= line.best < here.stop
    return Line(line.label, line.texts[here], line.best - here.start if inside and line.best is not None else None)


def _blocks(group: Group, targets: Sequence[Mapping[Any, Row]], sources: Sequence[Mapping[Any, Row]]) -> list[Block]:
    """A block per source, and per union of targets that some were asked to block at once."""
    order = {domain: place for place, domain in enumerate(group.domains)}
    asked: dict[tuple[str, str], set[str]] = {}
    for source, together, target in (place for of in targets for place in of):
        asked.setdefault((source, together), set()).add(target)
    made = []
    for (source, together), named in sorted(
        asked.items(), key=lambda item: (order.get(item[0][0], len(order)), *item[0])
    ):
        mine = [of.get((source, together)) for of in sources]
        lines = [_accuracies("source", "source", mine)]
        whole = [True] * len(mine)
        for target in sorted(named, key=lambda domain: (order.get(domain, len(order)), domain)):
            each = [of.get((source, together, target)) for of in targets]
            lines.append(_accuracies(f"→ {target}", "target", each))
            most = max(row["seeds"] for row in each if row)
            whole = [
                so_far and row is not None and row["seeds"] == most for so_far, row in zip(whole, each, strict=True)
            ]
        made.append(Block(f"{together} at once" if together else source, [*lines, *_drops(mine, whole)]))
    return made


def _means(rows: Sequence[Any], mine: Sequence[Row | None]) -> Block:
    return Block("mean", _drops(mine, [bool(row["pairs_done"] == row["pairs_expected"]) for row in rows]))


def _accuracies(label: str, side: str, rows: Sequence[Row | None]) -> Line:
    """`62.1 → 10.0±1.2`, with `(n=2)` where others have more seeds."""
    most = max((row["seeds"] for row in rows if row), default=0)
    texts = []
    for row in rows:
        if row is None:
            texts.append(UNDEFINED)
            continue
        fewer = f" (n={int(row['seeds'])})" if row["seeds"] < most else ""
        texts.append(f"{percent(row[f'{side}_before'])} → {_with_half(row, f'{side}_after')}{fewer}")
    return Line(label, texts)


def _drops(rows: Sequence[Row | None], whole: Sequence[bool]) -> list[Line]:
    """Source Drop, Target Drop and ST-D; `whole` says which columns have all that others have."""
    lines = []
    for label, name, sign in (("Source Drop", "source_drop", 1), ("Target Drop", "target_drop", -1)):
        texts = [_with_half(row, name) if row else UNDEFINED for row in rows]
        known = {
            place: sorted(sign * row[f"{name}{end}"] for end in ("_low", "_high"))
            for place, row in enumerate(rows)
            if row and whole[place] and is_defined(row[name])
        }
        lines.append(Line(label, texts, _apart(known)))
    return [*lines, Line("ST-D", [number(row["st_d"]) if row else UNDEFINED for row in rows])]


def _apart(known: Mapping[int, Sequence[float]]) -> int | None:
    """Whose interval lies wholly below every other's; none where one is not known (NaN), or there is nobody else."""
    if len(known) < 2:
        return None
    first = min(known, key=lambda place: known[place][1])
    return first if all(known[first][1] < known[place][0] for place in known if place != first) else None


def _with_half(row: Row, name: str) -> str:
    """`1.8±0.4`; the value alone where there is no interval."""
    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return percent(row[name]) + (f"±{percent(half)}" if is_defined(half) else "")


def percent(value: Any) -> str:
    """A fraction in percent: `number`'s own digits with the point moved, so that no form rounds in a way of its own."""
    text = number(value)
    return text if text == UNDEFINED else f"{Decimal(text) * 100:.1f}"


def _sizes(rows: Sequence[Any]) -> str:
    """`n: seeds 3, train cells 12, pairs 12/12`, and which columns have another."""
    sizes = {
        name_of(row): f"seeds {int(row['seeds'])}, train cells {int(row['units'])}, "
        f"pairs {int(row['pairs_done'])}/{int(row['pairs_expected'])}"
        for row in rows
    }
    common = Counter(sizes.values()).most_common(1)[0][0]
    return f"n: {'; '.join([common, *(f'{name}: {size}' for name, size in sizes.items() if size != common)])}."
