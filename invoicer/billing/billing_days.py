"""The intervals of a subscription, and the local days on which it is billed."""

from datetime import date, datetime, timedelta
from typing import assert_never

from invoicer.billing.anniversary_intervals import anniversary_interval
from invoicer.billing.calendar_intervals import calendar_interval
from invoicer.billing.local_days import ONE_DAY, day_start, local_day
from invoicer.billing.subscription_terms import BillingTime, Interval, SubscriptionTerms


def interval_containing(
    terms: SubscriptionTerms, day: date, *, interval: Interval | None = None
) -> tuple[date, date]:
    """First day of the interval that contains the local `day`, and first day of the next one.

    `interval` replaces the plan's own where usage charges follow another.
    Source: Lago billing periods, calendar and anniversary intervals.
    """
    interval = terms.interval if interval is None else interval
    match terms.billing_time:
        case BillingTime.calendar:
            return calendar_interval(interval, day)
        case BillingTime.anniversary:
            anchor = local_day(terms.subscription_at, terms.timezone)
            return anniversary_interval(interval, anchor, day)
        case _:
            assert_never(terms.billing_time)


def interval_before(terms: SubscriptionTerms, day: date, *, interval: Interval | None = None) -> tuple[date, date]:
    """The interval just before the one that contains `day`: the one that arrears bill on that day."""
    first, _ = interval_containing(terms, day, interval=interval)
    return interval_containing(terms, first - timedelta(days=1), interval=interval)


def is_billing_day(terms: SubscriptionTerms, day: date) -> bool:
    """Whether a periodic invoice is due on the local `day`: an interval of the plan or of its charges begins.

    Bounds: never on the day of the start nor before; blind to termination. A billing day that the zone left
            out altogether is made up for on the day after it.
    Source: Lago subscription billing, billing days.
    """
    if day <= terms.started_on:
        return False
    if interval_containing(terms, day, interval=terms.charges_interval)[0] == day:
        return True
    skipped = day - ONE_DAY
    left_out = day_start(skipped, terms.timezone) == day_start(day, terms.timezone)
    return left_out and is_billing_day(terms, skipped)


def next_billing_at(terms: SubscriptionTerms, after: datetime) -> datetime:
    """The instant at which the first billing day after the local day of `after` begins, in UTC.

    Bounds: blind to termination; the answer is later than `after` and later than `terms.started_at`.
    """
    day = max(local_day(after, terms.timezone), terms.started_on)
    _, following = interval_containing(terms, day, interval=terms.charges_interval)
    return day_start(following, terms.timezone)
