"""One cell as one offline HTML page: `mapbench show DIR KEY --html FILE`.

cell.html beside this file is filled with the facts of results/cell.py: curves as SVG, confusion matrices, generated
images as data: URIs, the log's end. Nothing is fetched and nothing runs: the page has no script, and says so to the
browser. jinja2 escapes all text.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import cell, cell_text, curves, place, records
from results.cell import ACCURACIES, Facts
from results.cell_text import number
from results.store import Store

LOG_LINES = 200
CLASSES = 30  # a matrix of more has no cell that could be read; the JSON has it
POINTS = 400  # of a curve that is longer, as many as a figure has pixels
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 180, 66, 12, 14, 38  # of a figure, and around what is drawn in it
PNG = b"\x89PNG\r\n\x1a\n"


def write(facts: Facts, store: Store, path: Path) -> Path:
    """Write the page and return its path: a reader sees the old page or the new one, never half of it."""
    content = page(facts, store).encode()
    if place.is_local(path) and path.exists() and not path.is_file():
        path.write_bytes(content)  # /dev/stdout, say: nothing to put in the place of
    else:
        records.atomic_write(path, content)
    return path


def page(facts: Facts, store: Store) -> str:
    """The whole page as text; pictures and the log are read from the run directory, where they are there."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    room = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    scored = facts["accuracy"]
    return room.get_template("cell.html").render(
        facts=facts,
        rows=list(cell_text.rows(facts)),
        heads=list(cell_text.HEADS.values()),
        scores=[_score(row, facts["score"]) for row in scored],
        beside=any(row["before"] for row in scored),
        legend=cell_text.legend(facts),
        charts=[chart(name, line) for name, line in facts["curves"].items()],
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP,
               "bottom": HEIGHT - BOTTOM, "middle": (TOP + HEIGHT - BOTTOM) / 2},
        matrices=[_matrix(row, facts["score"]) for row in scored if row["confusion"] and facts["classes"] <= CLASSES],
        classes=facts["classes"],
        most=CLASSES,
        pictures=[{**made, "data": _embedded(store, made)} for made in facts["pictures"]],
        log=cell.log(store, facts, LOG_LINES),
        log_lines=LOG_LINES,
        no_command=cell_text.NO_COMMAND,
    )  # fmt: skip


def _domain(row: dict[str, Any], score: str) -> str:
    return str(row["domain"]) + ("" if row["part"] == score else f" ({row['part']})")


def _score(row: dict[str, Any], score: str) -> dict[str, Any]:
    """A line of the accuracy table, as text: what was and what is, column by column."""
    before = row["before"] or {}
    return {
        "domain": _domain(row, score), "role": row["role"] or "", "total": row["total"], "drop": number(row["drop"]),
        "removed": "" if row["role"] == "source" else number(row["removed"]),
        "pairs": [(number(before.get(name)), number(row[name])) for name in ACCURACIES],
    }  # fmt: skip


def _matrix(row: dict[str, Any], score: str) -> dict[str, Any]:
    """A confusion matrix: of each true class (a row) the count and the share, in %, of each answer; both None where no
    image is of the class."""
    shares = []
    for counts in row["confusion"]:
        images = sum(counts)
        shares.append([(count, round(100 * count / images) if images else None) for count in counts])
    return {"domain": _domain(row, score), "role": row["role"] or "", "total": row["total"], "rows": shares}


def chart(name: str, line: Sequence[float | None]) -> dict[str, Any]:
    """A curve as the template draws it: lines and single points in the figure's own units, ticks, and words for those
    who do not see it. Between two measured epochs with none between there is a line, elsewhere a gap."""
    said = curves.ends(line)
    low, high, epochs = said["min"], said["max"], len(line)
    words = ", ".join(f"{side} {cell_text.short(value)}" for side, value in said.items())
    drawn: dict[str, Any] = {
        "name": name, "epochs": epochs, "words": words, "lines": [], "dots": [], "levels": [],
        "title": f"{name}, {epochs} epoch{'' if epochs == 1 else 's'}",
    }  # fmt: skip
    if low is None or high is None:
        return drawn

    def at(place: int, value: float) -> str:
        across = (place / (epochs - 1)) if epochs > 1 else 0.5
        return f"{LEFT + across * (WIDTH - RIGHT - LEFT):.1f},{height(value):.1f}"

    def height(value: float) -> float:
        up = (value - low) / (high - low) if high > low else 0.5
        return HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    runs: list[list[str]] = [[]]
    for spot in curves.kept(line, POINTS):
        value = line[spot]
        if value is None:
            runs.append([])
        else:
            runs[-1].append(at(spot, value))
    drawn["lines"] = [" ".join(run) for run in runs if len(run) > 1]
    drawn["dots"] = [tuple(run[0].split(",")) for run in runs if len(run) == 1]
    levels = [low, (low + high) / 2, high] if high > low else [low]
    drawn["levels"] = [(f"{height(level):.1f}", f"{level:.3g}") for level in levels]
    return drawn


def _embedded(store: Store, made: dict[str, Any]) -> str | None:
    """A picture as a data: URI; None where it is gone, or is no PNG."""
    with contextlib.suppress(OSError):
        content = place.get(store.out / made["path"]) if made["there"] else b""
        if content.startswith(PNG):
            return f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return None
