"""A key is computed from a spec wherever results are read, and is the one that the harness gave the cell."""

from __future__ import annotations

import json

import pytest

from harness import cells
from results import keys

SPEC = {"b": [1, 2.5, None, True], "a": {"y": "ü", "x": 1e-4}}


def test_the_harness_and_whoever_verifies_have_one_function() -> None:
    assert cells.key_of is keys.key_of
    assert keys.key_of(SPEC) == "989d10826dce74f4b97033133f9401f138e66de0cad7d17f794feab6a524daf8"


def test_a_spec_that_was_written_down_and_read_again_has_the_same_key() -> None:
    assert keys.key_of(json.loads(json.dumps(SPEC, sort_keys=True))) == keys.key_of(SPEC)


def test_nan_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        keys.key_of({"lr": float("nan")})
