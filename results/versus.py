"""Two variants of a run, or what two runs have in common, number by number, with paired differences.

    mapbench compare runs/digits-mini sa-map cuti
    mapbench compare runs/digits-mini runs/elsewhere

Per setting (suite, split, part, backbone, scenario): the quantities of results/quantities.py, what the kept answers of
each two models say (results/answers.py), what one side lacks, and in what else the sides differ (results/unlike.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results import quantities, variants
from results.answers import Answers, answers
from results.errors import StoreError
from results.intervals import places_of
from results.paired import holm
from results.pairs import SETTING, Pairs, by_rule, eligible
from results.quantities import PRIMARY, REMOVED, Line
from results.stats import ROW
from results.unlike import unlike
from results.variants import Variant

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """The current rows of a run directory's tables, as far as they were asked for."""

    name: str  # as typed
    out: Path
    cells: pd.DataFrame
    pairs: pd.DataFrame
    attacks: pd.DataFrame
    plan: Mapping[str, Any]
    variants: list[Variant]  # all there are, asked for or not

    @cached_property
    def eligible(self) -> dict[tuple[Any, ...], Pairs]:
        """By setting, the pairs that the rule counts; a suite's own list goes before it (results.pairs.eligible)."""
        return by_rule(self.pairs)

    @cached_property
    def blocked(self) -> dict[tuple[Any, ...], pd.DataFrame]:
        """Rows of `pairs` that a model was to block, by values of results.stats.ROW."""
        rows = self.pairs[self.pairs["role"] == "target"]
        return {row: rows.iloc[places] for row, places in places_of(rows, *ROW).items()}

    @cached_property
    def attacked(self) -> dict[tuple[Any, ...], dict[tuple[str, int], pd.DataFrame]]:
        """Rows of `attacks` on a protected model, by values of ROW, then by attack and n."""
        found: dict[tuple[Any, ...], dict[tuple[str, int], pd.DataFrame]] = {}
        on_model = self.attacks[self.attacks["method"].notna()]
        for (*row, attack, n), places in places_of(on_model, *ROW, "attack", "n").items():
            found.setdefault(tuple(row), {})[attack, int(n)] = on_model.iloc[places]
        return found


@dataclass(frozen=True)
class Versus:
    """One side against the other in one setting."""

    suite: str
    split_seed: int
    score: str
    backbone: str
    scenario: str
    a: str  # the two variants, or the two runs
    b: str
    variant: str  # of two runs: which; "" where a and b are variants
    lines: list[Line]
    answers: Answers
    lacks_a: list[str]  # `uci:print seed 1`: what b has and a has not, and so counts for neither
    lacks_b: list[str]
    warnings: list[str]

    @property
    def setting(self) -> tuple[Any, ...]:
        """What one table holds."""
        return self.suite, self.split_seed, self.score, self.backbone, self.scenario

    @property
    def primary(self) -> Line:
        """What is quoted: target_removed against who takes the answers as they are."""
        return self.line(REMOVED, PRIMARY)

    def line(self, quantity: str, attacker: str = "") -> Line:
        """One of `lines`."""
        return next(line for line in self.lines if (line.quantity, line.attacker) == (quantity, attacker))


@dataclass(frozen=True)
class Report:
    """All that `mapbench compare` says of two sides."""

    a: str  # as typed
    b: str
    runs: bool  # two runs, else two variants of one
    found: list[Versus]
    only_a: list[str]  # what one side alone has
    only_b: list[str]


def read(out: Path, name: str, chosen: Callable[[dict[str, Any]], bool] | None = None) -> Run:
    """A run directory's current cells that are `chosen` (a row of `cells` -> bool; None: all), and their rows.

    `name` stands for it in messages. Raises StoreError where there is none, or no protected model is left.
    """
    from results import tables
    from results.store import Store

    arrow = {table: tables.read(out, table) for table in ("cells", "pairs", "attacks")}
    cells, pairs, attacks = (table.to_pandas() for table in arrow.values())
    there = variants.known(cells)
    if not there:
        raise StoreError(f"{name}: no protected model yet; `mapbench status {name}` says what is there")
    wanted = [chosen is None or chosen(row) for row in arrow["cells"].to_pylist()]
    cells = cells[np.array(wanted, dtype=bool) & cells["current"].to_numpy(dtype=bool)]
    if not (cells["kind"] == "protect").any():
        raise StoreError(f"{name}: no protected model is of what -b, -m, -p and -s ask for")
    keys = set(cells["key"])
    pairs, attacks = (table[table["key"].isin(keys)] for table in (pairs, attacks))
    return Run(name, out, cells, pairs, attacks, Store(out).plan() or {}, there)


