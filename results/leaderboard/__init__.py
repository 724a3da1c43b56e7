"""The leaderboard: one frame, shown as a terminal table, one offline HTML page, JSON, CSV, Markdown and LaTeX.

    mapbench leaderboard runs/digits-mini --html board.html     (or nothing, --json, --csv, --markdown, --latex)

Every form reads the same `Board`, whose numbers are columns of `results.stats.board`: the forms cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from results.leaderboard.board import Board, Gap, Group, assemble, is_defined, load, ordered, within_budget
from results.plain import plain
from results.ranks import SOURCE_BUDGET

__all__ = [
    "ATTACKERS", "ATTACK_COLUMNS", "COLUMNS", "INTERVALS", "MAP_SENTENCE", "Board", "Column", "Gap", "Group", "Sheet",
    "assemble", "display", "is_defined", "legend", "load", "name_of", "number", "ordered", "references", "said_of",
    "sheets", "with_interval", "within_budget",
]  # fmt: skip

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
ATTACK_COLUMNS = (
    Column("variant", "variant", "the model that is attacked"),
    Column("attack", "attack", "what is done to it; `mapbench list methods` says how"),
    Column("images", "images", "n: images of the target that the attacker has, none of them trained on or scored"),
    Column(
        "target_removed",
        "removed",
        "target_removed against this attacker: the share of what f_s knew of the target, above chance, that he does "
        "not get; 1 is best, below 0 he has more than f_s gave away",
    ),
    Column("target_after", "target\nbefore", "class-balanced target accuracy of the protected model as it is"),
    Column("target_attacked", "target\nattacked", "the same after the attack"),
    Column("target_attacked_before", "f_s\nattacked", "the same attack on f_s, which nobody protected"),
    Column("target_scratch", "from\nscratch", "a net trained on the same images alone, by who holds no model"),
    Column("target_gain", "gain", "attacked - from scratch: what holding the model is worth; 0 or less is protection"),
    Column("source_attacked", "source\nattacked", "class-balanced source accuracy after the attack"),
    Column("n", "n", "seeds / train cells (source x seed); the train cell is the unit of the intervals"),
    Column("pairs", "pairs", "eligible pairs with all their seeds / eligible pairs asked for"),
    Column("failed", "failed", "attacks that ended without a model"),
)
INTERVALS = "half a 95 % t-interval over train cells with the pairs held fixed; one train cell has none."
INCOMPLETE_NAMED = 6  # rows of a table; beyond these the list of cells without a number says it


def number(value: Any) -> str:
    """A fraction with three decimals; an undefined one is an en dash, never a 0."""
    return f"{float(value):.3f}".replace("-0.000", "0.000") if is_defined(value) else "–"


def with_interval(row: Any, name: str) -> str:
    """`0.012±0.004`; the value alone where there is no interval."""
    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return number(row[name]) + (f"±{number(half)}" if is_defined(half) else "")


def name_of(row: Any) -> str:
    """The variant as printed: with `(init)` where it started from the initial weights; nothing in it acts."""
    return plain(str(row["variant"]) + ("" if row["start"] in ("source", None) else f" ({row['start']})"))


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
        "flags": plain(str(row["flags"])),
    }


def references(group: Group) -> list[dict[str, str]]:
    """The rows every target column is read by: f_s before protection and, where it ran, the untrained network.

    f_s is the same network for all rows; its probes are taken from the row that covers the most pairs.
    """
    blank = dict.fromkeys((column.name for column in COLUMNS), "")
    rows = []
    if len(group.frame):
        known = group.frame["target_before_argmax"].notna()  # of a closed method it may not be
        order = group.frame.assign(_known=known).sort_values(["_known", "pairs_done"], ascending=False, kind="stable")
        widest = order.iloc[0]
        before = {f"target_after_{a}": number(widest[f"target_before_{a}"]) for a in ATTACKERS}
        rows.append(blank | before | {"rank": "ref", "variant": "f_s, unprotected"})
    for _, row in group.untrained.iterrows():
        rows.append(display(row) | {"rank": "ref", "variant": "untrained network", "source_drop": "", "st_d": ""})
    return rows


@dataclass(frozen=True)
class Sheet:
    """A table of text, as the terminal, Markdown and LaTeX print it: `rows`, `below` those to read them by, and `notes`
    that have to be made."""

    title: str
    columns: tuple[Column, ...]
    rows: list[dict[str, str]]
    below: list[dict[str, str]]
    notes: list[str]


def sheets(group: Group) -> list[Sheet]:
    """The tables of a group: its variants, and what attacks find, where there are any."""
    rows = [display(row) for row in group.frame.to_dict("records")]
    first = Sheet(group.title, COLUMNS, rows, references(group), said_of(group))
    attacked = [_attacked(row) for row in group.attacks.to_dict("records")]
    return [first, Sheet(f"{group.title} · attacked", ATTACK_COLUMNS, attacked, [], [])] if attacked else [first]


def said_of(group: Group) -> list[str]:
    """The lines below a group's table: what its cells do not share, and what incomplete rows lack."""
    lines = [f"mixed: {'; '.join(group.mixed)}; small differences may be due to that"] if group.mixed else []
    if group.incomplete:
        more = len(group.incomplete) - INCOMPLETE_NAMED
        named = [*group.incomplete[:INCOMPLETE_NAMED], *([f"and {more} more rows"] if more > 0 else [])]
        lines.append(f"incomplete, so not ranked: {'; '.join(named)}")
    return lines


def _attacked(row: Any) -> dict[str, str]:
    """One row of results.attacks.board as text, by column name."""
    fractions = ("target_after", "target_attacked", "target_attacked_before", "target_scratch", "source_attacked")
    return {name: number(row[name]) for name in fractions} | {
        "variant": name_of(row),
        "attack": plain(str(row["attack"])),
        "images": str(row["n"]),
        "target_removed": with_interval(row, "target_removed"),
        "target_gain": with_interval(row, "target_gain"),
        "n": f"{int(row['seeds'])}/{int(row['units'])}",
        "pairs": f"{int(row['pairs_done'])}/{int(row['pairs_expected'])}",
        "failed": str(int(row["failed"])),
    }


def legend(attacked: bool = False) -> list[tuple[str, str]]:
    """What the columns mean, (head, meaning), short: what an attacker's columns share is said once."""
    means = {column.name: column.help for column in COLUMNS}
    names = {
        "rank": "rank",
        "source drop": "source_drop",
        "removed": "target_removed_argmax",
        "target": "target_after_argmax",
    }
    rest = {"ST-D": "st_d", "n": "n", "pairs": "pairs"}
    attacks = [c for c in ATTACK_COLUMNS if c.name.startswith(("image", "target", "source"))] if attacked else []
    return [
        *((head, means[name]) for head, name in names.items()),
        *ATTACKERS.items(),
        *((head, means[name]) for head, name in rest.items()),
        *((f"attacked: {c.head}".replace("\n", " "), c.help) for c in attacks),
        ("±", INTERVALS),
    ]
