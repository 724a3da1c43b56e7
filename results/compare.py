"""A run directory beside the published figures: the same quantity of both, and a verdict where there can be one.

    mapbench compare runs/cifar-stl published
    python -m pytest tests/results/test_compare.py

Ours is the mean over seeds, a mean over pairs only where each of them was run, and its interval the board's: a 95 %
t-interval over train cells. A figure whose network, image size, initial weights, settings or quantity are known to be
others is `not comparable`, whatever the numbers. What else differs, or is not known, is noted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from results.intervals import interval, places_of
from results.pairs import TIE
from results.plain import plain_json
from results.published import FAMILIES, RATIO, UNPROTECTED, Figure
from results.records import CLOSED

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ["split_seed", "backbone", "variant", "start"]  # of what is put beside a figure, given its suite and method
BARE = ["split_seed", "backbone"]  # of f_s, which no method has to do with
SIGNIFICANT = ("backbone", "image_size", "init")  # of the training: decide what an accuracy is

NOT_RUN, NOT_COMPARABLE = "not run", "not comparable"
AFTER_ATTACK = "theirs is after an attack, and none of ours is put beside those"
UNNAMED = "of which data theirs is, is not said"
COMPOSITE = "how their composite is formed was not read; ours: (source_after + 1 - target_after) / 2"
UNDEFINED = "ours is not defined: a drop from nothing, or no target drop to divide by"
MEANINGS = {
    "within": "our interval, or our mean where there is none, meets what their figure can stand for; a wide one proves "
    "little",
    "higher, lower": "it does not. Theirs is taken to be exact but for rounding or reading: how it varies over seeds "
    "was not published, and 1,000 other test images alone move an accuracy by up to 0.03",
    "(n=1)": "no source has two train cells, so nothing of ours says how much a seed changes",
    "?": "network, image size or initial weights of one side are not known; they decide an accuracy",
    "theirs": "top-1, as is ours; * inferred, ~ measured in a drawing, a..b: bounds are all that is known",
    "±": "half a 95 % t-interval over train cells with the pairs held fixed; n is seeds / train cells",
    "diff": "ours less theirs",
}


@dataclass(frozen=True)
class Ours:
    """What the run has of a figure's quantity; `value` is None where it is not defined."""

    value: float | None
    low: float | None  # None: no interval
    high: float | None
    df: int
    seeds: int
    units: int  # train cells


@dataclass(frozen=True)
class Comparison:
    """A figure, ours of one variant and backbone beside it, and what may be concluded."""

    figure: Figure
    split_seed: int | None = None
    backbone: str | None = None  # ours; None, as all of ours is, where nothing is put beside the figure
    variant: str | None = None
    start: str | None = None
    ours: Ours | None = None
    pairs_done: int = 0
    pairs_expected: int = 0
    failed: int = 0  # cells of ours that ended without a model, and so are in no mean
    verdict: str = NOT_RUN  # or within, higher or lower, each perhaps with ? and (n=1); or not comparable
    why: list[str] = field(default_factory=list)  # not comparable, because
    notes: list[str] = field(default_factory=list)  # other differences, and what is not known

    @property
    def difference(self) -> float | None:
        """Ours less theirs."""
        ours, theirs = self.ours.value if self.ours else None, self.figure.value
        return None if ours is None or theirs is None else ours - theirs


def against(figures: Sequence[Figure], pairs: pd.DataFrame, cells: pd.DataFrame) -> list[Comparison]:
    """Every figure beside each variant of its method, on each backbone, in the figures' order.

    `pairs` and `cells` are the tables of results.tables. Only current cells scored on test count, and of methods only
    those asked to block one target alone, or told of none: a union is another question than the published one.
    """
    models = cells[(cells["kind"] == "protect") & cells["current"].astype(bool) & (cells["score"] == "test")]
    models = models[models["fidelity"] != CLOSED]  # figures that were imported are none of ours
    alone = [len(targets) == 0 or (len(targets) == 1 and "+" not in targets[0]) for targets in models["targets"]]
    models = models.assign(alone=alone)
    specs = {key: json.loads(spec) for key, spec in zip(cells["key"], cells["spec"], strict=True)}
    return [comparison for figure in figures for comparison in _beside(figure, pairs, models, specs)]


