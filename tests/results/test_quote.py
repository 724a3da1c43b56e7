"""The sentence to quote: what it says where a difference is shown, is not shown, or has no interval."""

from __future__ import annotations

import math
from typing import Any

import pytest

from results import quote
from results.answers import Answers
from results.paired import Difference
from results.quantities import Line
from results.versus import Versus

NAN = math.nan
HEAD = (
    "digits-mini, convnet, labelled source and target, against an attacker who takes the model's answers as they are: "
)


def difference(estimate: float, half: float = NAN, df: int = 0, p: float = NAN, pairs: int = 9) -> Difference:
    low, high = estimate - half, estimate + half
    return Difference(
        estimate=estimate, low=low, high=high, df=df, p=p, units=12, pairs=pairs, wins=1, ties=2, losses=3
    )


def versus(removed: Difference, drop: Difference, p_holm: float = NAN, **changed: Any) -> Versus:
    lines = [
        Line("source_drop", "", 0.01, 0.002, 3, drop),
        Line("target_removed", "argmax", 0.8, 0.92, 3, removed, p_holm),
    ]
    facts: dict[str, Any] = {
        "suite": "digits-mini", "split_seed": 0, "score": "test", "backbone": "convnet",
        "scenario": "labelled source, labelled target", "a": "sa-map", "b": "cuti", "variant": "", "lines": lines,
        "answers": Answers((), 0), "lacks_a": [], "lacks_b": [], "warnings": [],
    }  # fmt: skip
    return Versus(**{**facts, **changed})


DROP = difference(0.008, 0.007, 8, 0.03, pairs=12)


@pytest.mark.parametrize(
    ("removed", "drop", "said"),
    [
        (
            difference(-0.12, 0.09, 8, 0.01),
            DROP,
            "sa-map removes 0.120 (95 % CI 0.030 to 0.210, 12 train cells, 9 pairs, df 8, p = 0.010) less of the "
            "target accuracy above chance than cuti, at a source drop 0.008 higher (95 % CI 0.001 to 0.015, "
            "12 train cells, df 8, p = 0.030)",
        ),
        (
            difference(0.12, 0.09, 8, 0.0001),
            difference(-0.008, 0.007, 8, 0.03),
            "sa-map removes 0.120 (95 % CI 0.030 to 0.210, 12 train cells, 9 pairs, df 8, p < 0.001) more of the "
            "target accuracy above chance than cuti, at a source drop 0.008 lower (95 % CI 0.001 to 0.015, "
            "12 train cells, df 8, p = 0.030)",
        ),
        (
            difference(0.12, 0.09, 8, 0.01),
            difference(0.001, 0.007, 8, 0.4),
            "sa-map removes 0.120 (95 % CI 0.030 to 0.210, 12 train cells, 9 pairs, df 8, p = 0.010) more of the "
            "target accuracy above chance than cuti, with no difference shown in source drop (+0.001, "
            "95 % CI -0.006 to 0.008, 12 train cells, df 8, p = 0.400)",
        ),
        (
            difference(-0.02, 0.05, 8, 0.4),
            difference(-0.001, 0.007, 8, 0.7),
            "no difference could be shown between sa-map and cuti in what they remove of the target accuracy above "
            "chance (-0.020, 95 % CI -0.070 to 0.030, 12 train cells, 9 pairs, df 8, p = 0.400), and none in "
            "source drop (-0.001, 95 % CI -0.008 to 0.006, 12 train cells, df 8, p = 0.700)",
        ),
        (
            difference(-0.02, 0.05, 8, 0.4),
            DROP,
            "no difference could be shown between sa-map and cuti in what they remove of the target accuracy above "
            "chance (-0.020, 95 % CI -0.070 to 0.030, 12 train cells, 9 pairs, df 8, p = 0.400); sa-map has a source "
            "drop 0.008 higher (95 % CI 0.001 to 0.015, 12 train cells, df 8, p = 0.030)",
        ),
        (
            difference(-0.12),
            difference(0.008),
            "sa-map removes 0.120 less of the target accuracy above chance than cuti, at a source drop 0.008 higher "
            "(12 train cells, 9 pairs; no source has two train cells, so without an interval)",
        ),
        (
            difference(0.0),
            difference(-0.0001),
            "sa-map removes as much of the target accuracy above chance as cuti, at the same source drop "
            "(12 train cells, 9 pairs; no source has two train cells, so without an interval)",
        ),
        (
            difference(NAN, pairs=0),
            DROP,
            "nothing can be said of sa-map and cuti, which share no eligible pair",
        ),
    ],
)
def test_the_sentence_of_two_variants(removed: Difference, drop: Difference, said: str) -> None:
    assert quote.of_variants(versus(removed, drop)) == HEAD + said


def test_an_interval_that_ends_at_0_shows_nothing() -> None:
    assert "no difference could be shown" in quote.of_variants(versus(difference(0.1, 0.1, 8, 0.05), DROP))
    assert "no difference could be shown" in quote.of_variants(versus(difference(0.0, 0.0, 8, 1.0), DROP))


def test_it_says_which_split_and_part() -> None:
    said = quote.of_variants(versus(DROP, DROP, split_seed=2, score="val", scenario="no source, no target"))
    assert said.startswith(
        "digits-mini, convnet, no source, no target, split_seed 2, scored on val, against an attacker"
    )


def runs(*found: tuple[str, Difference, float]) -> str:
    table = [versus(change, DROP, p, variant=name, a="here", b="there") for name, change, p in found]
    return quote.of_runs(table, 5).removeprefix(HEAD)


def test_the_sentence_of_two_runs() -> None:
    sure, not_sure = difference(0.12, 0.09, 8, 0.001), difference(-0.3, 0.2, 8, 0.02)
    assert runs(("cuti", sure, 0.005), ("ntl", not_sure, 0.08)) == (
        "of 2 variants that here and there both have, 1 could be shown to remove another share of the target accuracy "
        "above chance (Holm over 5): cuti: +0.120 in here, 95 % CI 0.030 to 0.210, 12 train cells, 9 pairs (p = 0.005)"
    )
    assert runs(("ntl", not_sure, 0.08)) == (
        "of 1 variant that here and there both have, none could be shown to remove another share of the target "
        "accuracy above chance (t-tests on train cells, Holm over 5)"
    )
    assert runs(("ntl", difference(-0.3), NAN), ("cuti", difference(0.1), NAN)) == (
        "of 2 variants that here and there both have, no source has two train cells, so there is no interval; the "
        "largest difference in what is removed of the target accuracy above chance is ntl: -0.300 in here, 12 train "
        "cells, 9 pairs"
    )
    assert runs(("ntl", difference(NAN), NAN)) == (
        "of 1 variant that here and there both have, none has an eligible pair in both, so nothing can be said"
    )


def test_of_many_the_surest_are_named() -> None:
    said = runs(*((f"m{i}", difference(0.1, 0.05, 8, 0.001), 0.04 - i / 1000) for i in range(5)))
    assert said.index("m4") < said.index("m3") < said.index("m2")
    assert said.endswith("(p = 0.038) and 2 more") and "m1" not in said
