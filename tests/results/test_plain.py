"""Text out of records is the same where it can be read, and shows what it holds where not."""

from __future__ import annotations

import json

import pytest

from results.plain import plain, plain_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sa-map[cap=sample,lam=0.5] · ±0.01 – naïve 中文", "sa-map[cap=sample,lam=0.5] · ±0.01 – naïve 中文"),
        ("", ""),
        ("two\nlines\r\nand\ta\u2028tab\xa0", "two lines  and a tab "),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b2J\x00\x7f", r"\x9b2J\x00\x7f"),
        ("a\u200bb\u202ec\u2066d\ufeff", r"a\u200bb\u202ec\u2066d\ufeff"),
        ("no\udcff.png", r"no\udcff.png"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_acts_or_hides_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain(text).isprintable()


def test_json_says_the_same_in_printable_characters() -> None:
    said = {"na\x1bme": ["two\nlines", "\x9b2J", "a\u202eb", "\udcff", "\U000e0041", "中文 \\ \x7f"], "n": -0.5}
    text = plain_json(json.dumps(said, ensure_ascii=False, indent=1))
    assert json.loads(text) == said
    assert all(line.isprintable() for line in text.split("\n")) and "中文" in text
