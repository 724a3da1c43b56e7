"""What a table of the board says, in sentences a person can quote: which method protects best at no source cost, how
sure that is, and what an attacker or a trivial control has to say to it.

    mapbench leaderboard runs/digits-mini

Made here once, so that the terminal, the page and Markdown say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.leaderboard import ATTACKERS, is_defined, name_of, number, with_interval, within_budget
from results.leaderboard.board import Board, Group, ordered
from results.paired import LEVEL
from results.ranks import SOURCE_BUDGET

if TYPE_CHECKING:
    import pandas as pd

NAMED = 3  # of rows that share the first rank; more are counted
SEEDS = 5  # below this many, ranks are not called apart (design 5)
COMPARED = 200  # rows of a board; to compare 570 took longer than to print them (tests/bench/boards.py)
COST = f"{SOURCE_BUDGET:.2f}"


def reading(group: Group, compared: pd.DataFrame, attacker: str = "argmax") -> str:
    """The sentences on one table for one attacker. `compared`: of the group, see results.paired.compared."""
    rows = ordered(group.frame, attacker)
    ranked = rows[rows[f"rank_{attacker}"].notna()]
    if not len(ranked):
        return "No method is ranked: pairs are missing, or no pair is eligible."
    best = ranked[ranked[f"rank_{attacker}"] == 1]
    first = best.iloc[0]
    said = [_first(best, attacker), *_sure(ranked, compared, attacker), *_cost(rows, first, attacker)]
    said += _control(rows, first, compared, attacker)
    if attacker == "argmax":
        said += _strongest(first, group.attacks)
    return " ".join(said)


def told(board: Board, group: Group) -> str:
    """The sentences on a table against who takes the answers as they are, for the text forms; "" for a table without a
    method, and on a board so large that nobody reads it as text: the page has them."""
    methods = ~group.frame["control"].astype(bool)
    return reading(group, board.compared(group, ["argmax"])) if methods.any() and len(board.frame) <= COMPARED else ""


def _first(best: pd.DataFrame, attacker: str) -> str:
    """Who ranks first, what that removes and costs, and on how much it stands."""
    first, removed = best.iloc[0], f"target_removed_{attacker}"
    cheap = bool(within_budget(best).iloc[0])
    names, one = _listed([name_of(row) for _, row in best.iterrows()]), len(best) == 1
    who = f"Against an attacker who {ATTACKERS[attacker]}, {names} {'ranks' if one else 'share the'} first"
    who += "" if one else " rank"
    who += f" among methods that keep their source drop under {COST}" if cheap else ""
    who += ": " if one else f"; the first of them, {name_of(first)}, "
    who += f"{'it ' if one else ''}removes {with_interval(first, removed)} of the target accuracy above chance "
    who += f"at a source drop of {with_interval(first, 'source_drop')} ({_n(first)})."
    return who if cheap else f"No method keeps its source drop under {COST}. {who}"


def _sure(ranked: pd.DataFrame, compared: pd.DataFrame, attacker: str) -> list[str]:
    """How sure the first place is: the paired difference to the next method, and what there is too little of."""
    said, first = [], ranked.iloc[0]
    if first["rank_basis"] == "point":
        said.append("One train cell per source: there is no interval, and nothing can be told apart.")
    elif len(ranked) > 1:
        said.append(_beside(first, ranked.iloc[1], compared, attacker))
    if first["rank_basis"] != "point" and first["seeds"] < SEEDS:
        said.append(f"{int(first['seeds'])} seeds are fewer than {SEEDS}: ranks are not settled.")
    return said


def _beside(first: Any, second: Any, compared: pd.DataFrame, attacker: str) -> str:
    """The second on the same train cells."""
    found = _difference(first, second, compared, attacker)
    if found is None:
        return f"{name_of(second)} comes next; there are no train cells to compare the two on."
    difference, half, row = found
    sure = f"df {int(row['df'])}, Holm's p {p_text(row['p_holm'])})."
    if row["p_holm"] < LEVEL:
        verdict = f"removes {number(abs(difference))}±{half} {'less' if difference > 0 else 'more'} ({sure}"
    else:
        verdict = f"cannot be told apart from it (a difference of {number(difference)}±{half}, {sure}"
    return f"{name_of(second)} comes next and, on the same train cells, {verdict}"


def _difference(first: Any, second: Any, compared: pd.DataFrame, attacker: str) -> tuple[float, str, Any] | None:
    """What the first has more than the second, half its interval, and the row that says so; None without a test."""
    found = compared[(compared["attacker"] == attacker) & compared["p_holm"].notna()]
    for sign, (a, b) in ((1, (first, second)), (-1, (second, first))):
        named = [a["variant"], a["start"], b["variant"], b["start"]]
        for _, row in found[(found[["a", "a_start", "b", "b_start"]] == named).all(axis=1)].iterrows():
            return sign * row["difference"], number((row["high"] - row["low"]) / 2), row
    return None


def _cost(rows: pd.DataFrame, first: Any, attacker: str) -> list[str]:
    """Who removes more, at a price."""
    removed = f"target_removed_{attacker}"
    cheap = within_budget(rows)
    dear = rows[~rows["control"].astype(bool) & ~cheap & (rows[removed] > first[removed])]
    if not len(dear) or not cheap[first.name]:
        return []
    most = dear.sort_values(removed, ascending=False, kind="stable").iloc[0]
    return [
        f"{name_of(most)} removes more ({with_interval(most, removed)}), but its source drop is not under {COST}: "
        f"{with_interval(most, 'source_drop')}."
    ]


def _control(rows: pd.DataFrame, first: Any, compared: pd.DataFrame, attacker: str) -> list[str]:
    """The best control that does as well, or that the first cannot be told apart from: then the method is not seen to
    beat nothing-much."""
    removed = f"target_removed_{attacker}"
    for _, control in rows[rows["control"].astype(bool) & within_budget(rows)].iterrows():
        name, much = name_of(control), with_interval(control, removed)
        if control[removed] >= first[removed]:
            return [f"The control {name} removes as much or more: {much}."]
        found = _difference(first, control, compared, attacker)
        if found and found[2]["p_holm"] >= LEVEL:
            return [
                f"The control {name} cannot be told apart from it: {much} (a difference of "
                f"{number(found[0])}±{found[1]}, Holm's p {p_text(found[2]['p_holm'])})."
            ]
    return []


def _strongest(first: Any, attacks: pd.DataFrame) -> list[str]:
    """The attacker who gets most back from the first."""
    tried = [
        (first[f"target_removed_{a}"], with_interval(first, f"target_removed_{a}"), f"who {ATTACKERS[a]}")
        for a in ATTACKERS
        if a != "argmax"
    ]
    mine = attacks[(attacks["variant"] == first["variant"]) & (attacks["start"] == first["start"])]
    tried += [
        (row["target_removed"], with_interval(row, "target_removed"), f"who uses {row['attack']} on {row['n']} images")
        for _, row in mine.iterrows()
    ]
    known = [one for one in tried if is_defined(one[0]) and one[0] < first["target_removed_argmax"]]
    if not known:
        return []
    value, text, who = min(known, key=lambda one: one[0])
    if value <= 0:
        return [
            f"But the strongest attacker tried on {name_of(first)}, {who}, has all of it back, and more than f_s's "
            f"answers gave away: {text} removed."
        ]
    return [f"The strongest attacker tried on {name_of(first)}, {who}, leaves {text} of it removed."]


def p_text(p: float) -> str:
    """`0.03`, `0.004`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def _n(row: Any) -> str:
    units, seeds, pairs = int(row["units"]), int(row["seeds"]), int(row["eligible_pairs"])
    return (
        f"n = {units} train cell{'s' * (units != 1)}, {seeds} seed{'s' * (seeds != 1)}, "
        f"{pairs} eligible pair{'s' * (pairs != 1)}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:NAMED]) + ([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
