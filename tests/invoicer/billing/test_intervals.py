"""Intervals of the calendar and of anniversaries."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.billing.anniversary_intervals import anniversary_interval
from invoicer.billing.calendar_intervals import calendar_interval
from invoicer.billing.subscription_terms import Interval

D = date.fromisoformat
DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))


@pytest.mark.parametrize(
    ("interval", "day", "first", "following"),
    [
        ("weekly", "2022-03-06", "2022-02-28", "2022-03-07"),
        ("weekly", "2022-03-07", "2022-03-07", "2022-03-14"),
        ("monthly", "2024-02-29", "2024-02-01", "2024-03-01"),
        ("monthly", "2022-12-31", "2022-12-01", "2023-01-01"),
        ("quarterly", "2022-03-31", "2022-01-01", "2022-04-01"),
        ("quarterly", "2022-12-01", "2022-10-01", "2023-01-01"),
        ("semiannual", "2022-06-30", "2022-01-01", "2022-07-01"),
        ("semiannual", "2022-07-01", "2022-07-01", "2023-01-01"),
        ("yearly", "2024-12-31", "2024-01-01", "2025-01-01"),
    ],
)
def test_calendar_interval_contains_its_day(interval: str, day: str, first: str, following: str) -> None:
    """Weeks run from Monday, the longer intervals from the first of their first month."""
    assert calendar_interval(Interval(interval), D(day)) == (D(first), D(following))


@pytest.mark.parametrize(
    ("interval", "anchor", "day", "first", "following"),
    [
        ("weekly", "2021-02-02", "2022-03-07", "2022-03-01", "2022-03-08"),
        ("weekly", "2021-02-02", "2022-03-08", "2022-03-08", "2022-03-15"),
        ("monthly", "2021-02-02", "2022-03-01", "2022-02-02", "2022-03-02"),
        ("monthly", "2021-02-02", "2020-12-25", "2020-12-02", "2021-01-02"),
        ("quarterly", "2021-11-30", "2022-02-27", "2021-11-30", "2022-02-28"),
        ("quarterly", "2021-11-30", "2022-02-28", "2022-02-28", "2022-05-30"),
        ("semiannual", "2021-08-31", "2022-03-01", "2022-02-28", "2022-08-31"),
        ("yearly", "2020-02-29", "2022-02-27", "2021-02-28", "2022-02-28"),
        ("yearly", "2020-02-29", "2024-02-28", "2023-02-28", "2024-02-29"),
        ("yearly", "2020-02-29", "2024-02-29", "2024-02-29", "2025-02-28"),
    ],
)
def test_anniversary_interval_contains_its_day(
    interval: str, anchor: str, day: str, first: str, following: str
) -> None:
    """Intervals begin on the anchor's day, or on the last day of a month that lacks it."""
    assert anniversary_interval(Interval(interval), D(anchor), D(day)) == (D(first), D(following))


@pytest.mark.parametrize(
    ("year", "starts"),
    [
        (2022, ["2022-01-31", "2022-02-28", "2022-03-31", "2022-04-30", "2022-05-31"]),
        (2024, ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]),
    ],
)
def test_anniversary_of_the_31st_after_a_short_month_returns_to_the_31st(year: int, starts: list[str]) -> None:
    """A short month moves no later start: the anchor never drifts."""
    day, seen = date(year, 1, 31), []
    for _ in starts:
        first, day = anniversary_interval(Interval.monthly, D("2021-10-31"), day)
        seen.append(first.isoformat())
    assert seen == starts


@given(anchor=DAYS, day=DAYS, interval=st.sampled_from(Interval))
def test_anniversary_interval_holds_its_day_and_meets_its_neighbours(
    anchor: date, day: date, interval: Interval
) -> None:
    """Every day lies in exactly one interval, and the next begins where it ends."""
    first, following = anniversary_interval(interval, anchor, day)
    assert first <= day < following
    assert anniversary_interval(interval, anchor, following - timedelta(days=1)) == (first, following)
    assert anniversary_interval(interval, anchor, following)[0] == following


@given(day=DAYS, interval=st.sampled_from(Interval))
def test_calendar_interval_holds_its_day_and_meets_its_neighbours(day: date, interval: Interval) -> None:
    """Every day lies in exactly one interval, and the next begins where it ends."""
    first, following = calendar_interval(interval, day)
    assert first <= day < following
    assert calendar_interval(interval, following - timedelta(days=1)) == (first, following)
    assert calendar_interval(interval, following)[0] == following


@given(anchor=DAYS, day=DAYS, longer=st.sampled_from([Interval.semiannual, Interval.yearly]))
def test_anniversary_months_of_an_anchor_begin_its_longer_intervals_too(
    anchor: date, day: date, longer: Interval
) -> None:
    """Months cut half-years and years without remainder, so that monthly charges never straddle two of them."""
    first, following = anniversary_interval(longer, anchor, day)
    months = [first]
    while months[-1] < following:
        months.append(anniversary_interval(Interval.monthly, anchor, months[-1])[1])
    assert months[-1] == following
    assert all(start < end for start, end in pairwise(months))
