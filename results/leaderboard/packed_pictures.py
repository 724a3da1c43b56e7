"""Small copies of what synthesisers made, for the drill-down of the cells that were trained on it.

python -m pytest tests/results/leaderboard/test_packed.py -k pictures
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import place
from results.leaderboard.board import Board
from results.leaderboard.packed import KEY
from results.place import is_local

SIDE = 240  # pixels of the longer side: digits can still be told
QUALITY = 45
MOST = 60  # pictures; more could not be in the page, so none is read


def of(board: Board, cells: Sequence[Mapping[str, Any]], out: Path) -> dict[str, str] | None:
    """A WebP picture in base64 for each synthesiser that a cell used, by the digits of its key that the page shows.

    None where the directory is a URL or there are too many; a file that is gone or damaged is left out."""
    used = {key for cell in cells for key in (cell["inputs"] if cell["inputs"] is not None else ())}
    drawn = board.cells[board.cells["key"].isin(used) & board.cells["picture"].notna()]
    if not is_local(out) or len(drawn) > MOST:
        return None
    small = {key[:KEY]: _small(out / name) for key, name in zip(drawn["key"], drawn["picture"], strict=True)}
    return {key: picture for key, picture in small.items() if picture}


def _small(path: Path) -> str | None:
    from PIL import Image

    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(place.get(path))) as picture:
            copy = picture.convert("RGB")
    except OSError:  # not there, or no picture
        return None
    copy.thumbnail((SIDE, SIDE))
    copy.save(buffer, "WEBP", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
