"""What a pair is in the results: what a cell was asked to block, what the pair is called, and whether it counts.

    python -m pytest tests/results/test_pairs.py

A cell that blocks a union has one row for each of the union's domains; the pair's figure is their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SETTING = ["suite", "split_seed", "score", "backbone"]
ELIGIBLE = 1 / 3  # share of the way from chance to 1 that f_s must have come on a target worth protecting
TIE = 1e-9
WATERMARK = "@"  # `uci@wm80` is uci with a patch on its images

Pairs = set[tuple[str, str]]  # (source, target)


def targets(cell: Mapping[str, Any]) -> list[str]:
    """The domains that a cell was asked to block: each one of a union; for a target-free method every other one."""
    named = [domain for target in cell["targets"] for domain in target.split("+")]
    return named or [domain for domain in cell["domains"] if domain != cell["source"]]


def name(cell: Mapping[str, Any]) -> str:
    """A cell's pair as printed: `uci:a+b`, `uci:*` for all other domains at once, `uci` where none was named."""
    named, others = list(cell["targets"]), {*cell.get("domains", ())} - {cell["source"]}
    whole = len(named) > 1 and set(named) == others
    return cell["source"] + (":*" if whole else ":" + "+".join(named) if named else "")


def label(cell: Mapping[str, Any]) -> str:
    """What a cell is called where people read: `cuti convnet uci:print s0`, `probe on f_s convnet uci:print s0`."""
    what, pair = cell["variant"] or "f_s", name(cell)
    if attack := cell.get("attack"):
        what = f"{attack} on {what}" if cell["parent"] else attack
        pair = f"{cell['source']}:{cell['target']}" if cell["parent"] else cell["target"]
    return f"{what} {cell['backbone']} {pair} s{cell['seed']}"


def frozen(suite: Mapping[str, Any], source: str, target: str) -> bool | None:
    """Whether the list in the suite file counts the pair; None where that list does not speak of it.

    An empty list says that nobody has looked yet, and a list of plain domains says nothing of watermark domains."""
    listed = suite.get("eligible") or ()
    pair = f"{source}:{target}"
    return True if pair in listed else None if not listed or WATERMARK in pair else False


def twin(suite: Mapping[str, Any], source: str, target: str) -> bool:
    """Whether the images of both are renderings of the same originals, a watermark among them."""
    a, b = (domain.partition(WATERMARK)[0] for domain in (source, target))
    return a == b or f"{a}:{b}" in (suite.get("twins") or ())


def by_rule(pairs: pd.DataFrame) -> dict[tuple[Any, ...], Pairs]:
    """Pairs on which f_s has come a third of the way from chance to 1, by suite, split, part and backbone.

    By its accuracy on the val part where that is known (a suite without a list of its own), mean over seeds, else by
    that on the part that is scored: choosing pairs on the numbers that are reported would favour those that f_s knows
    by luck."""
    names = [*SETTING, "source", "target", "seed", "classes", "target_before_balanced"]
    names += ["target_before_val"] if "target_before_val" in pairs else []
    once = pairs.loc[pairs["current"].astype(bool), names].drop_duplicates([*SETTING, "source", "target", "seed"])
    seen = once["target_before_val"] if "target_before_val" in once else once["target_before_balanced"]
    once = once.assign(seen=seen.fillna(once["target_before_balanced"]))
    means = once.groupby([*SETTING, "source", "target"])[["seen", "classes"]].mean()
    chance = 1 / means["classes"]
    share = (means["seen"] - chance) / (1 - chance)
    found: dict[tuple[Any, ...], Pairs] = {}
    for index in means.index[share >= ELIGIBLE - TIE]:
        found.setdefault(index[:4], set()).add(index[4:])
    return found


def eligible(asked: Pairs, suite: Mapping[str, Any], computed: Pairs) -> tuple[Pairs, str]:
    """Which of the pairs asked for count, and by what: "frozen" (the suite file), "computed" (the rule) or "both".

    Each pair is judged by the suite file where that speaks of it, else by the rule (`computed`)."""
    said = {pair: frozen(suite, *pair) for pair in asked}
    counted = {pair for pair, verdict in said.items() if (pair in computed if verdict is None else verdict)}
    silent = [verdict is None for verdict in said.values()]
    return counted, "computed" if all(silent) else "both" if any(silent) else "frozen"


def removed(rows: pd.DataFrame, after: str) -> pd.Series:
    """target_removed of each row, as results.metrics has it: A is what argmax gets out of f_s, whoever the attacker."""
    before, chance = rows["target_before_balanced"], 1 / rows["classes"]
    return ((before - rows[after].clip(lower=chance)) / (before - chance)).where(before > chance)
