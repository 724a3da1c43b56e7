"""The kept answers of each two models, image by image of the target: where they differ beyond chance.

    mapbench compare runs/digits-mini sa-map cuti

McNemar's exact test asks of two trained models whether the images that one alone gets right outnumber those that the
other alone does. It speaks of these two models: another seed gives others, and how methods differ is what the
t-intervals over train cells say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from results import place
from results.agreement import disagreement, mcnemar
from results.paired import holm

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
Observation = tuple[str, str, int]  # source, target, seed


@dataclass(frozen=True)
class Models:
    """Two models of one (source, target, seed) on the images of the target: how many images, and of those counts."""

    source: str
    target: str
    seed: int
    images: int
    other_answers: int  # on which the two say different classes, right or wrong
    both: int  # on which both are right
    a_only: int
    b_only: int
    neither: int
    p: float  # McNemar's, exact, two-sided
    p_holm: float = math.nan  # over all models of this comparison


@dataclass(frozen=True)
class Answers:
    """Every (source, target, seed) that both sides have a model of."""

    models: tuple[Models, ...]
    unread: int  # of these, without kept answers of either side, or with answers to other images

    @property
    def beyond_chance(self) -> int:
        """On how many the two models differ, corrected for their number."""
        return sum(one.p_holm < ALPHA for one in self.models)


def answers(
    a: pd.DataFrame, b: pd.DataFrame, side_a: tuple[pd.DataFrame, Path], side_b: tuple[pd.DataFrame, Path], part: str
) -> Answers:
    """Compare the kept answers on `part` behind two variants' rows of `pairs`; a side is its `cells` and its run
    directory. What cannot be read is counted, never guessed at. Raises StoreError where a server does not answer."""
    found: list[Models] = []
    unread = 0
    for (one, other), observations in _together(a, b, side_a[0], side_b[0]).items():
        left, right = _kept(side_a, one), _kept(side_b, other)
        for observation in observations:
            pair = None if left is None or right is None else _compared(left, right, observation, part)
            unread += pair is None
            found += [pair] if pair else []
    adjusted = holm([pair.p for pair in found])
    found = [replace(pair, p_holm=p) for pair, p in zip(found, adjusted, strict=True)]
    return Answers(tuple(sorted(found, key=lambda pair: (pair.source, pair.target, pair.seed))), unread)


def _together(
    a: pd.DataFrame, b: pd.DataFrame, cells_a: pd.DataFrame, cells_b: pd.DataFrame
) -> Mapping[tuple[str, str], list[Observation]]:
    """Keys of the two models to compare, each with what they are both of: a file is then read once.

    Of a target that was blocked alone and in a union, the models that were asked the same, else those asked least."""
    mine, theirs = _models(a, cells_a), _models(b, cells_b)
    found: dict[tuple[str, str], list[Observation]] = {}
    for observation in sorted(mine.keys() & theirs.keys()):
        one, other = mine[observation], theirs[observation]
        same = sorted(one.keys() & other.keys(), key=_least)
        asked = (same[0], same[0]) if same else (min(one, key=_least), min(other, key=_least))
        found.setdefault((one[asked[0]], other[asked[1]]), []).append(observation)
    return found


def _least(targets: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    return len(targets), targets


def _models(rows: pd.DataFrame, cells: pd.DataFrame) -> dict[Observation, dict[tuple[str, ...], str]]:
    """Keys by observation and by what the model was asked to block."""
    mine = cells[cells["key"].isin(set(rows["key"]))]
    asked = {key: tuple(targets) for key, targets in zip(mine["key"], mine["targets"], strict=True)}
    found: dict[Observation, dict[tuple[str, ...], str]] = {}
    for key, source, target, seed in rows[["key", "source", "target", "seed"]].itertuples(index=False, name=None):
        found.setdefault((source, target, int(seed)), {})[asked[key]] = key
    return found


def _kept(side: tuple[pd.DataFrame, Path], key: str) -> pd.DataFrame | None:
    """What a model answered, or None where that was not kept or is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells, out = side
    name = cells.loc[cells["key"] == key, "predictions"].iloc[0]
    if not isinstance(name, str):
        return None
    try:
        # by this thread alone, as results.tables does
        table = pq.ParquetFile(pa.BufferReader(place.get(out / name)), pre_buffer=False).read(use_threads=False)
        return table.to_pandas(use_threads=False)
    except (OSError, pa.ArrowException):
        return None


def _compared(a: pd.DataFrame, b: pd.DataFrame, observation: Observation, part: str) -> Models | None:
    """None where the two were not asked about the same images."""
    _, target, _ = observation
    a, b = (side[(side["domain"] == target) & (side["part"] == part)].sort_values("index") for side in (a, b))
    same = len(a) == len(b) > 0 and all((a[name].to_numpy() == b[name].to_numpy()).all() for name in ("index", "label"))
    if not same:
        return None
    both, a_only, b_only, neither = disagreement(a, b)
    other = int((a["predicted"].to_numpy() != b["predicted"].to_numpy()).sum())
    return Models(*observation, len(a), other, both, a_only, b_only, neither, mcnemar(a_only, b_only))
