"""What is said below a table of the board: where its rows were not all made alike, and what incomplete rows lack.

    python -m pytest tests/results/leaderboard/test_notes.py

Versions of torch and devices change numbers a little, at worst as much as two methods differ; and a mean over the pairs
that are there is a mean over other pairs. Neither is forbidden, both are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.stats import ROW, SETTING

if TYPE_CHECKING:
    import pandas as pd

    from results.leaderboard.board import Gap

KINDS = ("train", "protect", "attack")  # of cells whose numbers stand on a board
LACKING = {"no-tf32", "no-bf16"}  # flags of what was computed in fp32 for want of something else
AS_ASKED = "as asked"
VARIANT = ROW.index("variant")
PAIRS_NAMED = 3  # of a row that lacks many

Made = dict[tuple[Any, ...], set[tuple[Any, ...]]]  # by ROW, and by SETTING of source models: torch, device, precision
Gaps = Mapping[tuple[Any, ...], "Sequence[Gap]"]


def made(cells: pd.DataFrame) -> Made:
    """How the ok cells of each variant, and the source models of each setting, were computed: torch, device, and
    whether in the precision that was asked for."""
    ok = (cells["status"] == "ok") & cells["kind"].isin(KINDS)
    ran = cells.loc[ok, [*ROW, "torch", "device", "flags"]]
    lacking = [
        min(LACKING & {*flags}, default="") if flags is not None and len(flags) else "" for flags in ran["flags"]
    ]
    ran = ran.drop(columns="flags").assign(precision=lacking).drop_duplicates()
    found: Made = {}
    for *row, torch, device, lacks in ran.itertuples(index=False, name=None):
        precision = f"fp32 for want of {lacks.removeprefix('no-')}" if lacks else AS_ASKED
        # what has no variant is f_s, or was trained from scratch: all rows of the setting are read beside it
        whole = isinstance(row[VARIANT], str) and row[VARIANT]
        key = tuple(row) if whole else tuple(row[: len(SETTING)])
        found.setdefault(key, set()).add((torch, device, precision))
    return found


def mixed(rows: Iterable[tuple[Any, ...]], by: Made) -> list[str]:
    """`torch 2.14.0, 2.15.0`, `device NVIDIA H100, cpu`: what the cells behind some rows, each the values of
    ROW, do not share."""
    found: set[tuple[Any, ...]] = set()
    for row in rows:
        found |= by.get(row, set()) | by.get(row[: len(SETTING)], set())
    said = []
    for name, values in zip(("torch", "device", "precision"), zip(*found, strict=True), strict=False):
        known = sorted({value for value in values if isinstance(value, str)})  # a record may not say
        if len(known) > 1:
            said.append(f"{name} {', '.join(known)}")
    return said


def gaps_of(gaps: Iterable[Gap]) -> dict[tuple[Any, ...], list[Gap]]:
    """Protected models that failed or are missing, by what a row and they share."""
    found: dict[tuple[Any, ...], list[Gap]] = {}
    for gap in gaps:
        if gap.variant and not gap.attack:
            found.setdefault((gap.suite, gap.split_seed, gap.backbone, gap.variant, gap.start), []).append(gap)
    return found


def incomplete(frame: pd.DataFrame, gaps: Gaps, domains: Sequence[str]) -> list[str]:
    """For each row that lacks pairs: `cuti 11/12 pairs, without uci:print (1 failed)`."""
    from results.leaderboard import name_of

    said: list[str] = []
    lacking = (frame["pairs_done"] < frame["pairs_expected"]).to_numpy()
    for _, row in frame[lacking].iterrows() if lacking.any() else ():
        lost: dict[str, Counter[str]] = {}
        for gap in gaps.get(tuple(row[name] for name in ("suite", "split_seed", "backbone", "variant", "start")), ()):
            for target in gap.targets.split("+") if gap.targets else [d for d in domains if d != gap.source]:
                lost.setdefault(f"{gap.source}:{target}", Counter())[gap.status] += 1
        done, expected = int(row["pairs_done"]), int(row["pairs_expected"])
        parts = [
            f"{pair} ({', '.join(f'{n} {status}' for status, n in statuses.items())})"
            for pair, statuses in list(lost.items())[:PAIRS_NAMED]
        ]
        if len(lost) > PAIRS_NAMED:
            parts.append(f"{len(lost) - PAIRS_NAMED} more")
        if (never := expected - done - len(lost)) > 0:
            parts.append(f"{never} that it was not asked for")
        said.append(f"{name_of(row)} {done}/{expected} pairs, without {', '.join(parts)}")
    return said