def _beside(
    figure: Figure, pairs: pd.DataFrame, models: pd.DataFrame, specs: dict[str, dict[str, Any]]
) -> list[Comparison]:
    why = [AFTER_ATTACK] if figure.attack else [] if figure.pairs else [UNNAMED]
    bare = figure.method == UNPROTECTED
    mine = models[(models["suite"] == figure.suite) & (bare | (models["alone"] & (models["method"] == figure.method)))]
    groups = [] if why else sorted(mine.groupby(BARE if bare else IDENTITY, dropna=False), key=lambda g: str(g[0]))
    found = [_one(figure, group, pairs, specs) for _, group in groups]
    # what has no number is shown for what is missing of it, where it would be compared if it had one
    found = [c for c in found if c.ours or (not c.why and (c.pairs_done or c.failed))]
    if found:
        return found
    if not why and figure.metric == "composite":
        why = [COMPOSITE]
    nothing = Comparison(figure, pairs_expected=len(figure.pairs), why=why, notes=_unlike(figure))
    return [replace(nothing, verdict=NOT_COMPARABLE) if why else nothing]


def _one(figure: Figure, group: pd.DataFrame, pairs: pd.DataFrame, specs: dict[str, dict[str, Any]]) -> Comparison:
    """A figure beside the cells of one variant on one backbone, or, of f_s, beside the parents of all on one."""
    bare = figure.method == UNPROTECTED
    first = group.iloc[0]
    rows = pairs[pairs["key"].isin(group["key"]) & (bare | (pairs["role"] == "target"))]
    ours, done = measure(figure, rows)
    asked = np.array([_asked(figure, *cell) for cell in zip(group["source"], group["targets"], strict=True)])
    ok = (group["status"] == "ok").to_numpy()
    failed = 0 if bare else int((asked & ~ok & (group["status"] != "skipped").to_numpy()).sum())
    said = () if bare else (flags for flags in group.loc[ok & asked, "flags"] if flags is not None)
    flags = sorted({flag for flags in said for flag in flags})
    start = None if bare else str(first["start"])
    spec = _training(specs, group["parent"]) | {"backbone": str(first["backbone"])}
    notes = _unlike(figure, spec, start)
    notes += [f"cells of ours that ended without a model, and so are in no mean: {failed}"] if failed else []
    notes += [f"flags of ours: {', '.join(flags)}"] if flags else []
    if not ours and done:
        part = f"{done} of its {len(figure.pairs)} pairs were run: their mean would be another quantity"
        notes.append(part if done < len(figure.pairs) else "no seed has all of its pairs")
    variant = UNPROTECTED if bare else str(first["variant"])
    why = _obstacles(figure, spec, variant) + ([UNDEFINED] if ours and ours.value is None else [])
    known = all(getattr(figure, name) and spec[name] for name in SIGNIFICANT) and figure.backbone not in FAMILIES
    return Comparison(
        figure, split_seed=int(first["split_seed"]), backbone=spec["backbone"], variant=variant, start=start, ours=ours,
        pairs_done=done, pairs_expected=len(figure.pairs), failed=failed, why=why, notes=notes,
        verdict=NOT_RUN if not ours else NOT_COMPARABLE if why else verdict(figure, ours, known),
    )  # fmt: skip


def measure(figure: Figure, rows: pd.DataFrame) -> tuple[Ours | None, int]:
    """Ours of a figure from rows of the pairs table, and how many of its pairs they cover; None unless that is all.

    A train cell counts where all pairs of its source are there for it. Sources weigh the same, as on the board.
    """
    wanted: dict[str, list[str]] = {}
    for source, target in figure.pairs:
        wanted.setdefault(source, []).append(target)
    cells = places_of(rows, "source", "parent", "target")
    have = {(source, target) for source, _, target in cells}
    done = sum(pair in have for pair in figure.pairs)
    columns = [
        _column(rows, name) for name in (("source_drop", "target_drop") if figure.metric == RATIO else [figure.metric])
    ]
    strata: list[np.ndarray] = []  # for each source, a line per train cell: its mean over the source's pairs
    parents: set[str] = set()
    for source, targets in wanted.items():
        lines = []
        for parent in dict.fromkeys(p for s, p, _ in cells if s == source):
            places = [cells.get((source, parent, target)) for target in targets]
            if all(places):
                lines.append([float(np.mean([column[p].mean() for p in places])) for column in columns])
                parents.add(parent)
        if not lines:
            return None, done
        strata.append(np.array(lines))
    seeds = rows.loc[rows["parent"].isin(parents), "seed"].nunique()
    means = np.mean([lines.mean(axis=0) for lines in strata], axis=0)
    if figure.metric == RATIO:  # a ratio of mean drops; its interval linearises it: d(S/T) = (dS - S/T dT) / T
        dropped, removed = means
        if not removed > 0:
            return Ours(None, None, None, 0, seeds, len(parents)), done
        estimate = float(dropped / removed)
        spread = [(lines[:, 0] - estimate * lines[:, 1]) / removed for lines in strata]
    else:
        estimate, spread = float(means[0]), [lines[:, 0] for lines in strata]
    if math.isnan(estimate):
        return Ours(None, None, None, 0, seeds, len(parents)), done
    low, high, df = interval(estimate, spread, len(strata))
    return Ours(estimate, low if df else None, high if df else None, df, seeds, len(parents)), done


