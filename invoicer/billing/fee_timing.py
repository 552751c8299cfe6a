"""Which invoices carry the subscription fee."""

from datetime import datetime

from invoicer.billing.billing_days import interval_containing
from invoicer.billing.local_days import day_start, local_day
from invoicer.billing.subscription_terms import MONTHLY_CHARGE_INTERVALS, Interval, SubscriptionTerms
from invoicer.billing.trial import is_in_trial


def bills_subscription_fee(
    terms: SubscriptionTerms, billing_at: datetime, *, created_at: datetime, fee_already_billed: bool
) -> bool:
    """Whether an invoice of `billing_at` carries the subscription fee, next to usage charges.

    `created_at`          when the subscription was entered; later than its start when it is backdated.
    `fee_already_billed`  whether any subscription fee of this subscription exists.

    Never in the trial. At termination only in arrears. A yearly or semiannual plan bills its fee in the first
    month of its interval; in advance also when none was ever billed, unless the subscription is backdated:
    then the interval in which it was entered counts as paid. In arrears an interval that had passed before
    the subscription was entered is not billed.
    Source: Lago proration, yearly and semiannual plans; trial; Lago pull request 2388 for backdated starts.
    """
    ended_at = terms.ended_at(billing_at)
    if is_in_trial(terms, billing_at if ended_at is None else ended_at):
        return False
    if ended_at is not None:
        return not terms.pay_in_advance
    if terms.interval not in MONTHLY_CHARGE_INTERVALS:
        return True
    if terms.pay_in_advance:
        never_billed = not fee_already_billed and not _is_backdated(terms, created_at)
        return never_billed or _is_first_month(terms, billing_at)
    return _is_first_month(terms, billing_at) and _completes_interval_of_ours(terms, billing_at, created_at)


def _is_first_month(terms: SubscriptionTerms, billing_at: datetime) -> bool:
    day = local_day(billing_at, terms.timezone)
    first_of_month, _ = interval_containing(terms, day, interval=Interval.monthly)
    return first_of_month == interval_containing(terms, day)[0]


def _is_backdated(terms: SubscriptionTerms, created_at: datetime) -> bool:
    return local_day(created_at, terms.timezone) > terms.started_on


def _completes_interval_of_ours(terms: SubscriptionTerms, billing_at: datetime, created_at: datetime) -> bool:
    """Whether the interval completed last ended after the subscription had begun and had been entered."""
    first, _ = interval_containing(terms, local_day(billing_at, terms.timezone))
    return day_start(first, terms.timezone) > max(terms.started_at, created_at)
