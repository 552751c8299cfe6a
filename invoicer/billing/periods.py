"""The time an invoice bills: periods of subscription fees and of usage charges."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from invoicer.billing.billing_days import interval_before, interval_containing
from invoicer.billing.local_days import day_start, local_day
from invoicer.billing.subscription_terms import Interval, SubscriptionTerms
from schemas.period import TimeRange

TIMEZONE_SHIFT_MAX = timedelta(hours=26)
"""Zones lie at most 26 hours apart (UTC−12 to UTC+14): a gap below that is a change of timezone."""


class PeriodEnd(StrEnum):
    """What the end of a period is."""

    day_boundary = "day_boundary"
    """The beginning of a local day; shown as the second before it."""
    instant = "instant"
    """A moment inside a day (a termination, a start); shown as it is."""


@dataclass(frozen=True)
class Period:
    """The instants t with `start <= t < end`, aware UTC.

    Bounds: `start == end` is an empty period, in which no usage lies.
    Raises: ValueError for a naive instant or an end before the start.
    """

    start: datetime
    end: datetime
    ends_at: PeriodEnd = PeriodEnd.day_boundary

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"naive instant in the period {self.start} to {self.end}")
        if self.end < self.start:
            raise ValueError(f"the period from {self.start} ends before that, at {self.end}")

    @property
    def display_end(self) -> datetime:
        """The inclusive end the API shows, in whole seconds: `…T23:59:59Z` for a local day, in UTC.

        Rounds: an end inside a day goes to the nearest second, half a second up.
        Source: Lago billing periods, vocabulary and subscription fee period.
        """
        if self.ends_at is PeriodEnd.day_boundary:
            return self.end - timedelta(seconds=1)
        return (self.end + timedelta(microseconds=500_000)).replace(microsecond=0)

    @property
    def time_range(self) -> TimeRange:
        """The same stretch of time, as usage is asked for."""
        return TimeRange(start=self.start, end=self.end)


def subscription_period(
    terms: SubscriptionTerms,
    billing_at: datetime,
    *,
    current: bool = False,
    periodic_invoice_issued: bool = False,
    previous_fee_end: datetime | None = None,
) -> Period:
    """The period of the subscription fee that an invoice of `billing_at` bills.

    `current`                  the period in progress at `billing_at`, not the one it bills.
    `periodic_invoice_issued`  whether the periodic invoice of the local day of termination exists already.
                               If not, a termination on a billing day bills the completed period, whole.
    `previous_fee_end`         end of the last period whose fee was invoiced. Where a change of timezone makes the
                               last day of a period in arrears come again, the period begins there: it is not
                               billed twice. Less than 26 h of overlap are left, so that a month stays whole.
    Bounds: begins no earlier than the local day of the start; ends at a termination not after `billing_at`.
    Source: Lago billing periods, subscription fee period; termination on a billing day.
    """
    at = _moment_looked_at(terms, billing_at, current=current)
    bills_interval_in_progress = current or terms.pay_in_advance
    dates = _interval_billed(
        terms, terms.interval, at, in_progress=bills_interval_in_progress, issued=periodic_invoice_issued
    )
    earliest = day_start(terms.started_on, terms.timezone)
    period = _clamp(terms, dates, at, earliest)
    if previous_fee_end is None or bills_interval_in_progress:
        return period
    comes_again = previous_fee_end - period.start >= TIMEZONE_SHIFT_MAX
    return replace(period, start=min(previous_fee_end, period.end)) if comes_again else period


def charges_period(
    terms: SubscriptionTerms,
    billing_at: datetime,
    *,
    current: bool = False,
    periodic_invoice_issued: bool = False,
    previous_charges_end: datetime | None = None,
) -> Period:
    """The period of the usage charges that an invoice of `billing_at` bills: always time gone by.

    `current`, `periodic_invoice_issued` as in `subscription_period`.
    `previous_charges_end`  end of the charges period invoiced before; when it lies after the computed start, or
                            less than 26 h before it (the timezone has changed), the period begins there: no
                            hole, no overlap.
    Bounds: begins no earlier than `started_at` to the microsecond; ends at a termination. A termination on a
            billing day without its periodic invoice bills the completed period: the usage between that
            day's beginning and the termination is in it only if the periodic invoice is issued first.
    Source: Lago billing periods, usage charge period; termination on a billing day.
    """
    at = _moment_looked_at(terms, billing_at, current=current)
    dates = _interval_billed(
        terms, terms.charges_interval, at, in_progress=current, issued=periodic_invoice_issued
    )
    period = _clamp(terms, dates, at, terms.started_at)
    if previous_charges_end is None or period.start - previous_charges_end >= TIMEZONE_SHIFT_MAX:
        return period
    return replace(period, start=min(previous_charges_end, period.end))


def subscription_duration_days(
    terms: SubscriptionTerms,
    billing_at: datetime,
    *,
    current: bool = False,
    periodic_invoice_issued: bool = False,
) -> int:
    """Days of the whole plan interval that `subscription_period` lies in, whatever it was clamped to."""
    at = _moment_looked_at(terms, billing_at, current=current)
    in_progress = current or terms.pay_in_advance
    return _duration_days(terms, terms.interval, at, in_progress=in_progress, issued=periodic_invoice_issued)


def charges_duration_days(
    terms: SubscriptionTerms,
    billing_at: datetime,
    *,
    current: bool = False,
    periodic_invoice_issued: bool = False,
) -> int:
    """Days of the whole charges interval that `charges_period` lies in, whatever it was clamped to.

    Source: Lago billing periods, charges duration.
    """
    at = _moment_looked_at(terms, billing_at, current=current)
    return _duration_days(terms, terms.charges_interval, at, in_progress=current, issued=periodic_invoice_issued)


def interval_in_progress(terms: SubscriptionTerms, at: datetime) -> Period:
    """The whole plan interval around `at`, clamped to nothing."""
    first, following = interval_containing(terms, local_day(at, terms.timezone))
    return Period(day_start(first, terms.timezone), day_start(following, terms.timezone))


def _moment_looked_at(terms: SubscriptionTerms, billing_at: datetime, *, current: bool) -> datetime:
    """A subscription still to come shows the period in progress at its start."""
    return max(billing_at, terms.started_at) if current else billing_at


def _interval_billed(
    terms: SubscriptionTerms, interval: Interval, at: datetime, *, in_progress: bool, issued: bool
) -> tuple[date, date]:
    """The interval an invoice of `at` bills: the one in progress, or the one completed before it.

    A terminated subscription is looked at on its last day, not on the day somebody bills it, so that an
    invoice made days later still bills the same period.
    """
    ended_at = terms.ended_at(at)
    day = local_day(at if ended_at is None else ended_at, terms.timezone)
    containing = interval_containing(terms, day, interval=interval)
    if ended_at is None:
        completed = not in_progress
    else:
        owed_whole = day == containing[0] and day > terms.started_on and not issued
        completed = owed_whole and not in_progress
    return interval_before(terms, day, interval=interval) if completed else containing


def _clamp(terms: SubscriptionTerms, dates: tuple[date, date], at: datetime, earliest: datetime) -> Period:
    first, following = dates
    start = max(day_start(first, terms.timezone), earliest)
    end, ends_at = day_start(following, terms.timezone), PeriodEnd.day_boundary
    ended_at = terms.ended_at(at)
    if ended_at is not None and end > ended_at:
        end, ends_at = ended_at, PeriodEnd.instant
    if end <= terms.started_at:
        end, ends_at = terms.started_at, PeriodEnd.instant
    return Period(start, end, ends_at)


def _duration_days(
    terms: SubscriptionTerms, interval: Interval, at: datetime, *, in_progress: bool, issued: bool
) -> int:
    first, _ = _interval_billed(terms, interval, at, in_progress=in_progress, issued=issued)
    begins, ends = interval_containing(terms, max(first, terms.started_on), interval=interval)
    return (ends - begins).days
