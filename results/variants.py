"""The variants of a run by the names that people type: as the board prints them, or as they were asked for.

    mapbench compare runs/digits-mini sa-map 'ntl[tuned]'

A name is read by what the cells say of themselves, so it is found without the method's file: `sa-map[lam=1]` is the
variant whose settings are no others, whichever of them are the defaults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from results.errors import StoreError
from results.leaderboard import name_of
from results.leaderboard.board import allowed
from results.stats import ROW

if TYPE_CHECKING:
    import pandas as pd

_TYPED = re.compile(r"\s*([^\[\]]+?)\s*(?:\[([^\[\]]*)\])?\s*(?:\((source|init)\))?\s*")


@dataclass(frozen=True)
class Variant:
    """One row of a board: a variant in one setting. Its fields are those of the cells table."""

    suite: str
    split_seed: int
    score: str
    backbone: str
    scenario: str
    variant: str
    start: str
    method: str = field(compare=False)
    control: bool = field(compare=False)
    tuned: bool = field(compare=False)
    params: dict[str, Any] = field(compare=False)

    @property
    def setting(self) -> tuple[Any, ...]:
        """suite, split_seed, score, backbone (results.pairs.SETTING)."""
        return self.suite, self.split_seed, self.score, self.backbone

    @property
    def row(self) -> tuple[Any, ...]:
        """What it is called in the tables: values of results.stats.ROW."""
        return *self.setting, self.scenario, self.variant, self.start

    @property
    def name(self) -> str:
        """As on the board: `ntl`, `ntl (init)`."""
        return name_of({"variant": self.variant, "start": self.start})

    @property
    def kinds(self) -> set[str]:
        """In which of a method's two tables it stands: in both, where the tuned settings are the defaults."""
        both = self.tuned and self.variant == self.method
        return {"tuned", "not tuned"} if both else {"tuned" if self.tuned else "not tuned"}


def known(cells: pd.DataFrame) -> list[Variant]:
    """Every variant of every setting that has a current protect cell, methods first, then by name."""
    ran = cells[(cells["kind"] == "protect") & cells["current"].astype(bool)]
    found = []
    for identity, rows in ran.groupby(ROW, dropna=False):
        first = rows.iloc[0]
        facts: dict[str, Any] = dict(zip(ROW, identity, strict=True))
        facts |= {"method": first["method"], "params": json.loads(first["params"])}
        found.append(Variant(**facts, control=bool(first["control"]), tuned=bool(rows["tuned"].any())))
    return sorted(found, key=lambda one: (*one.setting, one.control, one.scenario, one.variant, one.start))


def find(there: Sequence[Variant], typed: str, where: str) -> dict[tuple[Any, ...], Variant]:
    """What a name stands for, by setting. A method's name alone stands for its variant too, where there is only one.

    Raises StoreError, one line, where it stands for nothing, or for several of one setting.
    """
    found = [one for one in there if _is(one, typed)] or [one for one in there if one.method == typed.strip()]
    if not found:
        raise StoreError(_unknown(there, typed, where))
    by_setting: dict[tuple[Any, ...], list[Variant]] = {}
    for one in found:
        by_setting.setdefault(one.setting, []).append(one)
    for several in by_setting.values():
        if len(several) > 1:
            names = ", ".join(dict.fromkeys(repr(_in_full(one, several)) for one in several))
            raise StoreError(f"{typed!r} stands for several variants of {where}: write one of {names}")
    return {setting: one for setting, (one,) in by_setting.items()}


def obstacle(a: Variant, b: Variant) -> str:
    """Why two variants of one setting may not be compared (design 5), or ""."""
    if a.row == b.row:
        return f"{a.name} and {b.name} are the same variant: name another"
    if not (a.control or b.control) and a.scenario != b.scenario:
        return (
            f"{a.name} may touch {a.scenario}, {b.name} {b.scenario}: methods are never compared across scenarios; "
            "controls stand in every scenario that allows what they touch"
        )
    if not _scenario(a, b):
        guest, home = (a, b) if a.control else (b, a)
        return (
            f"{guest.name} touches {guest.scenario}: the scenario of {home.name}, {home.scenario}, does not allow that"
        )
    if not (a.control or b.control or a.kinds & b.kinds):
        return (
            f"{_said(a)} and {_said(b)}: settings that were searched for are never compared with others, whose methods "
            "had no search"
        )
    return ""


def scenario(a: Variant, b: Variant) -> str:
    """The scenario in whose table both stand: that of the method, beside a control."""
    return _scenario(a, b) or a.scenario


def _scenario(a: Variant, b: Variant) -> str:
    for home, guest in ((a, b), (b, a)):
        if guest.control and allowed(guest.scenario, home.scenario):
            return home.scenario
    return a.scenario if a.scenario == b.scenario else ""


def _said(one: Variant) -> str:
    return f"{one.name} is {'tuned' if one.tuned else 'not tuned'}"


def _is(one: Variant, typed: str) -> bool:
    """Whether a text names this variant: by its name, by `[tuned]`, or by its settings, defaults among them or not."""
    if typed in (one.name, one.variant):
        return True
    read = _TYPED.fullmatch(typed)
    if not read or read[1] != one.method or (read[3] and read[3] != one.start):
        return False
    if (read[2] or "").strip() == "tuned":
        return one.tuned
    own, asked = _settings(one.variant.removeprefix(one.method)[1:-1]), _settings(read[2] or "")
    # the name has every setting that is not a default, so what else was typed must be one
    held = {name: _plain(value) for name, value in one.params.items()}
    return own.items() <= asked.items() and all(held.get(name) == asked[name] for name in asked.keys() - own.keys())


def _settings(text: str) -> dict[str, str]:
    """`lam=1, cap=sample` as a dictionary, numbers in one form."""
    items = (item.partition("=") for item in text.split(",") if item.strip())
    return {name.strip(): _plain(value.strip()) for name, _, value in items}


def _plain(value: Any) -> str:
    """A setting's value in the one form that names, params and typed text have in common."""
    if value in (None, "null"):
        return "none"
    try:
        return f"{float(value):g}" if not isinstance(value, bool) else str(value).lower()
    except (TypeError, ValueError):
        return str(value).lower()


def _in_full(one: Variant, among: Sequence[Variant]) -> str:
    """A name that no other of these has."""
    alike = sum(other.variant == one.variant for other in among) > 1
    return f"{one.variant} ({one.start})" if alike else one.name


def _unknown(there: Sequence[Variant], typed: str, where: str) -> str:
    names = list(dict.fromkeys(one.name for one in there))
    method = typed.partition("[")[0].strip()
    of_method = [one.name for one in there if one.method == method]
    near = get_close_matches(method, [one.method for one in there], 1)
    close = get_close_matches(typed, of_method or names, 1) or of_method
    close = close or [one.name for one in there if one.method in near]
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{where} has no variant {typed!r}: {hint}there are {', '.join(names)}"
