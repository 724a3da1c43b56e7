"""Variants by their names: what is meant by what was typed, and which two may be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from results import StoreError, tables, variants
from results.variants import Variant
from tests.results.conftest import train
from tests.results.duel import model, written

BOTH, FREE = "labelled source, labelled target", "no source, unlabelled target"
BLIND = "labelled source, no target"


def there(tmp_path: Path, *models: tuple[str, dict[str, Any]]) -> list[Variant]:
    """Variants of one setting, each with a model of a:b."""
    f_s = train()
    records = [f_s, *(model(f_s, name, "b", **facts) for name, facts in models)]
    return variants.known(tables.read(written(tmp_path, records, kept=False), "cells").to_pandas())


@pytest.fixture
def some(tmp_path: Path) -> list[Variant]:
    """cut as described and tuned, ntl tuned alone, mask in two settings, gate, which is a control, and two starts."""
    return there(
        tmp_path, ("cut", {}), ("cut[cap=sample,lam=1]", {"tuned": True}), ("ntl[lam=2]", {"tuned": True}),
        ("mask[cap=sample]", {}), ("mask[lam=3]", {}), ("gate", {"control": True, "scenario": FREE}),
        ("twin", {}), ("twin", {"start": "init"}), ("same", {"tuned": True}), ("late", {"start": "init"}),
        ("cut-free", {"scenario": FREE}), ("gate-blind", {"control": True, "scenario": BLIND}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("cut", "cut"),  # as described, though there are other settings of it
        ("cut[cap=sample,lam=1]", "cut[cap=sample,lam=1]"),
        ("cut[ lam = 1.0, cap=sample ]", "cut[cap=sample,lam=1]"),  # as somebody types it
        ("cut[tuned]", "cut[cap=sample,lam=1]"),
        ("cut[lam=0.1]", "cut"),  # the default, said
        ("cut[lam=.1,cap=batch]", "cut"),
        ("ntl", "ntl[lam=2]"),  # the only one of the method
        ("ntl[tuned]", "ntl[lam=2]"),
        ("ntl[lam=2,cap=batch]", "ntl[lam=2]"),
        ("same[tuned]", "same"),  # the search settled on the defaults
        ("late (init)", "late (init)"),
        ("late", "late (init)"),
        ("twin (source)", "twin"),
        ("twin (init)", "twin (init)"),
    ],
)
def test_a_name_stands_for_a_variant(some: list[Variant], typed: str, name: str) -> None:
    (found,) = variants.find(some, typed, "runs/x").values()
    assert found.name == name


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("mask", "'mask' stands for several variants of runs/x: write one of 'mask[cap=sample]', 'mask[lam=3]'"),
        ("twin", "'twin' stands for several variants of runs/x: write one of 'twin (init)', 'twin (source)'"),
        ("cuti", "runs/x has no variant 'cuti': did you mean 'cut'? there are cut, cut[cap=sample,lam=1], "),
        ("ntl[lam=3]", "runs/x has no variant 'ntl[lam=3]': did you mean 'ntl[lam=2]'? there are "),
        ("maks[lam=3]", "runs/x has no variant 'maks[lam=3]': did you mean 'mask[lam=3]'? there are "),
        ("cut[lam=1]", "runs/x has no variant 'cut[lam=1]': did you mean 'cut"),  # cap=sample is not what was asked
        ("mask[tuned]", "runs/x has no variant 'mask[tuned]': did you mean 'mask[cap=sample]'? there are "),
        ("cut (init)", "runs/x has no variant 'cut (init)': "),
        ("xyzzy", "runs/x has no variant 'xyzzy': there are cut, "),
        ("", "runs/x has no variant '': there are cut, "),
    ],
)
def test_a_name_that_stands_for_none_or_several_is_one_line(some: list[Variant], typed: str, message: str) -> None:
    with pytest.raises(StoreError) as raised:
        variants.find(some, typed, "runs/x")
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_tuned_settings_of_another_suite_are_another_variant_there(tmp_path: Path) -> None:
    one, other = train(), train(spec={"suite": "toys"})
    other["cell"]["suite"] = "toys"
    models = [model(one, "ntl[lam=2]", "b", tuned=True), model(other, "ntl[lam=3]", "b", tuned=True)]
    found = variants.known(
        tables.read(written(tmp_path, [one, other, *models], kept=False), "cells").to_pandas()
    )  # fmt: skip
    assert {v.suite: v.name for v in variants.find(found, "ntl[tuned]", "it").values()} == {
        "toy": "ntl[lam=2]", "toys": "ntl[lam=3]",
    }  # fmt: skip
    assert list(variants.find(found, "ntl[lam=3]", "it")) == [("toys", 0, "test", "net")]


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ("cut", "mask[lam=3]", ""),
        ("cut", "cut", "cut and cut are the same variant: name another"),
        ("ntl", "cut[tuned]", ""),
        ("ntl", "cut", "ntl[lam=2] is tuned and cut is not tuned: settings that were searched for are never compared"),
        ("cut", "same", ""),  # is both
        ("ntl", "same", ""),
        ("cut", "cut-free", "cut may touch labelled source, labelled target, cut-free no source, unlabelled target: "),
        ("gate", "cut", ""),
        ("cut-free", "gate", ""),
        ("gate", "ntl", ""),  # a control beside tuned settings too
        ("gate-blind", "cut", ""),
        ("gate-blind", "cut-free", "gate-blind touches labelled source, no target: the scenario of cut-free, "),
        ("cut-free", "gate-blind", "gate-blind touches labelled source, no target: the scenario of cut-free, "),
    ],
)
def test_scenarios_and_searched_settings_are_never_mixed(some: list[Variant], a: str, b: str, why: str) -> None:
    (one,), (other,) = (variants.find(some, name, "it").values() for name in (a, b))
    said = variants.obstacle(one, other)
    assert said.startswith(why) and bool(said) == bool(why)
    assert "\n" not in said


def test_the_scenario_beside_a_control_is_the_methods(some: list[Variant]) -> None:
    by_name = {one.name: one for one in some}
    cut, gate = by_name["cut"], by_name["gate"]
    assert variants.scenario(cut, gate) == variants.scenario(gate, cut) == BOTH


def test_failed_cells_are_variants_too_and_superseded_ones_are_not(tmp_path: Path) -> None:
    old, new = train(spec={"protocol": 1}), train(spec={"protocol": 2})
    records = [old, model(old, "gone", "b"), new, model(new, "cut", "b", status="failed", error="x")]
    records[1]["spec"]["method"] = records[3]["spec"]["method"]  # the same cell of an older version
    found = variants.known(tables.read(written(tmp_path, records, kept=False), "cells").to_pandas())
    assert [one.name for one in found] == ["cut"]