def of_variants(run: Run, a: str, b: str) -> Report:
    """Two variants of one run, in every setting that both were run in.

    Raises StoreError, one line, for a name that stands for none or for several, for two that may not be compared, and
    where they have nothing in common.
    """
    mine, theirs = (variants.find(run.variants, name, run.name) for name in (a, b))
    both = [(mine[setting], theirs[setting]) for setting in mine if setting in theirs]
    if why := next((why for pair in both if (why := variants.obstacle(*pair))), ""):
        raise StoreError(why)
    found = _made(_versus(x, y, run, run, variants.scenario(x, y)) for x, y in both)
    if not found:
        raise StoreError(f"{a} and {b} have no setting, pair and seed in common among what was asked of {run.name}")
    return Report(a, b, False, found, _only(mine, theirs), _only(theirs, mine))


def of_runs(a: Run, b: Run) -> Report:
    """Every variant that both runs have in the same setting. Raises StoreError where there is none."""
    mine, theirs = ({one.row: one for one in variants.known(run.cells)} for run in (a, b))
    found = _made(_versus(one, theirs[row], a, b, one.scenario, one.name) for row, one in mine.items() if row in theirs)
    if not found:
        has = [f"{run.name} has {', '.join(_only(side, {}))}" for run, side in ((a, mine), (b, theirs))]
        raise StoreError(f"{a.name} and {b.name} have no variant, pair and seed in common: {'; '.join(has)}")
    adjusted = holm([one.primary.difference.p for one in found])
    found = [_corrected(one, p) for one, p in zip(found, adjusted, strict=True)]
    return Report(a.name, b.name, True, found, _only(mine, theirs), _only(theirs, mine))


def _made(found: Iterable[Versus | None]) -> list[Versus]:
    return sorted((one for one in found if one), key=lambda one: one.setting)


def _only(mine: Mapping[Any, Variant], theirs: Mapping[Any, Variant]) -> list[str]:
    """What one side alone has: `cuti (digits-mini, convnet)`."""
    alone = (one for place, one in mine.items() if place not in theirs)
    said = (f"{one.name} ({one.suite}, {one.backbone}{', val' * (one.score == 'val')})" for one in alone)
    return list(dict.fromkeys(said))


def _corrected(one: Versus, p: float) -> Versus:
    return replace(one, lines=[replace(line, p_holm=p) if line is one.primary else line for line in one.lines])


def _versus(a: Variant, b: Variant, one: Run, other: Run, scenario: str, variant: str = "") -> Versus | None:
    """None where there is no (source, target, seed) that both have."""
    rows, rows_b = one.blocked.get(a.row), other.blocked.get(b.row)
    if rows is None or rows_b is None:
        return None
    mine, theirs = quantities.once(rows), quantities.once(rows_b)
    left, right = quantities.common(mine, theirs)
    if not len(left):
        return None
    counted, said = _counted(a.setting, {(source, target) for source, target, _ in left.index}, one, other)
    found = quantities.lines(left, right, counted)
    attacks, attacks_b = one.attacked.get(a.row, {}), other.attacked.get(b.row, {})
    for attack, n in sorted(attacks.keys() & attacks_b.keys()):
        name = attack if attack.endswith((f"[n={n}]", f",n={n}]")) else f"{attack} (n={n})"
        pair = quantities.once(attacks[attack, n]), quantities.once(attacks_b[attack, n])
        found += quantities.attacked(*pair, counted, name)
    names = (one.name, other.name) if variant else (a.name, b.name)
    used, used_b = (side.merge(left.index.to_frame(index=False), on=quantities.KEY) for side in (rows, rows_b))
    where: dict[str, Any] = dict(zip(SETTING, a.setting, strict=True))
    return Versus(
        **where, scenario=scenario, a=names[0], b=names[1], variant=variant, lines=found,
        answers=answers(used, used_b, (one.cells, one.out), (other.cells, other.out), a.score),
        lacks_a=_lacking(theirs, mine), lacks_b=_lacking(mine, theirs),
        warnings=[*said, *unlike((used, one.cells), (used_b, other.cells), names)],
    )  # fmt: skip


def _lacking(has: pd.DataFrame, lacks: pd.DataFrame) -> list[str]:
    return [f"{source}:{target} seed {seed}" for source, target, seed in sorted(set(has.index) - set(lacks.index))]


def _counted(setting: tuple[Any, ...], asked: Pairs, one: Run, other: Run) -> tuple[Pairs, list[str]]:
    """The eligible pairs, and what is to be said of them."""
    by_run = []
    for run in (one, other):
        suite = (run.plan.get("suites") or {}).get(setting[0], {})
        by_run.append(eligible(asked, suite, run.eligible.get(setting, set()))[0])
    differ = ", ".join(sorted(":".join(pair) for pair in by_run[0] ^ by_run[1]))
    return by_run[0] & by_run[1], [f"eligible in one run alone, so in no figure of targets: {differ}"] if differ else []
