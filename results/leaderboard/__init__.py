"""The leaderboard: one frame, shown as a terminal table, one offline HTML page, JSON, CSV, Markdown and LaTeX.

    mapbench leaderboard runs/digits-mini --html board.html     (or nothing, --json, --csv, --markdown, --latex)

Every form reads the same `Board`, whose numbers are columns of `results.stats.board`: the forms cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.stats import SETTING, SOURCE_BUDGET

if TYPE_CHECKING:
    import pandas as pd

MAP_SENTENCE = "MAP: a re-implementation from the public description"

ATTACKERS = {  # each completes "an attacker who ..."
    "argmax": "takes the model's answers as they are",
    "matched": "relabels the answers by the best one-to-one map, fitted on n = 200 labelled target images",
    "decoded": "decodes the logits by a logistic map, fitted on n = 200 labelled target images",
}


@dataclass(frozen=True)
class Column:
    """One column of every table: its field in the frame, its head (lines split by newline) and what it means."""

    name: str
    head: str
    help: str


COLUMNS = (
    Column(
        "rank",
        "rank",
        f"by target_removed, methods whose whole source_drop interval is under {SOURCE_BUDGET:.0%} first; "
        "controls and incomplete rows are not ranked",
    ),
    Column(
        "variant",
        "variant",
        "the method and its settings other than the default; (init) where it does not start from f_s",
    ),
    Column(
        "source_drop",
        "source\ndrop",
        "(A_s - B_s) / A_s, top-1 on the source, A before and B after protection; 0 is best",
    ),
    Column(
        "target_removed_argmax",
        "removed\nargmax",
        "share of the target accuracy above chance that is gone: (A_t - max(B_t, 1/K)) "
        "/ (A_t - 1/K), class-balanced, mean over eligible pairs; 1 is best",
    ),
    Column(
        "target_removed_matched",
        "removed\nmatched",
        "the same with B_t as an attacker gets it who relabels; A_t stays f_s's argmax",
    ),
    Column(
        "target_removed_decoded",
        "removed\ndecoded",
        "the same with B_t as an attacker gets it who decodes the logits; A_t stays f_s's argmax",
    ),
    Column("target_after_argmax", "target\nafter", "class-balanced accuracy left on the target; chance is best"),
    Column("target_after_matched", "target\nmatched", "accuracy left to an attacker who relabels"),
    Column("target_after_decoded", "target\ndecoded", "accuracy left to an attacker who decodes the logits"),
    Column("st_d", "ST-D", "source_drop / target_drop, ratio of means, as papers print it; nothing is ranked by it"),
    Column("n", "n", "seeds / train cells (source x seed); the train cell is the unit of the intervals"),
    Column("pairs", "pairs", "pairs with all their seeds / pairs asked for; a row that lacks some is not ranked"),
    Column("failed", "failed", "cells that ended without a model"),
    Column("flags", "flags", "what a run said about itself"),
)
INTERVALS = "half a 95 % t-interval over train cells with the pairs held fixed; one train cell has none."


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

    @property
    def label(self) -> str:
        """`cuti convnet uci:print seed 0`."""
        pair = self.source + (self.targets and f":{self.targets}")
        return f"{self.variant or 'f_s'} {self.backbone} {pair} seed {self.seed}"


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

    @property
    def title(self) -> str:
        """`digits-mini · convnet · labelled source, ...`, and whatever else is not as usual."""
        parts = [self.suite, self.backbone, self.scenario, *filter(None, [self.settings])]
        if self.split_seed:
            parts.append(f"split_seed {self.split_seed}")
        if self.score != "test":
            parts.append(f"scored on {self.score}")
        return " · ".join(parts)


@dataclass(frozen=True)
class Board:
    """All that a leaderboard shows: stats.board's frame and the tables it comes from, current rows of one score."""

    frame: pd.DataFrame
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
        return str(self.plan.get("command") or f"mapbench run {self.plan.get('grid', 'SUITE')}")

    def groups(self) -> Iterator[Group]:
        """One group per suite, split_seed, score, backbone, scenario and kind of settings (tuned or not) with a method.

        Controls ask for other data than the methods they are read against, so each of them stands in every group of its
        suite and backbone. Only where no method is present are they grouped by their own scenario.
        """
        for _, rows in self.frame.groupby(SETTING, sort=False):
            suite = self.plan.get("suites", {}).get(rows["suite"].iloc[0], {})
            control, untrained = rows["control"].astype(bool), rows["method"] == "untrained"
            heads = next(part for part in (rows[~control], rows[~untrained], rows) if len(part))
            kinds = heads[["scenario", "tuned"]].drop_duplicates()
            for scenario, tuned in kinds.itertuples(index=False):
                own = rows["scenario"].eq(scenario) & rows["tuned"].eq(tuned)
                shown = own if control.all() else control | (own & ~control)
                two_kinds = kinds["scenario"].eq(scenario).sum() > 1
                yield Group(
                    **{name: rows[name].iloc[0] for name in SETTING},
                    scenario=scenario,
                    settings=("tuned" if tuned else "not tuned") if two_kinds else "",
                    frame=ordered(rows[shown & ~untrained]),
                    untrained=rows[untrained].head(1),
                    classes=suite.get("classes", 0),
                    domains=suite.get("domains", []),
                )


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


def number(value: Any) -> str:
    """A fraction with three decimals; an undefined one is an en dash, never a 0."""
    return f"{float(value):.3f}".replace("-0.000", "0.000") if is_defined(value) else "–"


