"""Splits are named by content, not by listing order, and a leak is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from suites import SuiteError, splits
from suites.domains import Item

SIZES = {"train": 5, "attacker": 2, "val": 2, "test": 3}


def parts(**origins):
    return {p: [Item(f"{p}-{i}", 0, None, {"font": origins.get(p, p)}) for i in range(2)] for p in splits.PARTS}


def test_order_of_listing_does_not_count():
    names = [f"img{i}.png" for i in range(40)]
    assert splits.shuffled(names, 0) == splits.shuffled(reversed(names), 0) != splits.shuffled(names, 1)


def test_random_choices_are_the_same_in_another_process():
    code = "from suites import splits; print(splits.shuffled('abcdef', 3), splits.rng('x', 1).integers(10**9))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert other.stdout.strip() == f"{splits.shuffled('abcdef', 3)} {splits.rng('x', 1).integers(10**9)}"


def test_names_are_kept_apart():
    assert splits.digest("a", "bc") != splits.digest("ab", "c")


@pytest.mark.parametrize("offset", [0, 9])
def test_cut_makes_disjoint_blocks_of_a_circle(offset):
    dealt = splits.cut(range(12), SIZES, offset)
    assert {part: len(block) for part, block in dealt.items()} == SIZES
    assert [i for part in splits.PARTS for i in dealt[part]] == [(i + offset) % 12 for i in range(12)]


def test_cut_refuses_more_than_there_is():
    with pytest.raises(SuiteError, match="do not fit into 11 images"):
        splits.cut(range(11), SIZES)


def test_check_accepts_a_clean_split():
    splits.check("d", parts(attacker="train", test="val"), alone=(), halves=("font",))


@pytest.mark.parametrize(
    ("split", "alone", "halves", "message"),
    [
        (parts() | {"test": parts()["train"]}, (), (), "image train-0 is in the split twice"),
        (parts(val="train"), (), ("font",), "font train leaks from fitting into scoring"),
        (parts(attacker="train"), ("font",), (), "font train leaks from train into attacker"),
        ({"train": [], "test": []}, (), (), "a domain has train, attacker, val, test"),
    ],
)
def test_check_refuses_leaks(split, alone, halves, message):
    with pytest.raises(SuiteError, match=message):
        splits.check("d", split, alone, halves)
