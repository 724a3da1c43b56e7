"""What a person writes for pairs, one by one or in families, is what is trained; a mistake is one line."""

from __future__ import annotations

import pytest

from suites import SuiteError, pairs

PLAIN = ["uci", "print", "street"]
MARKED = [*PLAIN, *(f"{d}@wm80" for d in PLAIN)]


def read(text, among=MARKED):
    return pairs.read(text, among, "mine")


def test_a_pair_a_union_and_all_others():
    assert read("uci:print") == [("uci", ("print",))]
    assert read("uci:street+print") == read("uci:print+street") == [("uci", ("print", "street"))]
    assert read("uci:*", PLAIN) == [("uci", ("print", "street"))]
    assert read("uci@wm80:*") == [("uci@wm80", ("print", "print@wm80", "street", "street@wm80", "uci"))]


def test_families():
    assert read("all", PLAIN) == read("all") == [(a, (b,)) for a in PLAIN for b in PLAIN if a != b]
    assert read("all-at-once", PLAIN) == [(d, tuple(sorted({*PLAIN} - {d}))) for d in PLAIN]
    assert read("ownership") == [(d, (f"{d}@wm80",)) for d in PLAIN]
    assert read("authorisation") == [(f"{d}@wm80", tuple(sorted({*MARKED} - {f"{d}@wm80"}))) for d in PLAIN]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uci", "cannot read pair 'uci': write source:target, a union as source:a+b or source:*, or all, all-at-once"),
        ("uci:", "cannot read pair 'uci:'"),
        ("all-at-onec", "cannot read pair 'all-at-onec'"),
        ("uci:prin", "pair 'uci:prin': mine has no domain 'prin'; did you mean 'print'?"),
        ("uci:mnist", "pair 'uci:mnist': mine has no domain 'mnist'; it has uci, print, street"),
        ("uci:print+", "pair 'uci:print+': mine has no domain ''"),
        ("*:uci", "pair '*:uci': mine has no domain '*'"),
        ("uci:uci", "pair 'uci:uci' names a domain twice"),
        ("uci:print+print", "pair 'uci:print+print' names a domain twice"),
        ("uci:uci@wm80", "mine has no domain 'uci@wm80'; add `watermarks: [80]` to the grid's part"),
        ("uci:uci@wm999", "cannot read the watermark of 'uci@wm999'; write uci@wmV, V from 1 to 255"),
        ("uci:foo@wm80", "unknown domain 'foo'"),
        ("ownership", "pairs 'ownership': mine has no watermark domains; add `watermarks: [80]` to the grid's part"),
    ],
)
def test_a_mistake_is_one_line(text, message):
    with pytest.raises(SuiteError) as error:
        read(text, PLAIN)
    assert message in str(error.value) and "\n" not in str(error.value)
