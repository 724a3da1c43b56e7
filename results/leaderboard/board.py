"""What every form of the leaderboard shows: the `Board` of a run directory, its groups, their order and its gaps.

    python -c "from results import leaderboard; print(leaderboard.load('runs/digits-mini').frame)"

The columns and their texts are the package's; here is what the rows are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.leaderboard import apart, notes
from results.plain import plain
from results.ranks import SOURCE_BUDGET
from results.stats import ATTACKERS, ROW, SETTING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Gap:
    """A cell that should stand on the board and does not: failed (with its error) or missing."""

    suite: str
    split_seed: int
    backbone: str
    variant: str  # "" for a source model
    start: str
    source: str
    targets: str  # "a+b", or "" where the method is told of none and so blocks all
    seed: int
    status: str  # "missing", or how the last attempt ended
    error: str
    attack: str = ""  # of what was to be attacked

    @property
    def label(self) -> str:
        """`cuti convnet uci:print seed 0`."""
        pair = self.source + (self.targets and f":{self.targets}")
        return plain(f"{self.what} {self.backbone} {pair} seed {self.seed}")

    @property
    def what(self) -> str:
        """The model, or the attack on it."""
        model = self.variant or "f_s"
        # one that looks at no model has its target as its source, and no other
        return plain((f"{self.attack} on {model}" if self.targets else self.attack) if self.attack else model)


@dataclass(frozen=True)
class Group:
    """One table: variants that may be compared, best first, and the rows to read them by."""

    suite: str
    split_seed: int
    score: str
    backbone: str
    scenario: str
    settings: str  # "tuned" | "not tuned", never compared with each other; "" where there is one kind only
    frame: pd.DataFrame  # methods and controls, best first for the argmax attacker
    untrained: pd.DataFrame  # the initial weights as a "protected" model: what a probe finds in any network; 0 or 1 row
    classes: int
    domains: list[str]
    attacks: pd.DataFrame  # results.attacks.board's rows of these variants and of the untrained net, in the same order
    mixed: list[str]  # what the cells behind it do not share: "torch 2.14.0, 2.15.0", "device NVIDIA H100, cpu"
    incomplete: list[str]  # what each row that lacks pairs lacks: "cuti 11/12 pairs, without uci:print (1 failed)"

    @property
    def title(self) -> str:
        """`digits-mini · convnet · labelled source, ...`, and whatever else is not as usual."""
        parts = [self.suite, self.backbone, self.scenario, *filter(None, [self.settings])]
        if self.split_seed:
            parts.append(f"split_seed {self.split_seed}")
        if self.score != "test":
            parts.append(f"scored on {self.score}")
        return plain(" · ".join(parts))


@dataclass(frozen=True)
class Board:
    """All that a leaderboard shows: stats.board's frame and the tables it comes from, current rows of one score."""

    frame: pd.DataFrame
    attacks: pd.DataFrame  # results.attacks.board's frame
    attack_rows: pd.DataFrame  # the attacks table, a row per attacked cell
    pairs: pd.DataFrame
    cells: pd.DataFrame
    plan: dict[str, Any]
    title: str
    generated: str  # ISO 8601, UTC
    commit: str
    machine: str
    missing: list[Gap]
    failed: list[Gap]

    @property
    def command(self) -> str:
        """What to type to get these results again."""
        return plain(str(self.plan.get("command") or f"mapbench run {self.plan.get('grid', 'SUITE')}"))

    def groups(self) -> Iterator[Group]:
        """One group per suite, split_seed, score, backbone, scenario and kind of settings (tuned or not) with a method.

        A control is read against the methods of every scenario that allows what it touches (`fits`); one that fits none
        of them has a group of its own scenario. `untrained` touches nothing and stands below every table.
        """
        made, gaps = notes.made(self.cells), notes.gaps_of([*self.failed, *self.missing])
        for _, rows in self.frame.groupby(SETTING, sort=False):
            suite = self.plan.get("suites", {}).get(rows["suite"].iloc[0], {})
            control, untrained = rows["control"].astype(bool), rows["method"] == "untrained"
            homes = set(rows.loc[~control, "scenario"])
            placed = (
                rows["scenario"].map(lambda own, homes=homes: any(allowed(own, home) for home in homes)).astype(bool)
            )
            heads = next(part for part in (rows[~control | ~(placed | untrained)], rows) if len(part))
            kinds = heads[["scenario", "tuned"]].drop_duplicates()
            for scenario, tuned in kinds.itertuples(index=False):
                own = rows["scenario"].eq(scenario) & rows["tuned"].eq(tuned)
                shown = (own & ~control) | (control & fits(rows, scenario)) if scenario in homes else own
                two_kinds = kinds["scenario"].eq(scenario).sum() > 1
                frame, none = ordered(rows[shown & ~untrained]), rows[untrained].head(1)
                yield Group(
                    **{name: rows[name].iloc[0] for name in SETTING},
                    scenario=scenario,
                    settings=("tuned" if tuned else "not tuned") if two_kinds else "",
                    frame=frame,
                    untrained=none,
                    classes=suite.get("classes", 0),
                    domains=suite.get("domains", []),
                    attacks=self._attacks_on(frame, none),
                    mixed=notes.mixed(rows_of(frame, none), made),
                    incomplete=notes.incomplete(frame, gaps, suite.get("domains", [])),
                )

    @cached_property
    def _settings(self) -> dict[tuple[Any, ...], apart.Setting]:
        return apart.by_setting(self)

    def compared(self, group: Group, attackers: Collection[str] = tuple(ATTACKERS)) -> pd.DataFrame:
        """Every two variants of a table on the same train cells, see results.paired.compared."""
        from results import paired

        place = (group.suite, group.split_seed, group.score, group.backbone)
        pairs, cells, counted = self._settings.get(place) or (self.pairs.iloc[:0], self.cells.iloc[:0], set())
        return paired.compared(group.frame, pairs, cells, counted, attackers)

    def _attacks_on(self, *frames: pd.DataFrame) -> pd.DataFrame:
        """The attacks on these rows, in their order."""
        if self.attacks.empty:
            return self.attacks
        places = {row: i for i, row in enumerate(rows_of(*frames))}
        order = [places.get(row, -1) for row in rows_of(self.attacks)]
        mine = self.attacks.assign(_place=order)
        return mine[mine["_place"] >= 0].sort_values(["_place", "attack", "n"], kind="stable").drop(columns="_place")


