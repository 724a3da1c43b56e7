"""What was measured: records (the truth), tables (the product), metrics, statistics, leaderboards.

    python -c "import results; print(results.load('runs/digits-mini'))"

Knows no torch and no Ray. `results.records` and `results.store` load neither pandas nor pyarrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from results.errors import StoreError

if TYPE_CHECKING:
    import pandas

__all__ = ["StoreError", "load"]


def load(directory: str | Path) -> pandas.DataFrame:
    """One row per protect cell and other domain of a run directory: `pairs`, joined with its cell's columns.

    `directory` may be a URL: results.load("s3://bucket/runs/digits-mini").

    The columns are those of `results.tables.SCHEMAS["pairs"]`, then those of `SCHEMAS["cells"]` that pairs lacks
    (status, params, seconds, device, ...). Fractions are in 0..1, a null is what is undefined.
    Raises StoreError where the directory holds no run.
    """
    from results import tables

    pairs, cells = (table.to_pandas() for table in tables.several(directory, "pairs", "cells")[0])
    extra = [name for name in cells.columns if name not in pairs.columns]
    return pairs.merge(cells[["key", *extra]], on="key", how="left", validate="many_to_one")
