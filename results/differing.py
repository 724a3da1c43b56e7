"""Rows that should be the same: what is missing, what is too many, and which number differs, a line each.

    python -m pytest tests/results/test_verify.py

Numbers agree that differ by a billionth: another machine's last bits are no problem.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

CLOSE = 1e-9
KEY = re.compile(r"[0-9a-f]{64}")


class Problem(NamedTuple):
    """What does not agree, and in which file."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def compared(
    where: str, given: Iterable[Mapping[str, Any]], right: Iterable[Mapping[str, Any]], identity: Collection[str],
    columns: Collection[str] = (), known: Mapping[tuple[Any, ...], Collection[str]] | None = None,
) -> Iterator[Problem]:  # fmt: skip
    """Where `given` rows are not what is `right`, in `columns`, or in all that both have; of the rows in `known`, in
    these columns of theirs alone."""
    mine: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in given:
        name = tuple(row[column] for column in identity)
        if name in mine:
            yield Problem(where, f"{_called(name)} stands there twice")
        mine[name] = row
    theirs = {tuple(row[column] for column in identity): row for row in right}
    for name in sorted(theirs.keys() - mine.keys(), key=str):
        yield Problem(where, f"{_called(name)} is not there, and should be")
    for name in sorted(mine.keys() - theirs.keys(), key=str):
        yield Problem(where, f"{_called(name)} is there, and nothing gives it")
    for name in (name for name in mine if name in theirs):
        found, wanted = mine[name], theirs[name]
        for column in columns or (column for column in wanted if column in found):
            judged = known is None or name not in known or column in known[name]
            if judged and not same(found[column], wanted.get(column)):
                yield Problem(where, f"{_called(name)}: {column} is {found[column]}, by the rest {wanted.get(column)}")


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same: NaN is null, and numbers are equal to a billionth."""
    if not (defined(one) and defined(other)):
        return defined(one) == defined(other)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(one == other)


def defined(value: Any) -> bool:
    """False for null and NaN."""
    return not (value is None or (isinstance(value, float) and math.isnan(value)))


def short(key: str) -> str:
    """A key as people read it; anything else as it is."""
    return key[:12] if KEY.fullmatch(key) else key


def _called(row: tuple[Any, ...]) -> str:
    return " ".join(short(str(value)) for value in row if value not in (None, ""))
