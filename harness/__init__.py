"""Decides what runs, where and when: the only room that knows Ray and MLflow.

`harness.run("digits-mini")` is the Python twin of `mapbench run digits-mini`.
"""

from __future__ import annotations

from typing import Any


class UsageError(ValueError):
    """A mistake of the user's: one line that says what, where and what to do (exit code 2)."""


def run(target: str, **options: Any) -> int:
    """Run a suite or grid file as `mapbench run` does; returns its exit code (see design: 0, 2, 3)."""
    from harness.api import run as _run

    return _run(target, **options)
