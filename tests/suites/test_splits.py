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


@pytest.mark.parametrize(
    ("n", "train", "held"),
    [
        (60_000, 8000, 1000), (10_000, 8000, 1000), (7291, 5832, 729), (2427, 1941, 242), (4365, 3492, 436),
        (4439, 3551, 443), (4357, 3485, 435), (1670, 1336, 167), (2048, 1638, 204), (2344, 1875, 234),
        (3929, 3143, 392), (3376, 2700, 337), (1415, 1132, 141), (2656, 2124, 265), (3282, 2625, 328),
        (9736, 7788, 973), (3970, 3176, 397), (5883, 4706, 588), (4741, 3792, 474),
    ],
)  # fmt: skip
def test_sizes_are_ntlbenchs_with_the_attacker_cut_from_train(n: int, train: int, held: int) -> None:
    sizes = splits.sizes("ntlbench", n)
    assert sizes["train"] + sizes["attacker"] == train and sizes["attacker"] == train // 10
    assert sizes["val"] == sizes["test"] == held


def test_other_sizes() -> None:
    assert splits.sizes("ntlbench", 60_000) == {"train": 7200, "attacker": 800, "val": 1000, "test": 1000}
    assert splits.sizes("legacy5k", 7291) == {"train": 4500, "attacker": 500, "val": 1000, "test": 1000}
    assert splits.sizes("ntlbench", 60_000, capped=False) == {
        "train": 43_200, "attacker": 4800, "val": 6000, "test": 6000,
    }  # fmt: skip
    with pytest.raises(SuiteError, match="legacy5k takes 7,000 images, and there are 6,999: use ntlbench"):
        splits.sizes("legacy5k", 6999)


def test_images_are_dealt_by_name_and_nothing_else() -> None:
    ids = [f"{i:04d}.png" for i in range(500)]
    labels = [i % 7 for i in range(500)]

    def named(order: list[int], salt: tuple[object, ...] = ("d", 0), **more: int) -> dict[str, list[str]]:
        shown = [ids[i] for i in order]
        parts = splits.deal(shown, [labels[i] for i in order], "ntlbench", salt, **more)
        return {part: [shown[i] for i in held] for part, held in parts.items()}

    forwards = named(list(range(500)))
    assert named(list(reversed(range(500)))) == forwards  # a folder listed in another order
    assert [len(forwards[part]) for part in splits.PARTS] == [360, 40, 50, 50]
    assert len({name for held in forwards.values() for name in held}) == 500
    assert named(list(range(500)), ("e", 0)) != forwards != named(list(range(500)), ("d", 1))
    few = [labels[ids.index(name)] for held in named(list(range(500)), per_class=20).values() for name in held]
    assert sorted(few) == sorted(list(range(7)) * 20)
    # of each class the first in the order that all are dealt in, whatever else there is
    order = splits.shuffled(ids, "d", 0)
    first = {name for label in range(7) for name in [n for n in order if labels[ids.index(n)] == label][:20]}
    assert {name for held in named(list(range(500)), per_class=20).values() for name in held} == first


def test_what_cannot_be_dealt_is_refused() -> None:
    with pytest.raises(SuiteError, match="d: 9 images are too few: none would be left for val"):
        splits.deal([str(i) for i in range(9)], [0] * 9, "ntlbench", ("d", 0))
    with pytest.raises(SuiteError, match="d: an id occurs twice"):
        splits.deal(["a", "a"], [0, 0], "ntlbench", ("d", 0))
