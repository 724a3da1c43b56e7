"""The one exception of this package: a mistake a person can mend, said in one line (exit code 2)."""

from __future__ import annotations


class SuiteError(ValueError):
    """What is wrong, where, and what to do. Several mistakes found at once are joined by newlines, one line each."""
