"""The comparison in a terminal and as JSON: what is printed, at which width, and what is undefined."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results import versus, versus_text
from results.leaderboard import number
from results.versus import Report
from tests.results.conftest import attack
from tests.results.duel import SCENARIO, grid, wavy, written

Duel = Callable[..., Report]
LONG = "ntl[beta=1,cap=sample,kl_reduction=batchmean]"


@pytest.fixture
def duel(tmp_path: Path) -> Duel:
    """duel(records): cut beside ntl; duel(records, records): of two runs, what both have."""

    def made(*runs: list[dict[str, Any]], a: str = "cut", b: str = "ntl") -> Report:
        read = [versus.read(written(tmp_path / f"r{i}", records), f"r{i}") for i, records in enumerate(runs)]
        return versus.of_runs(*read) if len(read) > 1 else versus.of_variants(read[0], a, b)

    return made


def shown(report: Report, width: int = 120) -> str:
    said = io.StringIO()
    versus_text.render(report, Console(file=said, width=width), "a title")
    return said.getvalue()


def attacked(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    models = [r for r in records if r["cell"]["kind"] == "protect"]
    return [*records, *(attack(m, m["cell"]["targets"][0], {m["cell"]["source"]: 80, m["cell"]["targets"][0]: 40},
                               "bn-reestimate+probe[n=20]", 20) for m in models)]  # fmt: skip


def test_a_table_has_both_sides_the_difference_and_how_sure_it_is(duel: Duel) -> None:
    report = duel(attacked(grid(wavy)))
    text = shown(report)
    (one,) = report.found
    lines = text.split("\n")
    assert lines[:2] == ["a title", "MAP: a re-implementation from the public description."]
    assert "toy · net · labelled source, labelled target" in lines
    head = next(line.split() for line in lines if "pairs" in line)
    assert head == ["a", "b", "a", "-", "b", "df", "n", "pairs", "p"]
    removed = one.primary
    half = (removed.difference.high - removed.difference.low) / 2
    row = next(line.split() for line in lines if line.startswith("removed, argmax"))
    assert row == [
        "removed,", "argmax", number(removed.a), number(removed.b),
        f"{removed.difference.estimate:+.3f}±{number(half)}", "4", "3/6", "4", "<0.001",
    ]  # fmt: skip
    firsts = ("source drop", "removed, matched", "removed, decoded", "target after, argmax",
              "removed, bn-reestimate+probe[n=20]", "target, bn-reestimate+probe[n=20]")  # fmt: skip
    assert sorted(line.split("  ")[0] for line in lines if "±0." in line) == sorted([*firsts, "removed, argmax"])
    words = " ".join(text.split())
    assert versus_text.quotes(report)[0] in words
    assert f"a removes more (argmax) in {removed.difference.wins}, as much in 0, less in 0 of 12 (pair, seed)" in words
    assert f"on {one.answers.beyond_chance} of 12 (pair, seed) the two models' answers differ beyond chance" in words
    assert "This speaks of these trained models only, not of methods." in words
    assert "warning" not in words and "lacks" not in words


def test_nothing_is_cut_and_no_number_wraps(duel: Duel) -> None:
    records = attacked(grid(wavy, ("cut", LONG)))
    report = duel(records, grid(wavy, ("cut", LONG)))
    one = report.found[0].line("source_drop")
    for width in (80, 100, 120):
        text = shown(report, width)
        assert max(map(len, text.split("\n"))) <= width
        assert "…" not in text
        assert text.count("\n  source drop  ") == 2 and text.count("\n  removed, argmax") == 2  # of each variant
        assert any(line.split()[:4] == ["source", "drop", number(one.a), number(one.b)] for line in text.split("\n"))
        assert LONG in "".join(text.split()) and "p Holm" in text


def test_of_two_runs_every_variant_says_who_is_ahead_and_where_models_differ(duel: Duel) -> None:
    report = duel(grid(wavy), grid(lambda v, s, t, i: wavy(v, s, t, i) | {t: 12}))
    rows = [line.split() for line in shown(report).split("\n")]
    for one in report.found:
        change, models = one.primary.difference, one.answers.models
        other = sum(each.other_answers for each in models)
        counts = [str(n) for n in (change.wins, change.ties, change.losses)]
        assert [one.variant, *counts, f"{one.answers.beyond_chance}/12", f"{other}/1,200"] in rows
    # of cut one pair has 10 images more, 12 * 2 / 2**10, the others fewer; of ntl all have 22 and more
    assert [one.answers.beyond_chance for one in report.found] == [1, 12]
    assert [one.primary.difference.losses for one in report.found] == [12, 12]


def test_answers_that_were_not_kept_are_told(duel: Duel, tmp_path: Path) -> None:
    records = grid(wavy, seeds=1)
    assert "not kept" not in shown(duel(records))
    bare = versus.of_variants(versus.read(written(tmp_path / "bare", records, kept=False), "it"), "cut", "ntl")
    words = " ".join(shown(bare).split())
    assert "no kept answers to compare" in words
    assert "on 4 (pair, seed) the answers of one side were not kept, or are to other images" in words
    assert versus_text.ONLY_MODELS not in words


def test_one_seed_prints_a_dash_where_there_is_no_interval(duel: Duel) -> None:
    text = shown(duel(grid(wavy, seeds=1)))
    row = next(line.split() for line in text.split("\n") if line.startswith("removed, argmax"))
    assert row[-4:] == ["–", "1/2", "4", "–"]
    assert "±" not in row[4] and "without an interval" in " ".join(text.split())


def test_what_is_lacking_and_what_is_mixed_is_said_once(duel: Duel) -> None:
    records = grid(wavy)
    for record in records:
        record["environment"]["device"] = "cpu"
    theirs = [r | {"environment": r["environment"] | {"torch": "2.10"}} for r in grid(wavy, ("cut", "ntl", "more"))]
    lost = [r for r in theirs if r["cell"]["variant"] == "ntl" and r["cell"]["source"] == "a"]
    words = " ".join(shown(duel(records, [r for r in theirs if r not in lost])).split())
    assert words.count("warning: mixed torch: 2.9 (r0), 2.10 (r1)") == 1  # of both variants
    assert "r1 lacks a:b seed 0, a:b seed 1, a:b seed 2, a:c seed 0, a:c seed 1, a:c seed 2 (ntl): left out on" in words
    assert "only r1 has: more (toy, net)" in words and "only r0 has" not in words


def test_of_many_that_one_side_lacks_some_are_named(duel: Duel) -> None:
    records = [r for r in grid(wavy, seeds=6) if (r["cell"]["variant"], r["cell"]["source"]) != ("ntl", "a")]
    words = " ".join(shown(duel(records)).split())
    assert "ntl lacks a:b seed 0, " in words and "a:c seed 1 and 4 more: left out on both sides" in words


def test_names_are_printed_as_they_are(duel: Duel) -> None:
    text = shown(duel(grid(wavy, ("cut[lam=1]", "<b>ntl"), seeds=1), a="cut[lam=1]", b="<b>ntl"))
    assert "b: <b>ntl" in text and "cut[lam=1] removes" in " ".join(text.split())


def test_json_has_every_number_and_null_where_one_is_undefined(duel: Duel) -> None:
    report = duel(attacked(grid(wavy, seeds=1)))
    whole = json.loads(versus_text.to_json(report), parse_constant=pytest.fail)
    assert [whole[name] for name in ("a", "b", "kind")] == ["cut", "ntl", "variants"]
    assert whole["quotes"] == versus_text.quotes(report)
    (one,) = whole["comparisons"]
    assert [one[name] for name in ("suite", "a", "b", "scenario")] == ["toy", "cut", "ntl", SCENARIO]
    assert len(one["lines"]) == len(report.found[0].lines) == 7
    line = next(row for row in one["lines"] if (row["quantity"], row["attacker"]) == ("target_removed", "argmax"))
    mine = report.found[0].primary
    assert (line["a"], line["b"], line["seeds"], line["p_holm"]) == (mine.a, mine.b, 1, None)
    assert line["difference"] == {
        "estimate": mine.difference.estimate, "low": None, "high": None, "df": 0, "p": None, "units": 2, "pairs": 4,
        "wins": 4, "ties": 0, "losses": 0,
    }  # fmt: skip
    assert len(one["answers"]["models"]) == 4
    assert one["answers"]["beyond_chance"] == report.found[0].answers.beyond_chance
    assert {"p", "p_holm", "images", "other_answers", "both"} < one["answers"]["models"][0].keys()
