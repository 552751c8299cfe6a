"""What the scheduler has to do next with a subscription, and when: derived from its row alone."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

from invoicer.billing.billing_days import next_billing_at
from invoicer.billing.local_days import day_start, local_day
from invoicer.billing.periods import TIMEZONE_SHIFT_MAX
from invoicer.billing.subscription_terms import BillingTime, Interval, SubscriptionTerms
from invoicer.billing.trial import trial_end
from invoicer.db.subscriptions import Subscription


class SubscriptionStatus(StrEnum):
    """The life of a subscription."""

    PENDING = "pending"
    ACTIVE = "active"
    TERMINATED = "terminated"
    CANCELED = "canceled"


class StepKind(StrEnum):
    """What is due."""

    ACTIVATE = "activate"
    BILL = "bill"
    END_TRIAL = "end_trial"
    END = "end"
    """`ending_at` has come: terminate, and make the final invoice."""
    CLOSE = "close"
    """Already terminated: make the final invoice."""


@dataclass(frozen=True)
class DueStep:
    """One thing to do, and the instant it is due: also what its invoice is billed at."""

    kind: StepKind
    at: datetime


_RANK = {StepKind.END: 0, StepKind.BILL: 1, StepKind.END_TRIAL: 2}
"""Order of what is due at one instant: an end bills the completed period itself, a bill ends the trial too."""


def subscription_terms(
    subscription: Subscription, *, trial_started_at: datetime | None, timezone: ZoneInfo
) -> SubscriptionTerms:
    """The billing terms of a subscription row; one that is yet to start begins at `subscription_at`."""
    plan = subscription.plan
    return SubscriptionTerms(
        interval=Interval(plan.interval),
        billing_time=BillingTime(subscription.billing_time),
        pay_in_advance=plan.pay_in_advance,
        bill_charges_monthly=bool(plan.bill_charges_monthly),
        subscription_at=subscription.subscription_at,
        started_at=subscription.started_at or subscription.subscription_at,
        terminated_at=subscription.terminated_at,
        timezone=timezone,
        trial_period_days=plan.trial_period or Decimal(0),
        trial_started_at=trial_started_at,
    )


def next_step(subscription: Subscription, terms: SubscriptionTerms) -> DueStep | None:
    """The next thing due, or None when there is none.

    Bounds: an active subscription always has one. A terminated one still bills the billing days before its
            end that were not served, then closes; `due_at` NULL says that it is closed.
    Source: Lago subscription billing; subscriptions, activation, trial and termination.
    """
    match SubscriptionStatus(subscription.status):
        case SubscriptionStatus.PENDING:
            return DueStep(StepKind.ACTIVATE, activation_at(subscription.subscription_at, terms.timezone))
        case SubscriptionStatus.ACTIVE:
            return min(_steps_of_active(subscription, terms), key=lambda step: (step.at, _RANK[step.kind]))
        case SubscriptionStatus.TERMINATED:
            return None if subscription.due_at is None else _step_of_terminated(subscription, terms)
        case SubscriptionStatus.CANCELED:
            return None
        case unreachable:
            assert_never(unreachable)


def activation_at(subscription_at: datetime, timezone: ZoneInfo) -> datetime:
    """A subscription becomes active as the local day of its start begins."""
    return day_start(local_day(subscription_at, timezone), timezone)


def trial_ends_on(terms: SubscriptionTerms) -> datetime | None:
    """The instant the local day begins on which the trial ends; None without a trial."""
    ends = trial_end(terms)
    return None if ends is None else day_start(local_day(ends, terms.timezone), terms.timezone)


def is_periodic_invoice_issued(subscription: Subscription, terms: SubscriptionTerms) -> bool:
    """Whether no billing day up to its end is left to be served, be it that it was served in another timezone."""
    if subscription.billed_until is None or terms.terminated_at is None:
        return False
    return _next_bill_at(subscription, terms) > terms.terminated_at


def _steps_of_active(subscription: Subscription, terms: SubscriptionTerms) -> list[DueStep]:
    steps = [DueStep(StepKind.BILL, _next_bill_at(subscription, terms))]
    trial_day = None if subscription.trial_ended_at else trial_ends_on(terms)
    if trial_day is not None:
        steps.append(DueStep(StepKind.END_TRIAL, trial_day))
    if subscription.ending_at is not None:
        steps.append(DueStep(StepKind.END, max(subscription.ending_at, terms.started_at)))
    return steps


def _step_of_terminated(subscription: Subscription, terms: SubscriptionTerms) -> DueStep | None:
    if terms.terminated_at is None:
        raise ValueError(f"subscription {subscription.id} is terminated at no time")
    bill_at = _next_bill_at(subscription, terms)
    if bill_at < terms.terminated_at:
        return DueStep(StepKind.BILL, bill_at)
    if subscription.on_termination_invoice == "skip":
        return None
    return DueStep(StepKind.CLOSE, terms.terminated_at)


def _next_bill_at(subscription: Subscription, terms: SubscriptionTerms) -> datetime:
    """The first billing day not served yet.

    A change of timezone may put a day that was billed into the future once more: it is not billed again.
    """
    served = subscription.billed_until or terms.started_at
    bill_at = next_billing_at(terms, served)
    was_billed = subscription.activated_at is not None and served > subscription.activated_at
    if was_billed and bill_at - served < TIMEZONE_SHIFT_MAX:
        return next_billing_at(terms, bill_at)
    return bill_at
