"""The figures that papers print of these methods, as far as they could be read, with where each one was seen.

    mapbench compare runs/cifar-stl published
    python -c "from results import published; print(*published.load(), sep='\\n')"

One CSV per publication, one figure per row, checked when it is read. A figure is here only if it was read somewhere
(`confidence`: read), follows from such figures or stands where only inference puts it (inferred), or was measured in a
drawing (digitised). Figures that anybody remembers are not here, however plausible.

method       mapbench's name of it; `f_s` for a model that nobody protected
attack       after which attack; empty: before any
suite        mapbench's name of the data; empty: which data is not said
backbone     torchvision's name, or `vit` where no more is said; with image_size and init, empty where not known
start        what protection began with: init, or a trained source model (source); empty where not known
source, target    the pair; or
domains      the mean is over every ordered pair of these; with neither, the figure is of a row that is not named
metric       as in the pairs table, top-1; composite: NTLBench's score, see results/compare.py
value, low, high    fractions in 0..1 (st_d: the ratio). low to high is what the figure as printed can stand for (85.6 %
             is .8555 to .8565), or may have been misread by; without a value, all that is known are bounds
confidence, via     as above, and where it was seen: poster, figure, digest (a text that quotes the paper) or board
cite         the publication       differs     what of the protocol is known to differ from mapbench's, in a few words
"""

from __future__ import annotations

import csv
import math
from itertools import permutations
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

FOLDER = Path(__file__).parent
UNPROTECTED = "f_s"
# The suites that figures speak of: results knows no suite files, so a test holds these against them.
SUITES: dict[str, tuple[str, ...]] = {
    "digits": ("mnist", "usps", "svhn", "mnist-m"),
    "cifar-stl": ("cifar10", "stl10"),
    "visda": ("visda-train", "visda-val"),
    "office-home": ("art", "clipart", "product", "real-world"),
}
FAMILIES = ("vit",)  # stand for each of their members: which one it was is not said
Metric = Literal[
    "source_before", "source_after", "target_before", "target_after", "source_drop", "target_drop", "st_d", "composite"
]  # fmt: skip
RATIO = "st_d"
BEFORE = ("source_before", "target_before")
SIGNED = ("source_drop", "target_drop")  # at most 1, and below 0 where a model got better


class Figure(BaseModel):
    """One row of a CSV. Frozen; an unknown column, a percentage or a pair of another suite is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str = Field(pattern=r"^([a-z][a-z0-9]*(-[a-z0-9]+)*|f_s)$")
    attack: str = Field(pattern=r"^([a-z0-9]+(-[a-z0-9]+)*)?$")
    suite: str
    backbone: str = Field(pattern=r"^([a-z0-9]+(_[a-z0-9]+)*)?$")
    image_size: int | None = Field(ge=8)
    init: Literal["", "random", "imagenet"]
    start: Literal["", "init", "source"]
    source: str
    target: str
    domains: tuple[str, ...]
    metric: Metric
    value: float | None
    low: float | None
    high: float | None
    confidence: Literal["read", "inferred", "digitised"]
    via: Literal["poster", "figure", "digest", "board"]
    cite: str = Field(min_length=1)
    differs: str

    @field_validator("image_size", "value", "low", "high", mode="before")
    @classmethod
    def _empty_is_none(cls, text: object) -> object:
        return None if text == "" else text

    @field_validator("domains", mode="before")
    @classmethod
    def _words(cls, text: object) -> object:
        return tuple(text.split()) if isinstance(text, str) else text

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs that it is of, or the mean of; none where they are not named."""
        return ((self.source, self.target),) if self.target else tuple(permutations(self.domains, 2))

    def is_of(self, backbone: str) -> bool:
        """Whether it may be of this network."""
        family = backbone.partition("_")[0]
        return self.backbone in ("", backbone) or (self.backbone in FAMILIES and self.backbone == family)

    @property
    def bounds(self) -> tuple[float, float]:
        """What it can stand for."""
        return (-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)

    @model_validator(mode="after")
    def _one_pair_or_one_mean(self) -> Figure:
        if self.suite and self.suite not in SUITES:
            raise ValueError(f"suite {self.suite!r} is none of {', '.join(SUITES)}")
        named = [name for name in (self.source, self.target, *self.domains) if name]
        if alien := [name for name in named if name not in SUITES.get(self.suite, ())]:
            raise ValueError(f"suite {self.suite!r} has no domain {alien[0]!r}")
        if bool(self.source) != bool(self.target) or (self.target and self.domains) or len(self.domains) == 1:
            raise ValueError("give source and target, or two domains and more, or none of them")
        if len(set(named)) < len(named):
            raise ValueError("a domain is named twice")
        return self

    @model_validator(mode="after")
    def _numbers_are_fractions(self) -> Figure:
        given = [number for number in (self.low, self.value, self.high) if number is not None]
        if not given or (self.value is not None and len(given) < 3):
            raise ValueError("give low, value and high, or bounds alone")
        if given != sorted(given):
            raise ValueError("low <= value <= high does not hold")
        least = -1 if self.metric in SIGNED else 0
        if self.metric != RATIO and not (least <= given[0] and given[-1] <= 1):
            raise ValueError(f"{self.metric} is a fraction, and {given} is not")
        if (self.method == UNPROTECTED) != (self.metric in BEFORE) or (self.method == UNPROTECTED and self.attack):
            raise ValueError(f"{' and '.join(BEFORE)} are of {UNPROTECTED} without an attack, and nothing else is")
        return self


def load(folder: Path = FOLDER) -> list[Figure]:
    """Every figure of every CSV in `folder`, in the order of files and rows.

    Raises ValueError, naming file and line, where a row is not what the columns say.
    """
    return [figure for path in sorted(folder.glob("*.csv")) for figure in read(path)]


def read(path: Path) -> list[Figure]:
    """The figures of one file; raises as `load` does."""
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, restkey="more", strict=True)
        for row in rows:
            try:
                found.append(Figure.model_validate(row))
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                where = ".".join(map(str, first["loc"]))
                raise ValueError(f"{path.name}:{rows.line_num}: {where and where + ': '}{first['msg']}") from None
    return found
