"""A param of text becomes part of a variant's name: it can be printed, or it is refused."""

from __future__ import annotations

import pytest

from harness import UsageError
from harness.params import typed

TEXT = {"name": "head", "type": "str", "choices": None, "optional": False}


@pytest.mark.parametrize("raw", ["a\x1b[2Jb", "two\nlines", "a\u202eb", "a\u200bb", "tab\t"])
def test_text_that_cannot_be_printed_is_refused(raw: str) -> None:
    with pytest.raises(UsageError) as caught:
        typed(TEXT, raw, "command line: param head of mine")
    assert str(caught.value) == f"command line: param head of mine must be text that can be printed, got {raw!r}"
    assert str(caught.value).isprintable()


def test_other_text_is_taken_as_it_is() -> None:
    assert typed(TEXT, "$\\input{x} é 中", "x") == "$\\input{x} é 中"