def _column(rows: pd.DataFrame, metric: str) -> np.ndarray:
    if metric == "composite":
        return ((rows["source_after"] + 1 - rows["target_after"]) / 2).to_numpy()
    return rows[metric].to_numpy(dtype=float)


def verdict(figure: Figure, ours: Ours, known: bool) -> str:
    """within, higher or lower than the figure, by our interval; by our mean, with (n=1), where there is none.

    With ? where what decides an accuracy is not `known` of both sides."""
    low, high = (ours.value if bound is None else bound for bound in (ours.low, ours.high))
    if low is None or high is None:
        return NOT_COMPARABLE
    least, most = figure.bounds
    word = "higher" if low > most + TIE else "lower" if high < least - TIE else "within"
    return word + ("" if known else "?") + ("" if ours.df else " (n=1)")


def _asked(figure: Figure, source: str, targets: Iterable[str]) -> bool:
    """Whether a cell of this source that was asked to block `targets` belongs to the figure."""
    return any(source == s and list(targets) in ([], [t]) for s, t in figure.pairs)


def _training(specs: dict[str, dict[str, Any]], parents: pd.Series) -> dict[str, Any]:
    """What decides an accuracy, and the precision, of the source models: None where it differs among them or is not
    recorded."""
    found = [specs.get(key, {}) for key in parents.unique()]
    sizes = {spec.get("image_size") for spec in found}
    inits = {str(spec["init"]).partition(":")[0] if spec.get("init") else None for spec in found}  # imagenet:sha256
    kinds = {"image_size": sizes, "init": inits, "precision": {spec.get("precision") for spec in found}}
    return {name: s.pop() if len(s) == 1 else None for name, s in kinds.items()}


def _obstacles(figure: Figure, ours: dict[str, Any], variant: str) -> list[str]:
    """Why no verdict may be given, though there is a number on both sides."""
    why = [COMPOSITE] if figure.metric == "composite" else []
    if not figure.is_of(ours["backbone"].removesuffix(f"@{ours['precision']}")):  # tables have convnet@bf16
        why.append(f"their network is {figure.backbone}")
    if figure.image_size and ours["image_size"] and ours["image_size"] != figure.image_size:
        why.append(f"theirs is at {figure.image_size} px, ours at {ours['image_size']}")
    if figure.init and ours["init"] and ours["init"] != figure.init:
        why.append(f"theirs begins at {figure.init} weights, ours at {ours['init']} ones")
    plain = re.sub(r"\[fidelity=[a-z]+\]$", "", variant)  # as its paper has it, or as its code
    if plain != figure.method:
        why.append("ours has other settings than the method as described")
    return why


def _unlike(figure: Figure, ours: dict[str, Any] | None = None, start: str | None = None) -> list[str]:
    """What is noted and does not stand in the way of a verdict."""
    notes = [figure.differs] if figure.differs else []
    unknown = {"backbone": "network", "image_size": "image size", "init": "initial weights"}
    theirs = [words for name, words in unknown.items() if not getattr(figure, name)]
    if theirs and figure.pairs:
        notes.append(f"not known of theirs: {', '.join(theirs)}")
    if ours and (missing := [unknown[name] for name in SIGNIFICANT if not ours[name]]):
        notes.append(f"not recorded of ours, or not one: {', '.join(missing)}")
    if ours and ours["precision"] not in (None, "fp32"):
        notes.append(f"ours was trained in {ours['precision']}")
    if figure.start and start in ("source", "init") and start != figure.start:
        words = {"source": "a trained source model", "init": "the initial weights"}
        notes.append(f"their protection begins with {words[figure.start]}, ours with {words[start]}")
    return notes


def to_json(comparisons: Sequence[Comparison], sentence: str) -> str:
    """All rows with every field, and what the verdicts mean; null where a number is undefined."""
    rows = [
        {
            "theirs": {**c.figure.model_dump(), "pairs": [":".join(pair) for pair in c.figure.pairs]},
            **{name: getattr(c, name) for name in ("split_seed", "backbone", "variant", "start")},
            "ours": asdict(c.ours) if c.ours else None,
            **{name: getattr(c, name) for name in ("pairs_done", "pairs_expected", "failed", "difference", "verdict")},
            **{"why": c.why, "notes": c.notes},
        }
        for c in comparisons
    ]
    told = {"about": sentence, "meanings": MEANINGS, "rows": rows}
    return plain_json(json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False))
