"""The CSV of a closed method's figures, as somebody wrote it: every line checked, the first mistake named by its line.

    mapbench merge runs/digits-mini closed.csv

One line is one model on one pair and one seed; figures are fractions in 0..1. Columns, in any order, those in brackets
only where there is something to say:

suite, backbone       as the run's tables call them; [split_seed] is 0 unless said
method                a name of its own, which boards call NAME[closed]
scenario              the data it may touch, as boards print it: `labelled source, no target`
start                 what protection began with: source (a trained f_s) or init; [tuned] yes or no
source, target, seed  where the scenario has no target, lines that differ in the target alone are of one model
source_after, target_after                        top-1 of the protected model
[source_before, target_before]                    top-1 of its own f_s; without, the run's f_s of this seed stands there
[source_images, target_images]                    test images that these are of; without, those of the run's f_s
[source_after_balanced, target_after_balanced]    class-balanced
[target_matched, target_decoded]                  class-balanced, as the board has them
cite                  where the figures are from
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from results import place
from results.errors import StoreError

Share = float | None


class Row(BaseModel):
    """One line. Frozen; a percentage, an odd name or an unknown column is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    suite: str = Field(min_length=1)
    split_seed: int = Field(0, ge=0)
    backbone: str = Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*(@[a-z0-9]+)*$")
    method: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
    scenario: str = Field(pattern=r"^(no|unlabelled|labelled) source, (no|unlabelled|labelled) target$")
    start: Literal["source", "init"]
    tuned: bool = False
    source: str
    target: str
    seed: int = Field(ge=0)
    source_before: Share = Field(None, ge=0, le=1)
    target_before: Share = Field(None, ge=0, le=1)
    source_after: float = Field(ge=0, le=1)
    target_after: float = Field(ge=0, le=1)
    source_images: int | None = Field(None, ge=1)
    target_images: int | None = Field(None, ge=1)
    source_after_balanced: Share = Field(None, ge=0, le=1)
    target_after_balanced: Share = Field(None, ge=0, le=1)
    target_matched: Share = Field(None, ge=0, le=1)
    target_decoded: Share = Field(None, ge=0, le=1)
    cite: str = Field(min_length=1)

    @field_validator("target")
    @classmethod
    def _another_domain(cls, target: str, info: ValidationInfo) -> str:
        if target == info.data.get("source"):
            raise ValueError("must be another domain than the source")
        return target

    @property
    def targets(self) -> list[str]:
        """What the method was told to block: none where its scenario has no target."""
        return [] if self.scenario.endswith("no target") else [self.target]

    @property
    def model(self) -> tuple[Any, ...]:
        """What the lines of one model have in common."""
        names = ("suite", "split_seed", "backbone", "method", "scenario", "start", "tuned", "source", "seed")
        return (*(getattr(self, name) for name in names), *self.targets)


@dataclass(frozen=True)
class Line:
    """A row, where it stands, and its cells as they were typed."""

    at: str  # closed.csv:3
    row: Row
    typed: Mapping[str, str]


def read(path: Path) -> list[Line]:
    """The lines of a file. Raises StoreError, with file and line, for the first that is not what the columns say."""
    try:
        content = place.get(path).decode("utf-8-sig")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is no text in UTF-8: {error.reason}") from None
    lines, table = [], csv.DictReader(io.StringIO(content, newline=""), restkey="more", strict=True)
    try:
        _head(path.name, table.fieldnames or [])
        for typed in table:
            at = f"{path.name}:{table.line_num}"
            if "more" in typed or None in typed.values():
                raise StoreError(f"{at}: {'more' if 'more' in typed else 'fewer'} cells than the head has columns")
            given = {name: text.strip() for name, text in typed.items() if text.strip()}
            try:
                lines.append(Line(at, Row.model_validate(given), given))
            except ValidationError as error:
                raise StoreError(f"{at}: {_first(error)}") from None
    except csv.Error as error:
        raise StoreError(f"{path.name}:{table.reader.line_num}: {error}") from None
    if not lines:
        raise StoreError(f"{path.name}: it has no rows: there is nothing to import")
    return lines


def _first(error: ValidationError) -> str:
    """The first of what pydantic has to say, in one line."""
    one = error.errors(include_url=False)[0]
    got = f", not {one['input']!r}" if isinstance(one["input"], str) else ""
    return f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}{got}"


def _head(name: str, columns: Sequence[str]) -> None:
    """StoreError unless the head names what is needed, and nothing that is not known."""
    for column in columns:
        if column not in Row.model_fields:
            close = get_close_matches(column, Row.model_fields, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(Row.model_fields)}"
            raise StoreError(f"{name}:1: unknown column {column!r}: {hint}")
        if list(columns).count(column) > 1:
            raise StoreError(f"{name}:1: column {column!r} stands there twice")
    needed = [column for column, field in Row.model_fields.items() if field.is_required()]
    if missing := [column for column in needed if column not in columns]:
        raise StoreError(f"{name}:1: no column {', '.join(missing)}; needed are {', '.join(needed)}")