def attack_name(attack: str, n: int) -> str:
    """An attack as printed where its images have no column of their own: `probe (n=200)`, `probe[n=20]`."""
    return attack if attack.endswith((f"[n={n}]", f",n={n}]")) else f"{attack} (n={n})"


def rows_of(*frames: pd.DataFrame) -> list[tuple[Any, ...]]:
    """What their rows are: the values of ROW."""
    return [row for frame in frames for row in frame[ROW].itertuples(index=False, name=None)]


def allowed(touched: str, scenario: str) -> bool:
    """Whether all data of one scenario (methods.base.Needs.scenario) may be touched in another."""
    worth = ("no", "unlabelled", "labelled")
    had, may = ([worth.index(part.split()[0]) for part in text.split(", ")] for text in (touched, scenario))
    return all(a <= b for a, b in zip(had, may, strict=True))


def fits(rows: pd.DataFrame, scenario: str) -> pd.Series:
    """Which rows may stand in a scenario's table: what they touch is allowed there, and no other form of the same
    control (`uniform`, `uniform-source-free`, ...) touches more that is."""
    import pandas as pd

    forms = [
        (re.sub("-(source-only|source-free|data-free)$", "", method), touched)
        for method, touched in zip(rows["method"], rows["scenario"], strict=True)
    ]
    able = {form for form in forms if allowed(form[1], scenario)}
    best = able - {
        (n, less) for n, less in able for other, more in able if n == other and less != more and allowed(less, more)
    }
    return pd.Series([form in best for form in forms], index=rows.index, dtype=bool)


def ordered(frame: pd.DataFrame, attacker: str = "argmax") -> pd.DataFrame:
    """Rows best first, by the rule that ranks them: complete, within the source budget, then by target_removed.

    Controls carry no rank and are placed by the same rule, as are rows with missing pairs, after the complete ones.
    """
    incomplete = frame["pairs_done"] < frame["pairs_expected"]
    order = frame.assign(_tier=(~within_budget(frame)).astype(int) + 2 * incomplete.astype(int)).sort_values(
        ["_tier", f"target_removed_{attacker}", f"target_after_{attacker}", "variant"],
        ascending=[True, False, True, True],
        na_position="last",
        kind="stable",
    )
    return order.drop(columns="_tier")


