"""A cell's key: the sha256 of the canonical JSON of its spec, so the same on any machine (design 1).

    python -c "from results.keys import key_of; print(key_of({'seed': 0}))"

It stands here because whoever reads results must be able to compute it again from the spec that stands in the tables.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(spec: dict[str, Any]) -> str:
    """One text for one meaning: sorted keys, no spaces, floats by their shortest repr. ValueError for NaN."""
    return _ENCODER.encode(spec)


def key_of(spec: dict[str, Any]) -> str:
    """The cell's key, 64 hex digits. ValueError where the spec holds a NaN."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()
