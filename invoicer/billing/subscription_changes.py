"""Changes and ends subscriptions."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from invoicer.billing.billing_facts import trial_started_at
from invoicer.billing.due_steps import SubscriptionStatus, subscription_terms
from invoicer.billing.finalization import lock_customer
from invoicer.billing.lifecycle import cancel, reschedule, terminate
from invoicer.billing.subscription_creation import check_ending, start_or_wait
from invoicer.billing.subscription_input import (
    SubscriptionChanges,
    TerminationCreditNote,
    TerminationInvoice,
)
from invoicer.billing.subscription_terms import SubscriptionTerms
from invoicer.billing.termination_credit import credit_unused_days
from invoicer.catalog.organizations import check_billing_entity
from invoicer.db import Customer, Plan, Subscription
from schemas.errors import InputError, NotFound
from schemas.usage import UsageReader

_LIVE = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PENDING)


@dataclass(frozen=True)
class Termination:
    """How a subscription ends.

    `credit_note` says what becomes of the unused days of a plan paid in advance: `credit` or `skip`. None
    leaves it at what the subscription says, else at `credit`. Nothing is refunded: there are no payments.
    """

    credit_note: TerminationCreditNote | None = None
    invoice: TerminationInvoice = TerminationInvoice.GENERATE


def update_subscription(
    session: Session, usage: UsageReader, subscription: Subscription, changes: SubscriptionChanges, now: datetime
) -> None:
    """Change what is named of a subscription; its start only while it is pending.

    Raises: InputError for an end that does not lie ahead, another plan, or a credit note that would give money
            back; NotFound for a billing entity.
    Source: Lago subscriptions, update.
    """
    _check_credit_note(changes.on_termination_credit_note)
    check_billing_entity(changes.billing_entity_code)
    if changes.plan_code not in (None, subscription.plan.code):
        raise InputError({"plan_code": ["not_supported"]})
    _lock(session, subscription)
    is_pending = subscription.status == SubscriptionStatus.PENDING
    starts_at = subscription.subscription_at
    if is_pending and changes.subscription_at is not None:
        starts_at = changes.subscription_at
    if "ending_at" in changes.model_fields_set:
        timezone = ZoneInfo(subscription.customer.applicable_timezone)
        check_ending(changes.ending_at, starts_at, now, timezone)
    values = changes.given("name", "ending_at", "purchase_order_number") | changes.stated(
        "consolidate_invoice", "on_termination_credit_note", "on_termination_invoice"
    )
    for field, value in values.items():
        setattr(subscription, field, value)
    subscription.subscription_at = starts_at
    subscription.updated_at = now
    if is_pending:
        start_or_wait(session, usage, subscription, now)
    else:
        reschedule(subscription, _terms(session, subscription))


def terminate_subscription(
    session: Session, subscription: Subscription, termination: Termination, now: datetime
) -> None:
    """End an active subscription now. Its final invoice stays due until the usage up to now is counted.

    What was paid in advance for the days to come is credited at once, so that the final invoice may take it.
    Raises: InputError for a credit note that would give money back; NotFound when it has just ended.
    Source: Lago subscriptions, termination.
    """
    _check_credit_note(termination.credit_note)
    _lock(session, subscription)
    if subscription.status != SubscriptionStatus.ACTIVE:
        raise NotFound("subscription")
    if subscription.plan.pay_in_advance:
        wish = termination.credit_note or subscription.on_termination_credit_note
        subscription.on_termination_credit_note = wish or TerminationCreditNote.CREDIT
    subscription.on_termination_invoice = termination.invoice
    _terminate(session, subscription, now)


def cancel_subscription(session: Session, subscription: Subscription, now: datetime) -> None:
    """Give up a pending subscription.

    Raises: NotFound when it has just started.
    """
    _lock(session, subscription)
    if subscription.status != SubscriptionStatus.PENDING:
        raise NotFound("subscription")
    cancel(subscription, now)


def terminate_all_subscriptions(session: Session, customer: Customer, now: datetime) -> None:
    """End what a customer has, before it is deleted: final invoices stay due, pending ones are canceled."""
    _end_all(session, select(Subscription).where(Subscription.customer_id == customer.id), now)


def terminate_plan_subscriptions(session: Session, plan: Plan, now: datetime) -> None:
    """End every subscription of a plan that is being deleted, in the same way."""
    _end_all(session, select(Subscription).where(Subscription.plan_id == plan.id), now)


def reschedule_customer(session: Session, customer: Customer) -> None:
    """Recompute when the customer's subscriptions are due: after a change of its timezone."""
    live = select(Subscription).where(Subscription.customer_id == customer.id, Subscription.status.in_(_LIVE))
    for subscription in session.scalars(live).all():
        reschedule(subscription, _terms(session, subscription))


def _end_all(session: Session, subscriptions: Select[Subscription], now: datetime) -> None:
    live = subscriptions.where(Subscription.status.in_(_LIVE)).order_by(Subscription.created_at, Subscription.id)
    for subscription in session.scalars(live).all():
        _lock(session, subscription)
        if subscription.status == SubscriptionStatus.PENDING:
            cancel(subscription, now)
        elif subscription.status == SubscriptionStatus.ACTIVE:
            _terminate(session, subscription, now)


def _terminate(session: Session, subscription: Subscription, now: datetime) -> None:
    terminate(subscription, _terms(session, subscription), at=now, now=now)
    credit_unused_days(session, subscription, ended_at=subscription.terminated_at or now, now=now)


def _check_credit_note(wish: TerminationCreditNote | None) -> None:
    if wish in (TerminationCreditNote.REFUND, TerminationCreditNote.OFFSET):
        raise InputError({"on_termination_credit_note": ["not_supported"]})


def _lock(session: Session, subscription: Subscription) -> None:
    """Wait for an invoicer at work on the customer, then see the subscription as it left it."""
    lock_customer(session, subscription.customer_id, waits=True)
    session.refresh(subscription, with_for_update={"key_share": True, "of": Subscription})


def _terms(session: Session, subscription: Subscription) -> SubscriptionTerms:
    return subscription_terms(
        subscription,
        trial_started_at=trial_started_at(session, subscription),
        timezone=ZoneInfo(subscription.customer.applicable_timezone),
    )
