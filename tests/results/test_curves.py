"""A curve thinned or drawn as text still shows where it begins, ends, and how far it goes."""

from __future__ import annotations

import math
import random

import pytest

from results import curves


def test_what_is_no_number_is_none_and_a_curve_of_nothing_is_left_out() -> None:
    record = {"curves": {"loss": [1, 0.5, None, math.nan, math.inf], "empty": [], "ce": [2.0]}}
    assert curves.of(record) == {"loss": [1.0, 0.5, None, None, None], "ce": [2.0]}
    assert curves.of({"curves": None}) == curves.of({}) == {}


@pytest.mark.parametrize("count", [1, 24, 25, 100, 1001])
@pytest.mark.parametrize("points", [4, 7, 24])
def test_a_thinned_curve_keeps_its_ends_and_extremes_in_order(count: int, points: int) -> None:
    rng = random.Random(count)
    line = [rng.random() for _ in range(count)]
    thin, places = curves.thin(line, points), curves.kept(line, points)
    assert thin == [line[place] for place in places]
    assert places == sorted(set(places))
    assert len(thin) == min(count, points) or count > points > len(thin) >= points // 2
    assert (thin[0], thin[-1], min(thin), max(thin)) == (line[0], line[-1], min(line), max(line))
    if count <= points:
        assert thin == line


def test_a_peak_of_one_epoch_survives() -> None:
    line = [0.0] * 500
    line[321], line[77] = 9.0, -9.0
    assert {9.0, -9.0} <= set(curves.thin(line))


def test_a_curve_measured_every_fifth_epoch_keeps_what_was_measured() -> None:
    line = [float(i) if i % 5 == 4 else None for i in range(500)]
    thin = curves.thin(line)
    assert sum(value is not None for value in thin) >= 22  # all but, at most, the first two
    assert thin[-1] == 499.0


def test_a_gap_stays_a_gap() -> None:
    line: curves.Curve = [float(i) for i in range(50)] + [None] * 50
    thin = curves.thin(line)
    assert thin[-1] is None and thin[0] == 0.0
    assert 8 <= sum(value is None for value in thin) <= 14
    assert curves.thin([None] * 100) == [None] * 24


def test_fewer_points_than_a_curve_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="4 points or more, not to 3"):
        curves.thin([1.0] * 10, 3)


def test_ends_are_of_what_was_measured() -> None:
    assert curves.ends([None, 3.0, 1.0, 2.0, None]) == {"first": 3.0, "last": 2.0, "min": 1.0, "max": 3.0}
    assert curves.ends([None]) == {"first": None, "last": None, "min": None, "max": None}


def test_a_spark_goes_from_its_lowest_to_its_highest() -> None:
    assert curves.spark([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == "▁▂▃▄▅▆▇█"
    assert curves.spark([1.0, None, -1.0]) == "█ ▁"
    assert curves.spark([5.0, 5.0]) == "▅▅"
    assert curves.spark([None, None]) == "  "
    assert len(curves.spark([float(i) for i in range(600)], 40)) <= 40
