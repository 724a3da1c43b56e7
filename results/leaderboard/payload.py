"""What the page's script is given: columns, rows and tables plainly, what is known of each cell packed.

    python -m pytest tests/results/leaderboard/test_html.py

A row is a list beside `fields`, its numbers the frame's own to seven decimals. Tables are rows by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import paired, stats
from results.leaderboard import (
    ATTACKERS,
    COLUMNS,
    INTERVALS,
    MAP_SENTENCE,
    fronts,
    heat,
    is_defined,
    name_of,
    packed,
    packed_curves,
    packed_pictures,
    said_of,
    text,
    within_budget,
)
from results.leaderboard.board import Board, Group, attack_name
from results.leaderboard.reading import reading
from results.ranks import SOURCE_BUDGET, ranked

if TYPE_CHECKING:
    import pandas as pd

_ATTACK_NUMBERS = (
    "target_removed", "target_removed_low", "target_removed_high", "target_attacked_before", "target_attacked",
    "target_scratch", "target_gain", "target_gain_low", "target_gain_high", "source_attacked",
    "seeds", "units", "pairs_done", "pairs_expected",
)  # fmt: skip


def payloads(board: Board, groups: list[Group], out: Path | None) -> Iterator[dict[str, Any]]:
    """From the fullest form to the smallest: with pictures and all training curves, without the one, the loss alone,
    none, and without the paired differences of any attacker but the first."""
    at: dict[heat.Row, int] = {}
    for values in board.frame[stats.ROW].itertuples(index=False, name=None):
        at.setdefault(values, len(at))  # a method tuned to its defaults has two rows and one set of cells
    position = {index: i for i, index in enumerate(board.frame.index)}
    places = _places(board)
    attacks = [(str(a), int(n)) for a, n in board.attacks[["attack", "n"]].drop_duplicates().itertuples(index=False)]
    pairs = heat.asked(board)
    listed = packed.cells_of(board, at)
    cells = packed.facts(board, at, listed, places, attacks, pairs)
    rows = _rows(board, at, pairs, attacks)
    tables = [board.compared(group) for group in groups]
    first, *others = ATTACKERS
    cells["readings"] = [[reading(g, table, a) for a in others] for g, table in zip(groups, tables, strict=True)]
    settings = fronts.settings(board)
    titles, heads = [board.title, *(group.title for group in groups)], [column.head for column in COLUMNS]
    shown = {
        "columns": [{"name": c.name, "head": c.head, "help": c.help} for c in COLUMNS],
        "attackers": ATTACKERS,
        "attacks": [attack_name(*attack) for attack in attacks],
        "budget": SOURCE_BUDGET,
        "level": paired.LEVEL,
        "escapes": _escapes([*(row["variant"] for row in rows), *(row["flags"] for row in rows), *titles, *heads]),
        "caption": [f"{board.title}. ", f". {MAP_SENTENCE}. ± is {INTERVALS}"],  # around a table's title
        "places": list(places),
        "groups": [
            _group(group, position, at, cells, places, attacks, settings)
            | {"reading": reading(group, table, first), "notes": said_of(group)}
            for group, table in zip(groups, tables, strict=True)
        ],
        "fields": list(rows[0]) if rows else [],
        "rows": [list(row.values()) for row in rows],
    }

    def compared(attacker: str | None) -> dict[str, Any]:
        words = packed.Words()
        found = []
        for group, table in zip(groups, tables, strict=True):
            keys = zip(group.frame["variant"], group.frame["start"], strict=True)
            numbers = dict(zip(keys, map(position.__getitem__, group.frame.index), strict=True))
            chosen = table if attacker is None else table[table["attacker"] == attacker]
            found.append(packed.compared(chosen, numbers, words))
        return {"words": words.list, "tables": found}

    whole = cells | {"compared": compared(None)}
    curves = None if out is None else packed_curves.of(listed, out)
    pictures = None if out is None else packed_pictures.of(board, listed, out)
    if pictures:
        yield shown | {"cells": packed.text(whole | {"curves": curves, "pictures": pictures})}
    if curves:
        yield shown | {"cells": packed.text(whole | {"curves": curves})}
        yield shown | {"cells": packed.text(whole | {"curves": packed_curves.loss(curves)})}
    yield shown | {"cells": packed.text(whole)}
    yield shown | {"cells": packed.text(cells | {"compared": compared(first)})}


def _escapes(texts: list[str]) -> dict[str, dict[str, dict[str, str]]]:
    """What the text forms write for a character, at the head of a text and after it, so that the page's own LaTeX and
    Markdown are theirs; of the characters that occur, and only where it is another."""
    known = {*"".join(texts), *map(chr, range(32, 127)), *"±–·=\n"}
    return {
        form: {
            "first": {c: said for c in sorted(known) if (said := escape(c)) != c},
            "rest": {c: said for c in sorted(known) if (said := escape(f"a{c}")[1:]) != c},
        }
        for form, escape in (("latex", text.latex), ("markdown", text.markdown))
    }


def _places(board: Board) -> dict[str, int]:
    """Domains by number: their names would be a third of the page."""
    found: dict[str, int] = {}
    suites = board.plan.get("suites", {}).values()
    listed = [domain for suite in suites for domain in suite.get("domains", [])]
    for cell in [*board.plan.get("cells", []), *board.cells.to_dict("records")]:
        targets = cell["targets"] if cell["targets"] is not None else []
        listed += [cell["source"], *cell["domains"], *(domain for t in targets for domain in t.split("+"))]
    for domain in listed:
        found.setdefault(domain, len(found))
    return found


def _group(
    group: Group,
    position: Mapping[Any, int],
    at: Mapping[heat.Row, int],
    cells: Mapping[str, Any],
    places: Mapping[str, int],
    attacks: list[heat.Attack],
    settings: Mapping[heat.Row, Mapping[str, Any]],
) -> dict[str, Any]:
    """A table: its rows by number, what it may be chosen by, and the pairs and attacks that stand in it."""
    rows = list(group.frame[stats.ROW].itertuples(index=False, name=None))
    pairs = {tuple(cell[:2]) for row in rows for name in ("pairs", "gaps") for cell in cells[name][at[row]]}
    order = {places[domain]: i for i, domain in enumerate(dict.fromkeys([*group.domains, *places])) if domain in places}
    tried = {(str(a), int(n)) for a, n in group.attacks[["attack", "n"]].itertuples(index=False)}
    where = [position[index] for index in group.frame.index]
    return {
        "title": group.title,
        "suite": group.suite + (f", split {group.split_seed}" if group.split_seed else ""),
        "backbone": group.backbone,
        "scenario": group.scenario,
        "settings": group.settings,
        "chance": 1 / group.classes if group.classes else None,
        "domains": group.domains,
        "rows": where,
        "untrained": [position[index] for index in group.untrained.index],
        "pairs": sorted(pairs, key=lambda pair: [order[place] for place in pair]),
        "attacks": [i for i, attack in enumerate(attacks) if attack in tried],
        "fronts": [
            [param, [[where[i], value] for i, value in points]]
            for param, points in fronts.of(group.frame, [settings.get(row, {}) for row in rows])
        ],
    }


def _rows(
    board: Board, at: Mapping[heat.Row, int], pairs: pd.DataFrame, attacks: list[heat.Attack]
) -> list[dict[str, Any]]:
    planes, ranks = heat.planes(pairs), _attack_ranks(board, attacks)
    ok = board.cells[(board.cells["kind"] == "protect") & (board.cells["status"] == "ok")]
    devices = {row: ", ".join(sorted({str(d) for d in ds})) for row, ds in ok.groupby(stats.ROW)["device"]}
    tried: dict[heat.Row, list[list[Any]]] = {}
    for _, row in board.attacks.iterrows():
        identity, attack = tuple(row[stats.ROW]), (str(row["attack"]), int(row["n"]))
        numbers = [short(row[name]) for name in _ATTACK_NUMBERS]
        tried.setdefault(identity, []).append([attacks.index(attack), *numbers])
    rows = []
    for (_, row), within in zip(board.frame.iterrows(), within_budget(board.frame), strict=True):
        identity = tuple(row[stats.ROW])
        facts = {"variant": name_of(row), "method": str(row["method"]), "control": bool(row["control"])}
        facts |= {"within": bool(within), "at": at[identity]} | _numbers(row)
        facts |= {"seconds": short(row["seconds"], 1), "device": devices.get(identity, "")}
        against = ranks[identity, bool(row["tuned"])]
        found = [[i, against[i], *numbers] for i, *numbers in tried.get(identity, [])]
        rows.append(facts | {"plane": planes.get(identity), "attacks": found})
    return rows


def _numbers(row: pd.Series) -> dict[str, Any]:
    names = ["source_drop", "source_drop_low", "source_drop_high", "st_d"]
    for a in ATTACKERS:
        removed = f"target_removed_{a}"
        names += [f"rank_{a}", removed, f"{removed}_low", f"{removed}_high", f"target_before_{a}", f"target_after_{a}"]
    names += ["seeds", "units", "pairs_done", "pairs_expected", "failed"]
    return {name: short(row[name]) for name in names} | {
        "flags": str(row["flags"]),
        "rank_basis": str(row["rank_basis"]),
    }


def short(value: Any, digits: int = 7) -> float | int | None:
    """A number as it travels: null where it is undefined, whole ones as integers."""
    if not is_defined(value):
        return None
    number = float(value)
    return int(number) if number.is_integer() else round(number, digits)


def _attack_ranks(board: Board, attacks: list[heat.Attack]) -> dict[tuple[heat.Row, bool], list[float | int | None]]:
    """The rank of each row, tuned or not, against each attack, by the rule of the board's own; a row that was not
    attacked on all its pairs has none."""
    frame, names = board.frame, ["target_removed", "target_removed_low", "target_removed_high"]
    for i, (attack, n) in enumerate(attacks):
        tried = board.attacks[(board.attacks["attack"] == attack) & (board.attacks["n"] == n)]
        tried = tried.loc[tried["pairs_done"] == tried["pairs_expected"], [*stats.ROW, *names]]
        renamed = tried.rename(columns={name: name.replace("removed", f"removed_{i}") for name in names})
        frame = frame.merge(renamed, on=stats.ROW, how="left")
    frame = ranked(frame, [str(i) for i in range(len(attacks))], stats.RANKED_WITHIN)
    return {
        (tuple(row[stats.ROW]), bool(row["tuned"])): [short(row[f"rank_{i}"]) for i in range(len(attacks))]
        for _, row in frame.iterrows()
    }
