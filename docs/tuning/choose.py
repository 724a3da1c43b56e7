"""Applies the rule of suites/digits-mini-search.yaml to a search, says what its second round is, and writes its log.

.venv/bin/mapbench run digits-mini-search
.venv/bin/python docs/tuning/choose.py runs/digits-mini-search     prints the command of the second round
.venv/bin/python docs/tuning/choose.py runs/digits-mini-search     and after it, what was chosen

What the log says of methods that are not in that search stays.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pandas as pd

import results
from harness.grid import read

SEEN, UNSEEN = 0.02, 0.08  # the rule's bars of source_drop: where real source images are seen, and where not
POINT = 0.01  # of target_removed, within which settings are alike
FINALISTS = 3  # settings of each method that are run with the seeds of the second round
SEEDS = {0, 1, 2}
SETTING = ["scenario", "method", "variant"]
COLUMNS = ["source", "seeds", "cells", "pairs", "source_drop", "worst_source_drop", "target_removed", "seconds"]
LOG = Path(__file__).with_name("digits-mini.csv")


def summarise(pairs: pd.DataFrame, seeds: set[int]) -> pd.DataFrame:
    """Rows for each setting that has all these seeds, on val, for all its sources and for each by itself: source_drop
    over its cells, target_removed over its pairs.

    A cell that was told a target has one pair; one that was not has a pair for each eligible target of its source, and
    its source_drop, which is the same in all of them, counts once."""
    rows = pairs[(pairs.role == "target") & (pairs.score == "val") & ~pairs.control & pairs.eligible.eq(True)]
    rows = rows[rows.seed.isin(seeds) & rows.groupby(SETTING).seed.transform("nunique").ge(len(seeds))]
    means = _means(rows, SETTING).assign(seeds=len(seeds))
    if (means.pairs != means.groupby("method").pairs.transform("max")).any() or means.cells.nunique() > 1:
        sys.exit("the search is not complete: run it again, the same command goes on")
    by_source = _means(rows, [*SETTING, "source"]).assign(seeds=len(seeds))
    return pd.concat([means.assign(source="all"), by_source])[[*SETTING, *COLUMNS]]


def _means(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    cells = rows.drop_duplicates([*by, "key"]).groupby(by, as_index=False)
    means = cells.agg(
        cells=("key", "size"), source_drop=("source_drop", "mean"), worst_source_drop=("source_drop", "max"),
        seconds=("seconds", "mean"),
    )  # fmt: skip
    removed = rows.groupby(by, as_index=False).agg(pairs=("target", "size"), target_removed=("target_removed", "mean"))
    return means.merge(removed, on=by)


def ranked(settings: pd.DataFrame) -> list[str]:
    """One method's settings as the rule takes them: the first, then the first of those that are left, and so on."""
    left, taken = settings[settings.source == "all"], []
    while len(left):
        taken.append(_first(left))
        left = left[left.variant != taken[-1]]
    return taken


def _first(settings: pd.DataFrame) -> str:
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


def second_round(grid: str, variants: list[str]) -> str:
    """The command that runs these settings on the search's pairs with all seeds. A search is its file's first part;
    without its pairs, -m would run on those of the other parts as well."""
    command = ["mapbench", "run", grid, "-s", f"{min(SEEDS)}-{max(SEEDS)}"]
    command += [word for s, (t,) in read(grid).parts[0].pairs for word in ("-p", f"{s}:{t}")]
    return shlex.join([*command, *(word for v in variants for word in ("-m", v))])


if __name__ == "__main__":
    pairs = results.load(sys.argv[1])
    if "untrained" in set(pairs.variant):
        print("eligible:", eligible(pairs))
    log = summarise(pairs, {0})
    order = {method: ranked(settings) for method, settings in log.groupby("method")}
    finalists = [variant for variants in order.values() for variant in variants[:FINALISTS]]
    final = summarise(pairs, SEEDS)
    if missing := sorted(set(finalists) - set(final.variant)):
        print("the second round:", second_round(Path(sys.argv[1]).name, missing))
        sys.exit()
    final = final[final.variant.isin(finalists)]
    chosen = {method: ranked(settings)[0] for method, settings in final.groupby("method")}
    log = pd.concat([log, final])
    log["chosen"] = log.variant == log.method.map(chosen)
    kept = pd.read_csv(LOG)
    log = pd.concat([kept[~kept.method.isin(log.method)], log.drop(columns="scenario")])
    log = log[["method", "variant", *COLUMNS, "chosen"]]
    log.sort_values(["method", "seeds", "variant", "source"]).round(4).to_csv(LOG, index=False)
    for method, variant in chosen.items():
        print(f"{method}: chosen {variant}")
