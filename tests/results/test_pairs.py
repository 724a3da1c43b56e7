"""What a pair is called, whether it counts, and who judges that: the suite file where it speaks, else the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from results import pairs

DOMAINS = ["uci", "print", "street"]
LIST = {"eligible": ["uci:print"], "twins": ["uci:print"]}


def cell(targets: list[str], **changed: Any) -> dict[str, Any]:
    return {"source": "uci", "targets": targets, "domains": DOMAINS} | changed


@pytest.mark.parametrize(
    ("targets", "name", "blocked"),
    [
        (["print"], "uci:print", ["print"]),
        (["street", "print"], "uci:*", ["street", "print"]),
        ([], "uci", ["print", "street"]),
    ],
)
def test_a_pair_is_called_as_it_was_asked_for(targets: list[str], name: str, blocked: list[str]) -> None:
    assert (pairs.name(cell(targets)), pairs.targets(cell(targets))) == (name, blocked)
    arrays = cell(np.array(targets, dtype=object), domains=np.array(DOMAINS, dtype=object))  # as a table gives it back
    assert (pairs.name(arrays), pairs.targets(arrays)) == (name, blocked)


def test_a_union_of_some_and_the_one_other_domain_of_two_are_named_in_full() -> None:
    assert pairs.name(cell(["a", "b"], domains=["uci", "a", "b", "c"])) == "uci:a+b"
    assert pairs.name(cell(["print"], domains=["uci", "print"])) == "uci:print"


def test_a_list_of_plain_domains_says_nothing_of_watermark_domains() -> None:
    assert pairs.frozen(LIST, "uci", "print") is True
    assert pairs.frozen(LIST, "uci", "street") is False
    assert pairs.frozen(LIST, "uci", "uci@wm80") is None
    assert pairs.frozen({"eligible": ["uci:uci@wm80"]}, "uci", "uci@wm80") is True
    assert pairs.frozen({"eligible": []}, "uci", "print") is None


def test_a_patch_makes_twins() -> None:
    assert pairs.twin(LIST, "uci", "uci@wm80") and pairs.twin(LIST, "uci@wm20", "print@wm80")
    assert not pairs.twin(LIST, "uci", "street@wm80")


def test_each_pair_is_judged_by_the_list_where_that_speaks_of_it_and_else_by_the_rule() -> None:
    plain, marked, unknown = ("uci", "print"), ("uci", "uci@wm80"), ("uci", "street@wm80")
    assert pairs.eligible({plain}, LIST, set()) == ({plain}, "frozen")
    assert pairs.eligible({plain, marked, unknown}, LIST, {marked}) == ({plain, marked}, "both")
    assert pairs.eligible({marked, unknown}, LIST, {marked}) == ({marked}, "computed")


def test_the_rule_asks_for_a_third_of_the_way_from_chance_on_the_mean_of_seeds() -> None:
    place = {"suite": "s", "split_seed": 0, "score": "test", "backbone": "b", "source": "uci", "current": True}
    known = {"print": (0.39, 0.41), "street": (0.39, 0.40)}
    rows = [
        {**place, "target": target, "seed": seed, "classes": 10, "target_before_balanced": value}
        for target, values in known.items()
        for seed, value in enumerate(values)
    ]
    assert pairs.by_rule(pd.DataFrame(rows)) == {("s", 0, "test", "b"): {("uci", "print")}}


def test_the_rule_goes_by_val_where_that_is_known() -> None:
    """On the part that is scored f_s knows the one target well and the other not; on val it is the other way round."""
    place = {"suite": "s", "split_seed": 0, "score": "test", "backbone": "b", "source": "uci", "current": True}
    known = {"print": (0.9, 0.3), "street": (0.3, 0.9), "uci-m": (0.9, None)}
    rows = [
        {**place, "target": target, "seed": 0, "classes": 10, "target_before_balanced": test, "target_before_val": val}
        for target, (test, val) in known.items()
    ]
    assert pairs.by_rule(pd.DataFrame(rows)) == {("s", 0, "test", "b"): {("uci", "street"), ("uci", "uci-m")}}
