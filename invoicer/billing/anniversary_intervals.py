"""Intervals that begin on anniversaries of the day a subscription was anchored on."""

import calendar
from datetime import date, timedelta
from typing import assert_never

from invoicer.billing.subscription_terms import Interval


def anniversary_interval(interval: Interval, anchor: date, day: date) -> tuple[date, date]:
    """First day of the anniversary interval containing `day`, and first day of the next.

    Bounds: an anchor day that a month lacks falls on the month's last day; every start is counted from the
            anchor itself, so a short month moves no later start. `day` may lie before the anchor.
    Source: Lago billing periods, anniversary intervals.
    """
    match interval:
        case Interval.weekly:
            first = day - timedelta(days=(day - anchor).days % 7)
            return first, first + timedelta(days=7)
        case Interval.monthly:
            return _month_steps(anchor, day, 1)
        case Interval.quarterly:
            return _month_steps(anchor, day, 3)
        case Interval.semiannual:
            return _month_steps(anchor, day, 6)
        case Interval.yearly:
            return _month_steps(anchor, day, 12)
        case _:
            assert_never(interval)


def _month_steps(anchor: date, day: date, months: int) -> tuple[date, date]:
    steps = ((day.year - anchor.year) * 12 + day.month - anchor.month) // months
    if _months_after(anchor, steps * months) > day:
        steps -= 1
    return _months_after(anchor, steps * months), _months_after(anchor, (steps + 1) * months)


def _months_after(anchor: date, months: int) -> date:
    year, month_index = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month_index + 1)[1]
    return date(year, month_index + 1, min(anchor.day, last_day))
