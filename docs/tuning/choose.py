"""Applies the rule of suites/digits-mini-search.yaml to a finished search, and writes its log.

.venv/bin/mapbench run digits-mini-search
.venv/bin/python docs/tuning/choose.py runs/digits-mini-search

What the log says of methods that are not in that search stays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import results

SEEN, UNSEEN = 0.02, 0.08  # the rule's bars of source_drop: where real source images are seen, and where not
POINT = 0.01  # of target_removed, within which settings are alike
LOG = Path(__file__).with_name("digits-mini.csv")


def summarise(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, on val: source_drop over its cells, target_removed over its pairs.

    A cell that was told a target has one pair; one that was not has a pair for each eligible target of its source, and
    its source_drop, which is the same in all of them, counts once."""
    rows = pairs[(pairs.role == "target") & (pairs.score == "val") & ~pairs.control & pairs.eligible.eq(True)]
    setting = ["scenario", "method", "variant", "params"]
    cells = rows.drop_duplicates([*setting, "key"]).groupby(setting, as_index=False)
    means = cells.agg(
        cells=("key", "size"), source_drop=("source_drop", "mean"), worst_source_drop=("source_drop", "max"),
        seconds=("seconds", "mean"),
    )  # fmt: skip
    removed = rows.groupby(setting, as_index=False).agg(
        pairs=("target", "size"), target_removed=("target_removed", "mean")
    )
    means = means.merge(removed, on=setting)
    if (means.pairs != means.groupby("method").pairs.transform("max")).any() or means.cells.nunique() > 1:
        sys.exit("the search is not complete: run it again, the same command goes on")
    return means[[*setting, "cells", "pairs", "source_drop", "worst_source_drop", "target_removed", "seconds"]]


def choose(settings: pd.DataFrame) -> str:
    """The variant the rule takes among one method's settings."""
    unseen = settings.scenario.str.startswith("no source")
    within = settings[settings.source_drop <= unseen.map({True: UNSEEN, False: SEEN})]
    if within.empty:
        return str(settings.sort_values("source_drop").variant.iloc[0])
    best = within[within.target_removed >= within.target_removed.max() - POINT]
    return str(best.sort_values("source_drop").variant.iloc[0])


def eligible(pairs: pd.DataFrame) -> list[str]:
    """Pairs whose target f_s knows by a third of the way from chance to 1, on val, mean over seeds."""
    rows = pairs[pairs.variant == "untrained"].drop_duplicates(["source", "target", "seed"])
    known = rows.groupby(["source", "target"]).target_before_balanced.mean()
    print(known.unstack().round(3).to_string())
    chance = 1 / rows.classes.iloc[0]
    return [f"{s}:{t}" for (s, t), a in known.items() if (a - chance) / (1 - chance) >= 1 / 3]


if __name__ == "__main__":
    pairs = results.load(sys.argv[1])
    if "untrained" in set(pairs.variant):
        print("eligible:", eligible(pairs))
    log = summarise(pairs)
    chosen = {method: choose(settings) for method, settings in log.groupby("method")}
    log["chosen"] = log.variant == log.method.map(chosen)
    kept = pd.read_csv(LOG)
    log = pd.concat([kept[~kept.method.isin(log.method)], log.drop(columns=["scenario", "params"])])
    log.sort_values(["method", "variant"]).round(4).to_csv(LOG, index=False)
    for method, variant in chosen.items():
        print(f"{method}: chosen {variant}")
