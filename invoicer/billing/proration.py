"""Days billed, and the part of a plan's amount they are worth."""

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import assert_never
from zoneinfo import ZoneInfo

from invoicer.billing.billing_days import interval_containing
from invoicer.billing.local_days import ONE_DAY, day_start, last_day_before, local_day, wall_clock
from invoicer.billing.periods import Period, PeriodEnd
from invoicer.billing.subscription_terms import BillingTime, SubscriptionTerms
from invoicer.billing.trial import trial_end

PRECISE_DIGITS = 50
"""Significant digits of an amount that is shown unrounded; cents are rounded from the exact fraction."""


@dataclass(frozen=True)
class ProratedAmount:
    """`days` out of `period_days` of a plan's amount, in minor units rounded and as it is."""

    amount_cents: int
    precise_amount_cents: Decimal
    days: int
    period_days: int


def prorate(amount_cents: int, days: int, period_days: int) -> ProratedAmount:
    """`amount_cents × days / period_days`.

    Bounds: `amount_cents` ≥ 0, `days` ≥ 0, `period_days` > 0.
    Rounds: half up, once, from the exact fraction.
    Source: Lago proration, day price.
    """
    rounded, precise = _quotient(amount_cents * days, period_days)
    return ProratedAmount(rounded, precise, days, period_days)


def billed_days(period: Period, timezone: ZoneInfo) -> int:
    """Days a period counts for: wall clock time from its start to its end, a begun day counting whole.

    Bounds: ≥ 0. Daylight saving adds and takes nothing. An end inside a day that falls exactly on local
            midnight has begun that day.
    Source: Lago proration, day counting.
    """
    match period.ends_at:
        case PeriodEnd.day_boundary:
            last_day = last_day_before(period.end, timezone)
            ends = datetime.combine(last_day + ONE_DAY, time.min)
        case PeriodEnd.instant:
            ends = wall_clock(period.end, timezone)
            if ends.time() == time.min:
                ends += timedelta(seconds=1)
        case _:
            assert_never(period.ends_at)
    elapsed = ends - wall_clock(period.start, timezone)
    return max(0, -(-elapsed // ONE_DAY))


def subscription_fee(
    terms: SubscriptionTerms,
    plan_amount_cents: int,
    period: Period,
    *,
    has_previous_subscription: bool,
    ended_by_upgrade: bool,
) -> ProratedAmount:
    """The subscription fee of one period: the plan's whole amount, or the days billed of it.

    `has_previous_subscription`  this subscription replaces another plan's. Without one, an anniversary plan
                                 paid in advance owes its first period whole.
    `ended_by_upgrade`           the day of an upgrade belongs to the new plan.
    Bounds: days of the trial are free; never more days than the interval has.
    Rounds: half up to a minor unit.
    Source: Lago proration, subscription fee; trial.
    """
    first, following = interval_containing(terms, local_day(period.start, terms.timezone))
    period_days = (following - first).days
    payable = _after_trial(terms, period)
    if payable is None:
        return prorate(plan_amount_cents, 0, period_days)
    whole = Period(day_start(first, terms.timezone), day_start(following, terms.timezone))
    if payable == whole or _owes_first_period_whole(terms, period, payable, has_previous_subscription):
        return prorate(plan_amount_cents, period_days, period_days)
    days = min(billed_days(payable, terms.timezone), period_days)
    if ended_by_upgrade and period.ends_at is PeriodEnd.instant:
        days = max(0, days - 1)
    return prorate(plan_amount_cents, days, period_days)


def unused_days(terms: SubscriptionTerms, terminated_at: datetime, *, ended_by_upgrade: bool) -> int:
    """Days of the plan interval that a termination leaves unused.

    Bounds: the day of termination is used up, except by an upgrade: the new plan bills it.
    Source: Lago subscriptions, termination and upgrade.
    """
    day = local_day(terminated_at, terms.timezone)
    _, following = interval_containing(terms, day)
    return (following - day).days - (0 if ended_by_upgrade else 1)


def unused_fee(
    terms: SubscriptionTerms,
    plan_amount_cents: int,
    terminated_at: datetime,
    *,
    ended_by_upgrade: bool,
    fee_amount_cents: int,
    credited_cents: int,
) -> ProratedAmount:
    """What of a subscription fee paid in advance a termination gives back, before coupons and taxes.

    `fee_amount_cents`  the fee of the period, which bounds the credit.
    `credited_cents`    what earlier credit notes gave back of that fee.
    Bounds: ≥ 0; `days` are the unused ones.
    Rounds: half up to a minor unit.
    Source: Lago subscriptions, upgrade and termination; credit amount.
    """
    first, following = interval_containing(terms, local_day(terminated_at, terms.timezone))
    period_days = (following - first).days
    days = unused_days(terms, terminated_at, ended_by_upgrade=ended_by_upgrade)
    worth = min(plan_amount_cents * days, fee_amount_cents * period_days)
    rounded, precise = _quotient(max(0, worth - credited_cents * period_days), period_days)
    return ProratedAmount(rounded, precise, days, period_days)


def _after_trial(terms: SubscriptionTerms, period: Period) -> Period | None:
    """What of the period comes after the trial; None when the trial covers all of it."""
    free_until = trial_end(terms)
    if free_until is None or free_until <= period.start:
        return period
    return None if free_until >= period.end else replace(period, start=free_until)


def _owes_first_period_whole(
    terms: SubscriptionTerms, period: Period, payable: Period, has_previous_subscription: bool
) -> bool:
    return (
        terms.pay_in_advance
        and terms.billing_time is BillingTime.anniversary
        and not has_previous_subscription
        and payable == period
        and period.ends_at is PeriodEnd.day_boundary
    )


def _quotient(numerator: int, denominator: int) -> tuple[int, Decimal]:
    """The quotient rounded half up to a whole number, and as a decimal; the numerator is ≥ 0."""
    with localcontext() as context:
        context.prec = PRECISE_DIGITS
        precise = Decimal(numerator) / Decimal(denominator)
    return (2 * numerator + denominator) // (2 * denominator), precise
