"""Creates subscriptions: who, on which plan, from when; and the first invoice of one paid in advance."""

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from invoicer.billing.billing_facts import load_account, load_facts
from invoicer.billing.billing_items import billing_item
from invoicer.billing.due_steps import DueStep, StepKind, SubscriptionStatus
from invoicer.billing.finalization import finalize_invoice, lock_customer
from invoicer.billing.invoice_building import build_invoice
from invoicer.billing.lifecycle import apply_step, reschedule
from invoicer.billing.local_days import local_day
from invoicer.billing.subscription_input import SubscriptionInput
from invoicer.billing.subscription_terms import BillingTime
from invoicer.catalog.customers import ensure_customer
from invoicer.catalog.organizations import check_billing_entity
from invoicer.catalog.plans import find_plan
from invoicer.db import BillingPeriod, Customer, Organization, Plan, Subscription
from schemas.errors import InputError
from schemas.usage import UsageReader


def create_subscription(
    session: Session, usage: UsageReader, organization: Organization, given: SubscriptionInput, now: datetime
) -> Subscription:
    """Create a subscription, or answer the one that exists under the same external id and plan.

    An unknown customer is created with it. It starts at once when the local day of `subscription_at` has
    come; a plan paid in advance is then invoiced in the same transaction, unless the start is backdated or
    in a trial. No usage is read for that.
    Raises: NotFound for the plan or billing entity; InputError, for another plan under the same external id too.
    Source: Lago subscriptions, creation.
    """
    check_billing_entity(given.billing_entity_code)
    plan = find_plan(session, organization.id, given.plan_code)
    customer = ensure_customer(session, organization, given.external_customer_id, now)
    lock_customer(session, customer.id, waits=True)
    existing = _live_subscription(session, organization.id, given.external_id)
    if existing is not None:
        return _existing(existing, customer, plan, given, now)
    timezone = ZoneInfo(customer.applicable_timezone)
    starts_at = given.subscription_at or now
    check_ending(given.ending_at, starts_at, now, timezone)
    subscription = _new_subscription(customer, plan, given, starts_at, now)
    session.add(subscription)
    if customer.currency is None:
        customer.currency = plan.amount_currency
    session.flush()
    start_or_wait(session, usage, subscription, now)
    return subscription


def start_or_wait(session: Session, usage: UsageReader, subscription: Subscription, now: datetime) -> None:
    """Start a pending subscription whose day has come; schedule it otherwise. The customer is locked.

    It starts no earlier than what was invoiced under its external id before ends, whoever paid for it: events
    are known by the external id alone.
    Source: Lago subscriptions, creation.
    """
    timezone = ZoneInfo(subscription.customer.applicable_timezone)
    if local_day(subscription.subscription_at, timezone) <= local_day(now, timezone):
        subscription.started_at = max(
            subscription.subscription_at, _invoiced_until(session, subscription) or subscription.subscription_at
        )
        _start(session, usage, subscription, now)
        return
    [facts] = load_facts(session, [subscription])
    reschedule(subscription, facts.terms(timezone))
    subscription.updated_at = now


def check_ending(ending_at: datetime | None, starts_at: datetime, now: datetime, timezone: ZoneInfo) -> None:
    """Raises: InputError unless the local day of the end lies after today and after that of the start."""
    if ending_at is None:
        return
    earliest = max(local_day(starts_at, timezone), local_day(now, timezone))
    if local_day(ending_at, timezone) <= earliest:
        raise InputError({"ending_at": ["invalid_date"]})


def _live_subscription(session: Session, organization_id: uuid.UUID, external_id: str) -> Subscription | None:
    """The active subscription under an external id, else the pending one."""
    live = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PENDING)
    return session.scalar(
        select(Subscription)
        .where(
            Subscription.organization_id == organization_id,
            Subscription.external_id == external_id,
            Subscription.status.in_(live),
        )
        .order_by(Subscription.status)
        .limit(1)
    )


def _existing(
    existing: Subscription, customer: Customer, plan: Plan, given: SubscriptionInput, now: datetime
) -> Subscription:
    if existing.customer_id != customer.id:
        raise InputError({"external_id": ["value_already_exist"]})
    if existing.status == SubscriptionStatus.PENDING:
        existing.plan = plan
        existing.name = given.name if given.name is not None else existing.name
        existing.updated_at = now
    elif existing.plan_id != plan.id:
        raise InputError({"plan_code": ["not_supported"]})
    return existing


def _new_subscription(
    customer: Customer, plan: Plan, given: SubscriptionInput, starts_at: datetime, now: datetime
) -> Subscription:
    consolidates = given.consolidate_invoice
    return Subscription(
        id=uuid.uuid4(),
        organization_id=customer.organization_id,
        customer=customer,
        plan=plan,
        external_id=given.external_id,
        name=given.name,
        status=SubscriptionStatus.PENDING,
        billing_time=given.billing_time or BillingTime.calendar,
        subscription_at=starts_at,
        ending_at=given.ending_at,
        consolidate_invoice=True if consolidates is None else consolidates,
        purchase_order_number=given.purchase_order_number,
        on_termination_invoice="generate",
        created_at=now,
        updated_at=now,
    )


def _invoiced_until(session: Session, subscription: Subscription) -> datetime | None:
    """Where the usage ends that was invoiced, or still will be, for the ended subscriptions of the external id."""
    ended = and_(
        Subscription.organization_id == subscription.organization_id,
        Subscription.external_id == subscription.external_id,
        Subscription.status == SubscriptionStatus.TERMINATED,
    )
    with_final_invoice = select(func.max(Subscription.terminated_at)).where(
        ended, Subscription.on_termination_invoice != "skip"
    )
    invoiced = (
        select(func.max(BillingPeriod.charges_to))
        .join(Subscription, Subscription.id == BillingPeriod.subscription_id)
        .where(ended, BillingPeriod.bills_charges.is_(True))
    )
    ends = [session.scalar(each) for each in (with_final_invoice, invoiced)]
    return max((end for end in ends if end is not None), default=None)


def _start(session: Session, usage: UsageReader, subscription: Subscription, now: datetime) -> None:
    account = load_account(session, subscription.customer_id)
    [facts] = load_facts(session, [subscription])
    terms = facts.terms(ZoneInfo(account.customer.applicable_timezone))
    step = DueStep(StepKind.ACTIVATE, now)
    item = billing_item(facts, terms, step)
    if item is not None:
        invoice = build_invoice(usage, account, [item], now)
        session.add(invoice)
        if invoice.expected_finalization_at is None:
            finalize_invoice(session, account.customer, invoice, now=now)
    apply_step(subscription, terms, step, now)
