"""Keys: the same meaning gives the same key, on any machine, for ever."""

from __future__ import annotations

import pytest

from harness.cells import canonical, key_of, stable_seed


def test_key_is_pinned() -> None:
    """Golden: when this fails, every result anyone has becomes another cell. Bump PROTOCOL on purpose only."""
    spec = {"b": [1, 2.5, None, True], "a": {"y": "ü", "x": 1e-4}}
    assert canonical(spec) == '{"a":{"x":0.0001,"y":"ü"},"b":[1,2.5,null,true]}'
    assert key_of(spec) == "989d10826dce74f4b97033133f9401f138e66de0cad7d17f794feab6a524daf8"


def test_order_does_not_matter_and_meaning_does() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1, "b": 2}) != key_of({"a": 1, "b": 3})


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError):
        key_of({"lr": float("nan")})


def test_seed_is_pinned_and_positive() -> None:
    assert stable_seed("init", "convnet", 0) == 2895066123477721957
    assert stable_seed("a", 1) != stable_seed("a", 2)
    assert 0 <= stable_seed("x") < 2**63
