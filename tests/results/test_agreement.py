"""McNemar's test on kept predictions."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy.stats import binom

from results.agreement import Answers, disagreement, mcnemar


def kept(predicted: list[int], label: list[int], index: list[int] | None = None) -> pd.DataFrame:
    n = len(predicted)
    return pd.DataFrame(
        {
            "domain": ["uci"] * n,
            "part": ["test"] * n,
            "index": index or range(n),
            "label": label,
            "predicted": predicted,
        }
    )


def test_counts_are_of_the_images_that_both_were_scored_on() -> None:
    a = kept([1, 1, 0, 2, 5], [1, 1, 1, 1, 5])
    b = kept([1, 0, 1, 3, 5], [1, 1, 1, 1, 5], index=[0, 1, 2, 3, 9])
    assert disagreement(a, b) == Answers(both=1, a_only=1, b_only=1, neither=1)


def test_other_images_are_an_error() -> None:
    with pytest.raises(ValueError, match="not scored on the same images"):
        disagreement(kept([1], [1]), kept([1], [2]))


def test_the_exact_p() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(7, 7) == 1.0
    assert mcnemar(1, 9) == pytest.approx(2 * binom.cdf(1, 10, 0.5))
    assert mcnemar(9, 1) == mcnemar(1, 9)
