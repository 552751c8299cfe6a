"""Percentiles and schedules of the benchmark."""

import pytest

from tests.bench.latency import due_at, median, percentile


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(1, 10.0), (20, 10.0), (20.1, 20.0), (50, 30.0), (99, 50.0), (100, 50.0)],
)
def test_percentile_of_five_values_is_the_nearest_rank(percent: float, expected: float) -> None:
    """The smallest value that so many of them do not exceed, whatever their order."""
    assert percentile([30.0, 10.0, 50.0, 20.0, 40.0], percent) == expected


def test_percentile_99_of_a_hundred_values_leaves_the_worst_out() -> None:
    """One outlier in a hundred is beyond the 99th percentile, two are not."""
    assert percentile([1.0] * 99 + [500.0], 99) == 1.0
    assert percentile([1.0] * 98 + [500.0] * 2, 99) == 500.0


def test_median_of_an_even_count_is_the_lower_middle() -> None:
    """Nearest rank, as every percentile here."""
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.0


def test_due_at_spaces_requests_evenly() -> None:
    """Request 30 of 20 a second is due one and a half seconds after the start."""
    assert due_at(100.0, 30, 20) == 101.5