def within_budget(frame: pd.DataFrame) -> pd.Series:
    """Whether a row's source_drop interval, or its estimate where no interval can be had, stays under 2 %."""
    drop = frame["source_drop_high"].where(frame["rank_basis"] == "interval", frame["source_drop"])
    return drop < SOURCE_BUDGET  # an undefined drop is not a small one


def is_defined(value: Any) -> bool:
    """False for None, NaN and pandas' NA."""
    import pandas as pd

    return not pd.isna(value)


def load(out: str | Path, score: str = "test") -> Board:
    """Read a run directory's tables and make its board from the cells scored on `score` ("test" or "val").

    Raises StoreError where there is no run, or no protected cell was asked for on that part.
    """
    from results import tables

    found, plan = tables.several(out, "cells", "pairs", "attacks")
    cells, pairs, attacks = (table.to_pandas() for table in found)
    return assemble(cells, pairs, attacks, plan or {}, score, str(out))


def assemble(
    cells: pd.DataFrame, pairs: pd.DataFrame, attacks: pd.DataFrame, plan: dict[str, Any], score: str, name: str
) -> Board:
    """The board of three tables and a plan; `name` stands for the directory in messages. Raises as `load` does."""
    from results import StoreError, stats
    from results.attacks import board as attacked

    cells, pairs, attacks = (_scored_on(score, table) for table in (cells, pairs, attacks))
    asked = [cell for cell in plan.get("cells", []) if cell["score"] == score]
    if not (cells["kind"] == "protect").any() and not any(cell["kind"] == "protect" for cell in asked):
        raise StoreError(f"{name}: no protected model scored on {score}; `mapbench status {name}` says what is there")
    plan = plan | {"cells": asked}
    known = set(cells["key"])
    by = ["git_commit", "git_dirty", "device", "host", "torch"]
    ok = cells.loc[cells["status"] == "ok", by].drop_duplicates()
    found = attacked(attacks, cells, pairs, plan)
    # the word is earned by attacks, and says which: without them a board tells how a model behaves when nobody tries
    named = found.loc[found["seeds"] > 0, ["attack", "n"]].drop_duplicates().to_numpy()
    tried = [attack_name(attack, n) for attack, n in named]
    what = f"protection against {', '.join(tried)}" if tried else "clean behaviour"
    commits = {
        f"{commit[:10]}{' (modified)' if is_defined(dirty) and dirty else ''}"
        for commit, dirty in zip(ok["git_commit"], ok["git_dirty"], strict=True)
        if is_defined(commit)
    }
    # what was published names no host, and what was imported no device either
    machines = {
        f"{device}{f' on {host}' if is_defined(host) else ''}, torch {torch}"
        for device, host, torch in zip(ok["device"], ok["host"], ok["torch"], strict=True)
        if is_defined(device)
    }
    return Board(
        frame=stats.board(pairs, cells, plan),
        attacks=found,
        attack_rows=attacks,
        pairs=pairs,
        cells=cells,
        plan=plan,
        title=plain(f"mapbench {plan.get('grid', name)}: {what}"),
        generated=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=plain(", ".join(sorted(commits)) or "unknown"),
        machine=plain("; ".join(sorted(machines))),
        missing=[_gap(cell, "missing") for cell in asked if cell["key"] not in known],
        failed=[
            _gap({str(k): v for k, v in row.items()}, row["status"])
            for row in cells[cells["status"] != "ok"].to_dict("records")
        ],
    )


def _scored_on(score: str, table: pd.DataFrame) -> pd.DataFrame:
    """Its current rows of one score; as a rule that is all of it, and nothing to copy."""
    wanted = table["current"].astype(bool) & (table["score"] == score)
    return table if wanted.all() else table[wanted]


def _gap(cell: dict[str, Any], status: str) -> Gap:
    error, attack = cell.get("error"), cell.get("attack")
    targets = cell["targets"] if cell["targets"] is not None else []
    if is_defined(attack):
        targets = [cell["target"]] if is_defined(cell["parent"]) else []
    return Gap(
        cell["suite"],
        int(cell.get("split_seed") or 0),
        cell["backbone"],
        cell["variant"] or "",
        cell["start"] or "",
        cell["source"],
        "+".join(targets),
        int(cell["seed"]),
        status,
        str(error) if is_defined(error) else "",
        str(attack) if is_defined(attack) else "",
    )
