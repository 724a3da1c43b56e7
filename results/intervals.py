"""t-intervals over train cells: what the board, the attacks and every comparison say of how sure a mean is (design 5).

    python -m pytest tests/results/test_stats.py

Sources are fixed, each is a stratum, and its train cells (one per seed) are what replicates it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    Columns = pd.DataFrame | Mapping[str, np.ndarray]  # rows by the names of their columns

CONFIDENCE = 0.95


def interval(estimate: float, strata: list[np.ndarray], weight: int) -> tuple[float, float, int]:
    """t-interval of (sum of the strata's means) / weight: low, high, degrees of freedom; without any, NaN bounds."""
    spread, df = error(strata, weight)
    half = quantile(df) * spread
    return estimate - half, estimate + half, df


@cache
def quantile(df: int) -> float:
    """How many standard errors half an interval is, with `df` degrees of freedom; NaN without any."""
    from scipy.special import stdtrit  # what scipy.stats.t asks; to import that takes as long as a board

    return float(stdtrit(df, (1 + CONFIDENCE) / 2)) if df else math.nan


def error(strata: list[np.ndarray], weight: int) -> tuple[float, int]:
    """Standard error of (sum of the strata's means) / weight, and its degrees of freedom.

    Sources are fixed and their train cells replicate them, so variance is what varies within a source, pooled
    (ddof = 1). NaN and 0 where no source has two train cells.
    """
    df = sum(len(values) - 1 for values in strata)
    if df == 0:
        return math.nan, 0
    pooled = sum(float(((values - values.mean()) ** 2).sum()) for values in strata) / df
    return math.sqrt(pooled * sum(1 / len(values) for values in strata)) / weight, df


def places_of(rows: Columns, *names: str) -> dict[tuple[Any, ...], list[int]]:
    """Row numbers by the values of some columns; a plain dict is ten times as fast as groupby on a board's few rows."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, value in enumerate(zip(*(np.asarray(rows[name]).tolist() for name in names), strict=True)):
        groups.setdefault(value, []).append(place)
    return groups