def is_defined(value: Any) -> bool:
    """False for None, NaN and pandas' NA."""
    import pandas as pd

    return not pd.isna(value)


def with_interval(row: Any, name: str) -> str:
    """`0.012±0.004`; the value alone where there is no interval."""
    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return number(row[name]) + (f"±{number(half)}" if is_defined(half) else "")


def name_of(row: Any) -> str:
    """The variant as printed: with `(init)` where it started from the initial weights."""
    return str(row["variant"]) + ("" if row["start"] in ("source", None) else f" ({row['start']})")


def display(row: Any) -> dict[str, str]:
    """One frame row as text, by column name; terminal, Markdown and LaTeX all print this."""
    rank = row["rank_argmax"]
    numbers = (
        "target_removed_matched",
        "target_removed_decoded",
        "target_after_argmax",
        "target_after_matched",
        "target_after_decoded",
        "st_d",
    )
    return {name: number(row[name]) for name in numbers} | {
        "rank": "control" if row["control"] else str(int(rank)) if is_defined(rank) else "–",
        "variant": name_of(row),
        "source_drop": with_interval(row, "source_drop"),
        "target_removed_argmax": with_interval(row, "target_removed_argmax"),
        "n": f"{int(row['seeds'])}/{int(row['units'])}",
        "pairs": f"{int(row['pairs_done'])}/{int(row['pairs_expected'])}",
        "failed": str(int(row["failed"])),
        "flags": str(row["flags"]),
    }


def references(group: Group) -> list[dict[str, str]]:
    """The rows every target column is read by: f_s before protection and, where it ran, the untrained network.

    f_s is the same network for all rows; its probes are taken from the row that covers the most pairs.
    """
    blank = dict.fromkeys((column.name for column in COLUMNS), "")
    rows = []
    if len(group.frame):
        widest = group.frame.sort_values("pairs_done", ascending=False, kind="stable").iloc[0]
        before = {f"target_after_{a}": number(widest[f"target_before_{a}"]) for a in ATTACKERS}
        rows.append(blank | before | {"rank": "ref", "variant": "f_s, unprotected"})
    for _, row in group.untrained.iterrows():
        rows.append(display(row) | {"rank": "ref", "variant": "untrained network", "source_drop": "", "st_d": ""})
    return rows


def legend() -> list[tuple[str, str]]:
    """What the columns mean, (head, meaning), short: what an attacker's columns share is said once."""
    means = {column.name: column.help for column in COLUMNS}
    names = {
        "rank": "rank",
        "source drop": "source_drop",
        "removed": "target_removed_argmax",
        "target": "target_after_argmax",
    }
    rest = {"ST-D": "st_d", "n": "n", "pairs": "pairs"}
    return [
        *((head, means[name]) for head, name in names.items()),
        *ATTACKERS.items(),
        *((head, means[name]) for head, name in rest.items()),
        ("±", INTERVALS),
    ]


def load(out: Path, score: str = "test") -> Board:
    """Read a run directory's tables and make its board from the cells scored on `score` ("test" or "val").

    Raises StoreError where there is no run, or no protected cell was asked for on that part.
    """
    from results import tables
    from results.store import Store

    out = Path(out)
    cells, pairs = (tables.read(out, name).to_pandas() for name in ("cells", "pairs"))
    return assemble(cells, pairs, Store(out).plan() or {}, score, str(out))


def assemble(cells: pd.DataFrame, pairs: pd.DataFrame, plan: dict[str, Any], score: str, name: str) -> Board:
    """The board of two tables and a plan; `name` stands for the directory in messages. Raises as `load` does."""
    from results import StoreError, stats

    cells = cells[cells["current"].astype(bool) & (cells["score"] == score)]
    pairs = pairs[pairs["current"].astype(bool) & (pairs["score"] == score)]
    asked = [cell for cell in plan.get("cells", []) if cell["score"] == score]
    if not (cells["kind"] == "protect").any() and not any(cell["kind"] == "protect" for cell in asked):
        raise StoreError(f"{name}: no protected model scored on {score}; `mapbench status {name}` says what is there")
    plan = plan | {"cells": asked}
    known, ok = set(cells["key"]), cells[cells["status"] == "ok"]
    # the word is earned by attacks: without them a board says how a model behaves when nobody tries anything
    what = "protection" if (ok["kind"] == "attack").any() else "clean behaviour"
    commits = {
        f"{commit[:10]}{' (modified)' if is_defined(dirty) and dirty else ''}"
        for commit, dirty in zip(ok["git_commit"], ok["git_dirty"], strict=True)
        if is_defined(commit)
    }
    machines = {
        f"{device} on {host}, torch {torch}"
        for device, host, torch in zip(ok["device"], ok["host"], ok["torch"], strict=True)
    }
    return Board(
        frame=stats.board(pairs, cells, plan),
        pairs=pairs,
        cells=cells,
        plan=plan,
        title=f"mapbench {plan.get('grid', name)}: {what}",
        generated=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=", ".join(sorted(commits)) or "unknown",
        machine="; ".join(sorted(machines)),
        missing=[_gap(cell, "missing") for cell in asked if cell["key"] not in known],
        failed=[
            _gap({str(k): v for k, v in row.items()}, row["status"])
            for row in cells[cells["status"] != "ok"].to_dict("records")
        ],
    )


def _gap(cell: dict[str, Any], status: str) -> Gap:
    error = cell.get("error")
    targets = cell["targets"] if cell["targets"] is not None else []
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
    )
