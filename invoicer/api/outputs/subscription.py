"""A subscription as the API shows it."""

import uuid
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, PlainSerializer

from invoicer.api.outputs.plan import PlanOutput
from invoicer.api.pagination import PaginationMeta
from invoicer.billing.due_steps import SubscriptionStatus, subscription_terms
from invoicer.billing.periods import Period, charges_period
from invoicer.catalog.fields import Instant
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import Subscription
from schemas.time_text import iso_milliseconds

PreciseInstant = Annotated[datetime, PlainSerializer(iso_milliseconds, return_type=str | None)]
"""An instant in an answer, with milliseconds."""


class PaymentMethodOutput(BaseModel):
    """How a subscription is paid; there are no payment providers."""

    payment_method_id: str | None = None
    payment_method_type: str | None = None


class SubscriptionOutput(BaseModel):
    """A subscription. Plan changes, activation rules and thresholds are not offered: their keys are empty."""

    lago_id: uuid.UUID
    external_id: str
    lago_customer_id: uuid.UUID
    external_customer_id: str
    billing_entity_code: str = DEFAULT_BILLING_ENTITY
    name: str | None
    plan_code: str
    plan_amount_cents: int
    plan_amount_currency: str
    status: str
    billing_time: str
    subscription_at: Instant
    started_at: PreciseInstant | None
    trial_ended_at: Instant | None
    ending_at: Instant | None
    terminated_at: Instant | None
    canceled_at: Instant | None
    created_at: Instant
    previous_plan_code: str | None = None
    next_plan_code: str | None = None
    downgrade_plan_date: str | None = None
    current_billing_period_started_at: Instant | None
    current_billing_period_ending_at: Instant | None
    on_termination_credit_note: str | None
    on_termination_invoice: str
    progressive_billing_disabled: bool = False
    consolidate_invoice: bool
    purchase_order_number: str | None
    cancellation_reason: str | None = None
    activated_at: Instant | None
    payment_method: PaymentMethodOutput = PaymentMethodOutput()
    activation_rules: list[dict[str, Any]] = []
    applicable_usage_thresholds: list[dict[str, Any]] = []
    applied_invoice_custom_sections: list[dict[str, Any]] = []

    @classmethod
    def of(cls, subscription: Subscription, now: datetime) -> "SubscriptionOutput":
        """`now` decides which billing period is the current one."""
        return cls(**_values(subscription, now))


class SubscriptionWithPlanOutput(SubscriptionOutput):
    """A subscription with its plan."""

    plan: PlanOutput

    @classmethod
    def of(cls, subscription: Subscription, now: datetime) -> "SubscriptionWithPlanOutput":
        return cls(**_values(subscription, now), plan=PlanOutput.of(subscription.plan))


class SubscriptionAnswer(BaseModel):
    """One subscription."""

    subscription: SubscriptionWithPlanOutput


class SubscriptionsAnswer(BaseModel):
    """A page of subscriptions."""

    subscriptions: list[SubscriptionOutput]
    meta: PaginationMeta


def _values(subscription: Subscription, now: datetime) -> dict[str, Any]:
    period = _current_period(subscription, now)
    plan = subscription.plan
    return {
        "lago_id": subscription.id,
        "external_id": subscription.external_id,
        "lago_customer_id": subscription.customer_id,
        "external_customer_id": subscription.customer.external_id,
        "name": subscription.name,
        "plan_code": plan.code,
        "plan_amount_cents": plan.amount_cents,
        "plan_amount_currency": plan.amount_currency,
        "status": subscription.status,
        "billing_time": subscription.billing_time,
        "subscription_at": subscription.subscription_at,
        "started_at": subscription.started_at,
        "trial_ended_at": subscription.trial_ended_at,
        "ending_at": subscription.ending_at,
        "terminated_at": subscription.terminated_at,
        "canceled_at": subscription.canceled_at,
        "created_at": subscription.created_at,
        "current_billing_period_started_at": None if period is None else period.start,
        "current_billing_period_ending_at": None if period is None else period.display_end,
        "on_termination_credit_note": subscription.on_termination_credit_note,
        "on_termination_invoice": subscription.on_termination_invoice,
        "consolidate_invoice": subscription.consolidate_invoice,
        "purchase_order_number": subscription.purchase_order_number,
        "activated_at": subscription.activated_at,
    }


def _current_period(subscription: Subscription, now: datetime) -> Period | None:
    """The charges period in progress; of a terminated subscription its last one.

    Source: Lago billing periods, usage charge period.
    """
    if subscription.status == SubscriptionStatus.CANCELED:
        return None
    timezone = ZoneInfo(subscription.customer.applicable_timezone)
    terms = subscription_terms(subscription, trial_started_at=None, timezone=timezone)
    return charges_period(terms, terms.ended_at(now) or now, current=True)
