"""The rule by which tuned settings are chosen, on made-up searches: with a target in the cell, and without."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.grid import Filters, read

SEARCHES = ("digits-mini-search", "digits-mini-search-less-data")
CHOOSE = runpy.run_path(str(Path(__file__).parents[2] / "docs/tuning/choose.py"))
summarise, ranked = CHOOSE["summarise"], CHOOSE["ranked"]


def rows(variant: str, key: str, drop: float, removed: dict[str, float], **changed: Any) -> list[dict[str, Any]]:
    """The pairs of one cell, by target."""
    facts = {"method": variant.partition("[")[0], "variant": variant, "key": key, "role": "target", "score": "val"}
    facts |= {"control": False, "eligible": True, "source_drop": drop, "seconds": 20.0, "seed": 0, "source": "street"}
    facts |= {"scenario": "labelled source, labelled target"}
    return [facts | {"target": t, "target_removed": r} | changed for t, r in removed.items()]


def test_a_cell_without_a_target_counts_once_for_the_source_and_its_eligible_targets_for_the_rest() -> None:
    pairs = rows("df-map", "a", 0.03, {"uci": 0.5, "print": 0.7}) + rows("df-map", "b", 0.00, {"street": 0.9})
    pairs += rows("df-map", "b", 0.00, {"uci-m": -9.0}, eligible=False)
    pairs += rows("uniform", "c", 0.50, {"uci": 0.0}, control=True)
    row, alone = summarise(pd.DataFrame(pairs), {0}).itertuples()
    assert (row.source, alone.source) == ("all", "street")
    assert (row.cells, row.pairs) == (2, 3)
    assert row.source_drop == pytest.approx(0.015)
    assert row.worst_source_drop == 0.03
    assert row.target_removed == pytest.approx(0.7)


def test_methods_with_and_without_targets_stand_in_one_search() -> None:
    pairs = rows("ntl", "a", 0.01, {"uci": 0.5}) + rows("df-map", "b", 0.01, {"uci": 0.5, "print": 0.7})
    assert list(summarise(pd.DataFrame(pairs), {0}).query("source == 'all'").pairs) == [2, 1]


@pytest.mark.parametrize(
    "lacking",
    [
        rows("df-map[hold=2]", "c", 0.01, {"uci": 0.5}),  # a target fewer than the method's other setting
        rows("ntl", "c", 0.0, {"uci": 0.5}) + rows("ntl", "d", 0.0, {"uci": 0.5}),  # a cell more than df-map has
    ],
)
def test_an_incomplete_search_chooses_nothing(lacking: list[dict[str, Any]]) -> None:
    pairs = rows("df-map", "a", 0.01, {"uci": 0.5, "print": 0.7})
    with pytest.raises(SystemExit, match="not complete"):
        summarise(pd.DataFrame(pairs + lacking), {0})


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"a": (0.010, 0.90), "b": (0.021, 0.99)}, "a"),  # within 2 % first
        ({"a": (0.015, 0.905), "b": (0.010, 0.900)}, "b"),  # within a point, the smaller drop
        ({"a": (0.010, 0.80), "b": (0.019, 0.90)}, "b"),
        ({"a": (0.050, 0.10), "b": (0.060, 0.90)}, "a"),  # none within: the smallest drop
    ],
)
def test_the_rule(settings: dict[str, tuple[float, float]], chosen: str) -> None:
    facts = [{"source": "all", "variant": v, "source_drop": d, "target_removed": r} for v, (d, r) in settings.items()]
    assert ranked(pd.DataFrame(facts).assign(scenario="labelled source, no target"))[0] == chosen


def test_the_bar_is_farther_off_where_no_real_source_is_seen() -> None:
    frame = pd.DataFrame(
        {"variant": ["a", "b", "c"], "source_drop": [0.01, 0.07, 0.09], "target_removed": [0.1, 0.5, 0.9]}
    )
    bars = dict.fromkeys(("labelled source, labelled target", "labelled source, no target"), "a")
    bars |= dict.fromkeys(("no source, unlabelled target", "no source, no target"), "b")
    assert {scenario: ranked(frame.assign(scenario=scenario, source="all"))[0] for scenario in bars} == bars


def test_settings_are_ranked_by_the_rule_over_and_over() -> None:
    settings = {"a": (0.05, 0.9), "b": (0.01, 0.2), "c": (0.03, 1.0), "d": (0.015, 0.8)}
    facts = [{"variant": v, "source_drop": d, "target_removed": r} for v, (d, r) in settings.items()]
    frame = pd.DataFrame(facts).assign(scenario="labelled source, no target", source="all")
    assert ranked(frame) == ["d", "b", "c", "a"]


def test_the_second_round_is_of_the_settings_that_have_all_its_seeds() -> None:
    pairs = [row for s in (0, 1) for row in rows("ntl", f"a{s}", 0.01 * s, {"uci": 0.5 + 0.2 * s}, seed=s)]
    pairs += rows("ntl[beta=1]", "b", 0.0, {"uci": 0.9})
    row, _ = summarise(pd.DataFrame(pairs), {0, 1}).itertuples()
    assert (row.variant, row.seeds, row.cells, row.pairs) == ("ntl", 2, 2, 2)
    assert row.target_removed == pytest.approx(0.6)
    assert len(summarise(pd.DataFrame(pairs), {0})) == 4  # two settings, over all sources and over the one


@pytest.mark.parametrize("grid", SEARCHES)
def test_the_second_round_is_on_the_pairs_of_the_first_alone(grid: str) -> None:
    words = shlex.split(CHOOSE["second_round"](grid, ["ntl[beta=1,cap=sample]", "cuti"]))
    typed: dict[str, tuple[str, ...]] = dict.fromkeys(("-m", "-p", "-s"), ())
    for option, value in zip(words[3::2], words[4::2], strict=True):
        typed[option] += (value,)
    assert words[:3] == ["mapbench", "run", grid]
    asked = read(grid, Filters(methods=typed["-m"], pairs=typed["-p"], seeds=typed["-s"]))
    first = read(grid).parts[0].pairs
    for part in asked.parts:
        assert (set(part.pairs), part.seeds) == (set(first), (0, 1, 2))
        assert [v.name for v in part.variants] == ["ntl[beta=1,cap=sample]", "cuti"]
