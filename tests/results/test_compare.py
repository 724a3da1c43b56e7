"""Ours beside published figures: what is compared, over which pairs, by which interval, and what gets no verdict."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results import compare, compare_text, published, tables
from results.compare import NOT_COMPARABLE, NOT_RUN, Comparison
from results.published import Figure
from tests.results.beside import cifar, protected, trained, written

T2 = 4.302652729749464  # 97.5 % of t with two degrees of freedom
FOUR = ("mnist", "usps", "svhn", "mnist-m")
Compare = Callable[..., list[Comparison]]


def figure(metric: str = "source_after", value: float | None = 0.856, **changed: Any) -> Figure:
    """NTL on CIFAR10 -> STL10 with VGG13, as JailNTL has it."""
    half = changed.pop("half", 0.0005)
    bounds = {"low": None, "high": None} if value is None else {"low": value - half, "high": value + half}
    return Figure.model_validate({
        "method": "ntl", "attack": "", "suite": "cifar-stl", "backbone": "vgg13", "image_size": 64, "init": "imagenet",
        "start": "init", "source": "cifar10", "target": "stl10", "domains": "", "metric": metric, "value": value,
        **bounds, "confidence": "read", "via": "poster", "cite": "X 2025", "differs": "another split", **changed,
    })  # fmt: skip


def mean(metric: str, value: float, **changed: Any) -> Figure:
    """The mean over the twelve pairs of digits, of a network that is not known."""
    digits = {"suite": "digits", "source": "", "target": "", "domains": " ".join(FOUR), "image_size": None}
    return figure(metric, value, **{**digits, "backbone": "", "init": "", "start": "", **changed})


@pytest.fixture
def beside(tmp_path: Path) -> Compare:
    """beside(records, figure, ...): the comparison of a run that holds these records."""

    def made(records: list[dict[str, Any]], *figures: Figure) -> list[Comparison]:
        out = written(tmp_path / "run", *records)
        pairs, cells = (tables.read(out, name).to_pandas() for name in ("pairs", "cells"))
        return compare.against(figures, pairs, cells)

    return made


@pytest.mark.parametrize(
    ("value", "half", "word"),
    [
        (0.856, 0.0005, "within"),
        (0.8514, 0.0005, "within"),  # ours ends at .85103
        (0.8504, 0.0005, "higher"),
        (0.8504, 0.0010, "within"),  # theirs may have been misread by more
        (0.8614, 0.0005, "within"),  # ours ends at .86097
        (0.8616, 0.0005, "lower"),
    ],
)
def test_the_verdict_is_our_t_interval_against_what_theirs_can_stand_for(
    beside: Compare, value: float, half: float, word: str
) -> None:
    (row,) = beside(cifar(3), figure("source_after", value, half=half))
    ours = row.ours
    assert ours is not None and ours.low is not None and ours.high is not None
    assert ours.value == pytest.approx(0.856)  # .854, .856, .858
    assert (ours.high - ours.low) / 2 == pytest.approx(T2 * 0.002 / math.sqrt(3))
    assert (ours.df, ours.seeds, ours.units) == (2, 3, 3)
    assert row.verdict == word
    assert row.difference == pytest.approx(0.856 - value)


def test_a_network_in_another_precision_is_that_network_in_a_row_of_its_own_and_the_note_says_so(
    beside: Compare,
) -> None:
    bf16 = cifar(3, backbone="vgg13@bf16", precision="bf16")
    rows = beside([*cifar(3, precision="fp32"), *bf16], figure())
    assert [(row.backbone, row.verdict) for row in rows] == [("vgg13", "within"), ("vgg13@bf16", "within")]
    assert ["ours was trained in bf16" in row.notes for row in rows] == [False, True]


def test_one_train_cell_has_no_interval_and_the_verdict_says_so(beside: Compare) -> None:
    same, less, more = beside(cifar(1), *(figure("source_after", value) for value in (0.8541, 0.852, 0.856)))
    assert [row.verdict for row in (same, less, more)] == ["within (n=1)", "higher (n=1)", "lower (n=1)"]
    assert same.ours is not None
    assert (same.ours.low, same.ours.high, same.ours.df) == (None, None, 0)


def test_bounds_alone_are_enough_for_a_verdict(beside: Compare) -> None:
    below, above = beside(cifar(3), figure(value=None, high=0.9), figure(value=None, low=0.9))
    assert (below.verdict, above.verdict) == ("within", "lower")
    assert below.difference is None


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ({}, {"image_size": 32}, "theirs is at 64 px, ours at 32"),
        ({}, {"init": "random"}, "theirs begins at imagenet weights, ours at random ones"),
        ({}, {"backbone": "vgg13_bn"}, "their network is vgg13"),
        ({"backbone": "vit"}, {}, "their network is vit"),
    ],
)
def test_what_decides_an_accuracy_and_is_another_leaves_no_verdict_but_both_numbers(
    beside: Compare, theirs: dict[str, Any], ours: dict[str, Any], reason: str
) -> None:
    (row,) = beside(cifar(3, **ours), figure(**theirs))
    assert (row.verdict, row.why) == (NOT_COMPARABLE, [reason])
    assert row.ours is not None and row.ours.value == pytest.approx(0.856)


@pytest.mark.parametrize(
    ("theirs", "ours", "note"),
    [
        ({"image_size": None}, {}, "not known of theirs: image size"),
        ({"init": ""}, {}, "not known of theirs: initial weights"),
        ({"backbone": ""}, {}, "not known of theirs: network"),
        ({}, {"image_size": None}, "not recorded of ours, or not one: image size"),
        ({}, {"init": None}, "not recorded of ours, or not one: initial weights"),
    ],
)
def test_what_is_not_known_is_noted_and_marks_the_verdict(
    beside: Compare, theirs: dict[str, Any], ours: dict[str, Any], note: str
) -> None:
    (row,) = beside(cifar(3, **ours), figure(**theirs))
    assert (row.verdict, row.why) == ("within?", [])
    assert note in row.notes


def test_a_family_stands_for_its_members_with_a_question_mark(beside: Compare) -> None:
    (row,) = beside(cifar(3, backbone="vit_b_16"), figure(backbone="vit"))
    assert (row.verdict, row.why) == ("within?", [])


def test_where_protection_began_is_noted_and_compared(beside: Compare) -> None:
    ntl, cuti = beside(cifar(3), figure(), figure(value=0.701, method="cuti"))
    begun = "their protection begins with the initial weights, ours with a trained source model"
    assert ntl.notes == ["another split", begun]
    assert (cuti.start, cuti.notes, cuti.verdict) == ("init", ["another split"], "within")


def test_other_settings_are_another_method_and_those_of_a_paper_are_not(beside: Compare) -> None:
    f_s = trained("cifar10")
    variants = ["ntl", "ntl[beta=1,cap=sample]", "ntl[fidelity=paper]"]
    rows = beside([f_s, *(protected(f_s, ["stl10"], 856, 98, variant=v) for v in variants)], figure())
    assert {row.variant: row.verdict for row in rows} == {
        "ntl": "within (n=1)", "ntl[beta=1,cap=sample]": NOT_COMPARABLE, "ntl[fidelity=paper]": "within (n=1)",
    }  # fmt: skip


def digits(seeds: int = 2, without: tuple[str, str, int] | None = None, **changed: Any) -> list[dict[str, Any]]:
    """ntl on the twelve pairs: f_s 1,000 and 600 of 1,000; source 990 and, of the second seed, 980; target 120."""
    made = []
    for seed in range(seeds):
        for source in FOUR:
            f_s = trained(source, seed, suite="digits", backbone="vgg11", own=1000)
            made.append(f_s)
            for target in FOUR:
                if target != source:
                    lost = changed if (source, target, seed) == without else {}
                    if (source, target, seed) != without or changed:
                        made.append(protected(f_s, [target], 990 - 10 * seed, 120, **lost))
    return made


def test_a_mean_is_over_its_own_pairs_and_sources_weigh_the_same(beside: Compare) -> None:
    drop, removed, ratio = beside(
        digits(), mean("source_drop", 0.015), mean("target_drop", 0.5), mean("st_d", 0.015 / 0.8)
    )
    assert [row.ours and row.ours.value for row in (drop, removed, ratio)] == pytest.approx([0.015, 0.8, 0.015 / 0.8])
    assert [row.verdict for row in (drop, removed, ratio)] == ["within?", "higher?", "within?"]
    assert drop.ours is not None and drop.ours.low is not None and ratio.ours is not None and ratio.ours.low is not None
    assert (drop.ours.df, drop.ours.seeds, drop.ours.units) == (4, 2, 8)
    # two seeds .01 apart at each of four sources: pooled variance 5e-5, error sqrt(5e-5 * 4 / 2) / 4; t with df 4
    assert drop.ours.value is not None and ratio.ours.value is not None
    assert drop.ours.value - drop.ours.low == pytest.approx(2.7764451 * math.sqrt(5e-5 * 2) / 4)
    # the target drop does not vary, so the ratio's interval is the source drop's over it
    assert ratio.ours.value - ratio.ours.low == pytest.approx((drop.ours.value - drop.ours.low) / 0.8)


def test_a_fifth_domain_is_not_in_a_mean_over_four(beside: Compare) -> None:
    f_s = trained("mnist", 0, suite="digits", backbone="vgg11", own=1000)
    (row,) = beside([*digits(), protected(f_s, ["synd"], 0, 0)], mean("source_drop", 0.015))
    assert row.ours is not None and row.ours.value == pytest.approx(0.015)


def test_a_mean_over_some_of_its_pairs_is_not_shown(beside: Compare) -> None:
    (row,) = beside(digits(1, without=("usps", "svhn", 0)), mean("source_drop", 0.01))
    assert (row.verdict, row.ours, row.pairs_done, row.pairs_expected) == (NOT_RUN, None, 11, 12)
    assert "11 of its 12 pairs were run: their mean would be another quantity" in row.notes


def test_pairs_of_one_source_from_different_seeds_make_no_mean(beside: Compare) -> None:
    made = [r for r in digits(2) if r["cell"]["targets"] != (["svhn"] if r["cell"]["seed"] else ["usps"])]
    (row,) = beside(made, mean("source_drop", 0.015))
    assert (row.verdict, row.pairs_done) == (NOT_RUN, 12)
    assert "no seed has all of its pairs" in row.notes


def test_a_train_cell_that_lacks_a_pair_is_in_no_mean(beside: Compare) -> None:
    (row,) = beside(digits(2, without=("usps", "svhn", 1)), mean("source_drop", 0.015))
    assert row.ours is not None
    assert (row.ours.units, row.ours.df) == (7, 3)
    assert row.ours.value == pytest.approx((0.015 * 3 + 0.01) / 4)


def test_failed_cells_are_counted_beside_the_mean_of_the_rest(beside: Compare) -> None:
    lost = digits(2, without=("usps", "svhn", 1), status="failed", error="diverged")
    (row,) = beside(lost, mean("source_drop", 0.015))
    assert row.failed == 1
    assert "cells of ours that ended without a model, and so are in no mean: 1" in row.notes
    (row,) = beside(lost, mean("source_drop", 0.015, source="mnist", target="usps", domains=""))
    assert row.failed == 0


def test_where_all_failed_it_was_not_run_and_says_why(beside: Compare) -> None:
    f_s = trained("cifar10")
    (row,) = beside([f_s, protected(f_s, ["stl10"], 0, 0, status="failed", error="diverged")], figure())
    assert (row.verdict, row.failed, row.backbone) == (NOT_RUN, 1, "vgg13")


def test_a_union_val_and_a_superseded_version_are_not_what_was_published(beside: Compare) -> None:
    f_s = trained("mnist", suite="digits", backbone="vgg11")
    val = trained("mnist", suite="digits", backbone="vgg11", score="val")
    unlike = [f_s, val, protected(f_s, ["svhn", "usps"], 1, 1), protected(f_s, ["usps+svhn"], 1, 1)]
    unlike.append(protected(val, ["usps"], 1, 1))
    pair = {"suite": "digits", "backbone": "vgg11", "source": "mnist", "target": "usps"}
    (row,) = beside(unlike, figure(**pair))
    assert (row.verdict, row.ours) == (NOT_RUN, None)
    old, new = (trained("mnist", suite="digits", backbone="vgg11", protocol=version) for version in (1, 2))
    (row,) = beside([old, protected(old, ["usps"], 1, 1), new, protected(new, ["usps"], 857, 1)], figure(**pair))
    assert row.ours is not None
    assert (row.ours.value, row.ours.units) == (0.857, 1)


def test_a_method_that_is_told_of_no_target_is_measured_on_each(beside: Compare) -> None:
    f_s = trained("cifar10")
    blind = protected(f_s, [], 880, 400, variant="ntl-source-only")
    (row,) = beside([f_s, blind], figure("target_after", 0.4, method="ntl-source-only"))
    assert row.verdict == "within (n=1)"


def test_f_s_is_one_train_cell_however_many_methods_and_seeds_start_from_it(beside: Compare) -> None:
    f_s = trained("cifar10", others=626)
    twice = [protected(f_s, ["stl10"], 856 + i, 98, variant=v) for i, v in enumerate(("ntl", "cuti"))]
    again = [
        protected({**f_s, "cell": {**f_s["cell"], "seed": 1}, "spec": {**f_s["spec"], "seed": 1}}, ["stl10"], 1, 1)
    ]
    own, other = beside(
        [f_s, *twice, *again],
        figure("source_before", 0.9, method="f_s", start=""), figure("target_before", 0.626, method="f_s", start=""),
    )  # fmt: skip
    for row, value in ((own, 0.9), (other, 0.626)):
        assert row.ours is not None
        assert (row.ours.value, row.ours.units, row.verdict) == (value, 1, "within (n=1)")


def test_what_has_no_counterpart_is_not_comparable_and_has_nothing_beside_it(beside: Compare) -> None:
    nowhere = {"suite": "", "source": "", "target": "", "differs": ""}
    attacked, unnamed = beside(cifar(3), figure("target_after", attack="transntl"), figure("target_drop", **nowhere))
    assert (attacked.verdict, attacked.why, attacked.ours) == (NOT_COMPARABLE, [compare.AFTER_ATTACK], None)
    assert (unnamed.verdict, unnamed.why, unnamed.ours) == (NOT_COMPARABLE, [compare.UNNAMED], None)


def test_the_composite_is_shown_and_never_judged(beside: Compare) -> None:
    both = {"source": "", "target": "", "domains": "cifar10 stl10"}
    (row,) = beside(cifar(1), figure("composite", 0.87, **both))
    assert (row.verdict, row.why) == (NOT_COMPARABLE, [compare.COMPOSITE])
    assert row.ours is not None
    assert row.ours.value == pytest.approx(((0.854 + 1 - 0.15) / 2 + (0.845 + 1 - 0.105) / 2) / 2)


def test_a_ratio_without_a_target_drop_is_undefined(beside: Compare) -> None:
    f_s = trained("cifar10")
    (row,) = beside([f_s, protected(f_s, ["stl10"], 880, 600)], figure("st_d", 0.013))
    assert (row.verdict, row.why) == (NOT_COMPARABLE, [compare.UNDEFINED])
    assert row.ours is not None and row.ours.value is None


def test_a_drop_from_nothing_is_undefined_and_still_json(beside: Compare) -> None:
    f_s = trained("cifar10", others=0)
    made = beside([f_s, protected(f_s, ["stl10"], 880, 0)], figure("target_drop", 0.8))
    assert (made[0].verdict, made[0].why) == (NOT_COMPARABLE, [compare.UNDEFINED])
    assert json.loads(compare.to_json(made, ""))["rows"][0]["ours"]["value"] is None


def test_what_another_model_does_to_a_domain_that_it_was_not_asked_to_block_is_not_ours(beside: Compare) -> None:
    f_s = trained("mnist", suite="digits", backbone="vgg11")
    pair = {"suite": "digits", "backbone": "vgg11", "source": "mnist", "target": "usps"}
    (row,) = beside([f_s, protected(f_s, ["svhn"], 856, 98)], figure("target_after", 0.6, **pair))
    assert (row.verdict, row.ours) == (NOT_RUN, None)


def test_what_was_not_run_stands_there_as_not_run(beside: Compare) -> None:
    (row,) = beside(cifar(3), figure(method="sa-map"))
    assert (row.verdict, row.why, row.variant) == (NOT_RUN, [], None)


def test_flags_are_told(beside: Compare) -> None:
    f_s = trained("cifar10")
    (row,) = beside([f_s, protected(f_s, ["stl10"], 856, 590, flags=["not-taken-off"])], figure())
    assert "flags of ours: not-taken-off" in row.notes


@pytest.fixture
def everything(beside: Compare) -> list[Comparison]:
    """All that ships, beside a run of CIFAR and one of digits."""
    return beside([*cifar(3), *digits()], *(f for f in published.load() if f.suite != "visda"))


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_terminal_says_every_reason_and_cuts_nothing(everything: list[Comparison], width: int) -> None:
    said = io.StringIO()
    compare_text.render(everything, Console(file=said, width=width), "a title", "MAP: a re-implementation.")
    text = said.getvalue()
    assert max(map(len, text.split("\n"))) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for row in everything:
        for reason in row.why:
            assert " ".join(reason.split()) in words
        if row.ours:
            assert all(note in words for note in row.notes)
    assert words.startswith("a title MAP: a re-implementation. cifar-stl · ENL-DEE, CVPR 2026 (digest) · vit")
    assert ("+0.055" in words) == (width > 80)  # the difference is the first to go
    assert (
        "JailNTL, CVPR 2025 (poster): 16 figures of ntl, cuti after rtal, ftal, transntl, jailntl; theirs is" in words
    )
    assert "0.870±0.015~" in text and "0.704..0.840*" in text
    assert all(f"{a}:{b}" in text for a, b in permutations(("cifar10", "stl10")))


def test_a_narrow_terminal_keeps_every_reference(beside: Compare) -> None:
    f_s = trained("cifar10", image_size=32, init="random", backbone="vgg11")
    long = protected(f_s, ["stl10"], 856, 98, variant="ntl[beta=1,cap=sample,kl_reduction=batchmean]")
    made = beside([f_s, long], figure())

    def references(width: int) -> list[str]:
        said = io.StringIO()
        compare_text.render(made, Console(file=said, width=width), "", "")
        lines = said.getvalue().split("\n")
        head = next(i for i, line in enumerate(lines) if line.rstrip().endswith("notes"))
        table = lines[head + 2 : lines.index("", head)]
        return [mark for line in table for mark in line[lines[head].index("notes") :].split()]

    assert references(80) == references(200) == ["a", "b", "c", "d", "1", "2"]


def test_json_has_every_figure_and_no_number_that_is_none(everything: list[Comparison]) -> None:
    made = json.loads(compare.to_json(everything, "about"), parse_constant=pytest.fail)
    assert made["about"] == "about"
    assert len(made["rows"]) == len(everything)
    first = next(row for row in made["rows"] if row["theirs"]["cite"].startswith("JailNTL") and row["ours"])
    assert (first["verdict"], first["ours"]["df"], first["theirs"]["pairs"]) == ("within", 2, ["cifar10:stl10"])
