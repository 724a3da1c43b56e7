"""Whether the tables of a run directory are made from what is in it now, asked of their stamps: no table is read.

    python -m pytest tests/results/test_fresh.py
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from results import records, tables
from results.store import Store


def fresh(store: Store) -> bool:
    """Whether all five are there and whole enough to say that they cover the records and the plan of `store`."""
    covers = tables._covers(len(records.files(store.out)), store.plan()).encode()
    for name, schema in tables.SCHEMAS.items():
        try:
            found = pq.read_schema(tables._path(store.out, name))
        except (OSError, pa.ArrowException):
            return False
        if (found.metadata or {}).get(b"mapbench.covers") != covers or not found.equals(schema):
            return False
    return True
