"""Intervals that begin with the calendar: Mondays, months, quarters, half-years, years."""

from datetime import date, timedelta
from typing import assert_never

from invoicer.billing.subscription_terms import Interval


def calendar_interval(interval: Interval, day: date) -> tuple[date, date]:
    """First day of the calendar interval containing `day`, and first day of the next.

    Source: Lago billing periods, calendar intervals.
    """
    match interval:
        case Interval.weekly:
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case Interval.monthly:
            return _month_group(day, 1)
        case Interval.quarterly:
            return _month_group(day, 3)
        case Interval.semiannual:
            return _month_group(day, 6)
        case Interval.yearly:
            return _month_group(day, 12)
        case _:
            assert_never(interval)


def _month_group(day: date, months: int) -> tuple[date, date]:
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    return first, date(first.year + (first.month + months > 12), (first.month + months - 1) % 12 + 1, 1)
