"""Whether two trained models answer alike: McNemar's test on the predictions that were kept for each scored image.

    python -m pytest tests/results/test_agreement.py

It speaks of these two models on these images and of nothing else: another seed is another model, and what methods do is
measured over train cells (results/paired.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

IMAGE = ["domain", "part", "index"]  # an image of a suite's split


class Answers(NamedTuple):
    """On how many images both models are right, only one of them, and neither."""

    both: int
    a_only: int
    b_only: int
    neither: int


def disagreement(a: pd.DataFrame, b: pd.DataFrame) -> Answers:
    """Counts over the images that both were scored on.

    `a`, `b`: kept predictions, one row per image: domain, part, index, label, predicted. ValueError where an image has
    two labels: then the two were not scored on the same data.
    """
    joined = a.merge(b, on=IMAGE, suffixes=("_a", "_b"), validate="one_to_one")
    if not (joined["label_a"] == joined["label_b"]).all():
        raise ValueError("the labels of the two differ: they were not scored on the same images")
    right_a = (joined["predicted_a"] == joined["label_a"]).to_numpy()
    right_b = (joined["predicted_b"] == joined["label_b"]).to_numpy()
    counts = ((right_a & right_b), (right_a & ~right_b), (~right_a & right_b), ~(right_a | right_b))
    return Answers(*(int(some.sum()) for some in counts))


def mcnemar(a_only: int, b_only: int) -> float:
    """Exact two-sided p of McNemar's test: only images that one model alone gets right speak; without any it is 1."""
    from scipy.stats import binomtest

    return float(binomtest(a_only, a_only + b_only).pvalue) if a_only + b_only else 1.0
