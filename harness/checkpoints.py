"""What cells leave behind as files, and how those that hang on them read it: checkpoints, and whatever else is kept.

.venv/bin/pytest tests/harness/test_run.py tests/harness/test_disks.py
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from harness import UsageError
from results import records
from results.place import get, is_local, place


def trained(out: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state_dict that a cell above ended with, and its record. The first ok record of a key wins, always."""
    from safetensors.torch import load as parse

    winner = records.winners(records.read_key(out, key)).get(key)
    if winner is None or winner["status"] != "ok":
        raise UsageError(f"the cell above, {key[:12]}, has no ok record in {out}")
    if winner["checkpoint"] is None:  # its record came out of a publication
        raise UsageError(f"{out} has no model of the cell above, {key[:12]}: delete its record to train it again")
    return parse(_checkpoint(str(out / winner["checkpoint"]), winner["checkpoint_sha256"])), winner


@lru_cache(maxsize=8)  # source models and generators are shared by many cells
def _checkpoint(path: str, sha256: str) -> bytes:
    blob = get(place(path))
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise UsageError(f"{path} is damaged: delete its record to train it again")
    return blob


def checkpoint(model: nn.Module) -> bytes:
    """The model's state as safetensors: never pickle, which runs whatever it holds."""
    from safetensors.torch import save

    return save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})


def keep(out: Path, name: str, blob: bytes) -> str:
    """An artefact, durable before the record that names it. Its name is unique, so no rename is needed."""
    path = out / name
    if not is_local(path):
        records.atomic_write(path, blob)
        return name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)  # half a file on a full disk is in the way of everything else
        raise
    return name
