"""What one subscription contributes to an invoice: why, for which periods, and what of it is billed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID
from zoneinfo import ZoneInfo

from invoicer.billing.due_steps import (
    DueStep,
    StepKind,
    is_periodic_invoice_issued,
    subscription_terms,
    trial_ends_on,
)
from invoicer.billing.fee_timing import bills_subscription_fee
from invoicer.billing.local_days import local_day
from invoicer.billing.periods import (
    TIMEZONE_SHIFT_MAX,
    Period,
    PeriodEnd,
    charges_duration_days,
    charges_period,
    subscription_period,
)
from invoicer.billing.subscription_terms import SubscriptionTerms
from invoicer.billing.trial import is_in_trial
from invoicer.db.invoices import BillingPeriod
from invoicer.db.subscriptions import Subscription
from schemas.metrics import MetricDefinition


class InvoicingReason(StrEnum):
    """Why a subscription is on an invoice."""

    STARTING = "subscription_starting"
    PERIODIC = "subscription_periodic"
    TERMINATING = "subscription_terminating"
    LATE_USAGE = "late_usage"
    """Events of a period billed before are settled at once; nothing else is billed."""


@dataclass(frozen=True)
class SubscriptionFacts:
    """A subscription row with its plan, and what of its past decides what is billed next.

    `trial_started_at`      first start under its external id with this customer.
    `previous_fee_end`      end of the last period whose subscription fee was invoiced; None when none ever was.
    `previous_charges_end`  end of the charges period invoiced last.
    `metrics`               how the events of the plan's metrics are measured, by metric id.
    """

    subscription: Subscription
    trial_started_at: datetime | None
    previous_fee_end: datetime | None
    previous_charges_end: datetime | None
    metrics: Mapping[UUID, MetricDefinition]

    @property
    def has_subscription_fee(self) -> bool:
        """Whether a subscription fee was ever billed for it."""
        return self.previous_fee_end is not None

    def terms(self, timezone: ZoneInfo) -> SubscriptionTerms:
        """The billing terms, days being days of `timezone`."""
        return subscription_terms(self.subscription, trial_started_at=self.trial_started_at, timezone=timezone)


@dataclass(frozen=True)
class BillingItem:
    """One subscription on one invoice. `billing_at` is the instant it is due, whenever it is made."""

    facts: SubscriptionFacts
    terms: SubscriptionTerms
    reason: InvoicingReason
    billing_at: datetime
    subscription_period: Period
    charges_period: Period
    charges_duration_days: int
    bills_subscription_fee: bool
    bills_charges: bool


def billing_item(facts: SubscriptionFacts, terms: SubscriptionTerms, step: DueStep) -> BillingItem | None:
    """What a due step puts on an invoice; None for a step that makes none.

    `terms` already carry the end of a subscription that `step` ends.
    Source: Lago subscriptions, creation, trial and termination; subscription billing.
    """
    match step.kind:
        case StepKind.ACTIVATE:
            return _starting_item(facts, terms) if _bills_start(terms, step.at) else None
        case StepKind.END_TRIAL:
            return _fee_only(facts, terms, step.at) if terms.pay_in_advance else None
        case StepKind.BILL:
            return _periodic_item(facts, terms, step.at)
        case StepKind.END | StepKind.CLOSE:
            if facts.subscription.on_termination_invoice == "skip":
                return None
            return _terminating_item(facts, terms, step.at)
        case unreachable:
            assert_never(unreachable)


def stored_item(facts: SubscriptionFacts, period: BillingPeriod, timezone: ZoneInfo) -> BillingItem:
    """The item a billing period was made from: a draft bills the same time however often it is refreshed."""
    return BillingItem(
        facts=facts,
        terms=facts.terms(timezone),
        reason=InvoicingReason(period.invoicing_reason),
        billing_at=period.billing_at,
        subscription_period=Period(
            period.subscription_from, period.subscription_to, PeriodEnd(period.subscription_end_kind)
        ),
        charges_period=Period(period.charges_from, period.charges_to, PeriodEnd(period.charges_end_kind)),
        charges_duration_days=period.charges_duration_days,
        bills_subscription_fee=period.bills_subscription_fee,
        bills_charges=period.bills_charges,
    )


def _bills_start(terms: SubscriptionTerms, activated_at: datetime) -> bool:
    """Paid in advance, not in a trial, and not backdated: time gone by before the entry is not invoiced."""
    is_backdated = local_day(activated_at, terms.timezone) > terms.started_on
    return terms.pay_in_advance and not is_backdated and not is_in_trial(terms, terms.started_at)


def _starting_item(facts: SubscriptionFacts, terms: SubscriptionTerms) -> BillingItem:
    return _fee_only(facts, terms, terms.started_at)


def _fee_only(facts: SubscriptionFacts, terms: SubscriptionTerms, billing_at: datetime) -> BillingItem:
    """The plan paid in advance from its start, or from the end of its trial; no usage."""
    return BillingItem(
        facts=facts,
        terms=terms,
        reason=InvoicingReason.STARTING,
        billing_at=billing_at,
        subscription_period=subscription_period(terms, billing_at),
        charges_period=charges_period(terms, billing_at),
        charges_duration_days=charges_duration_days(terms, billing_at),
        bills_subscription_fee=True,
        bills_charges=False,
    )


def _periodic_item(facts: SubscriptionFacts, terms: SubscriptionTerms, billing_at: datetime) -> BillingItem:
    fee_period = subscription_period(terms, billing_at, previous_fee_end=facts.previous_fee_end)
    return BillingItem(
        facts=facts,
        terms=terms,
        reason=InvoicingReason.PERIODIC,
        billing_at=billing_at,
        subscription_period=fee_period,
        charges_period=charges_period(terms, billing_at, previous_charges_end=facts.previous_charges_end),
        charges_duration_days=charges_duration_days(terms, billing_at),
        bills_subscription_fee=not _is_paid(facts, terms, fee_period)
        and _bills_periodic_fee(facts, terms, billing_at),
        bills_charges=True,
    )


def _is_paid(facts: SubscriptionFacts, terms: SubscriptionTerms, fee_period: Period) -> bool:
    """Whether a period paid in advance was invoiced before a change of timezone made its first day come again."""
    paid_until = facts.previous_fee_end
    return terms.pay_in_advance and paid_until is not None and paid_until - fee_period.start >= TIMEZONE_SHIFT_MAX


def _bills_periodic_fee(facts: SubscriptionFacts, terms: SubscriptionTerms, billing_at: datetime) -> bool:
    subscription = facts.subscription
    ends_trial_here = subscription.trial_ended_at is None and trial_ends_on(terms) == billing_at
    if terms.pay_in_advance and ends_trial_here:
        return True
    return bills_subscription_fee(
        terms,
        billing_at,
        created_at=subscription.activated_at or subscription.created_at,
        fee_already_billed=facts.has_subscription_fee,
    )


def _terminating_item(facts: SubscriptionFacts, terms: SubscriptionTerms, billing_at: datetime) -> BillingItem:
    issued = is_periodic_invoice_issued(facts.subscription, terms)
    return BillingItem(
        facts=facts,
        terms=terms,
        reason=InvoicingReason.TERMINATING,
        billing_at=billing_at,
        subscription_period=subscription_period(
            terms, billing_at, periodic_invoice_issued=issued, previous_fee_end=facts.previous_fee_end
        ),
        charges_period=charges_period(
            terms,
            billing_at,
            periodic_invoice_issued=issued,
            previous_charges_end=facts.previous_charges_end,
        ),
        charges_duration_days=charges_duration_days(terms, billing_at, periodic_invoice_issued=issued),
        bills_subscription_fee=bills_subscription_fee(
            terms,
            billing_at,
            created_at=facts.subscription.activated_at or facts.subscription.created_at,
            fee_already_billed=facts.has_subscription_fee,
        ),
        bills_charges=True,
    )
