"""Reads what an invoice is made from: the customer, its taxes, and each subscription with its past.

Everything is loaded at once, so that usage can be read afterwards without a transaction.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from invoicer.billing.billing_items import SubscriptionFacts
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.catalog.snapshot import load_metric_definitions
from invoicer.db import BillingPeriod, Charge, Customer, Fee, Invoice, Plan, Subscription, Tax


@dataclass(frozen=True)
class BillingAccount:
    """Who is billed: the customer with its organization and taxes, and the taxes of the organization."""

    customer: Customer
    organization_taxes: tuple[Tax, ...]


def load_account(session: Session, customer_id: uuid.UUID) -> BillingAccount:
    """The customer's account, deleted or not: what it used before is still owed."""
    customer = session.scalars(
        select(Customer)
        .where(Customer.id == customer_id)
        .options(joinedload(Customer.organization), selectinload(Customer.taxes))
    ).one()
    applied = (
        select(Tax)
        .where(
            Tax.organization_id == customer.organization_id,
            Tax.applied_to_organization.is_(True),
            Tax.deleted_at.is_(None),
        )
        .order_by(Tax.created_at, Tax.id)
    )
    return BillingAccount(customer, tuple(session.scalars(applied)))


def select_subscriptions() -> Select[Subscription]:
    """Subscriptions with everything that prices them."""
    charges = selectinload(Subscription.plan).selectinload(Plan.charges)
    return select(Subscription).options(
        joinedload(Subscription.customer).joinedload(Customer.organization),
        selectinload(Subscription.plan).selectinload(Plan.taxes),
        charges.joinedload(Charge.billable_metric),
        charges.selectinload(Charge.filters),
        charges.selectinload(Charge.taxes),
    )


def load_facts(session: Session, subscriptions: Sequence[Subscription]) -> list[SubscriptionFacts]:
    """The facts of each subscription, in their order."""
    return [_facts(session, subscription) for subscription in subscriptions]


def trial_started_at(session: Session, subscription: Subscription) -> datetime | None:
    """The first start among the customer's subscriptions with this external id: a trial is given once.

    Source: Lago subscriptions, trial.
    """
    return session.scalar(
        select(func.min(Subscription.started_at)).where(
            Subscription.customer_id == subscription.customer_id,
            Subscription.external_id == subscription.external_id,
            Subscription.status != SubscriptionStatus.CANCELED,
        )
    )


def _facts(session: Session, subscription: Subscription) -> SubscriptionFacts:
    metric_ids = {charge.billable_metric_id for charge in subscription.plan.charges}
    return SubscriptionFacts(
        subscription=subscription,
        trial_started_at=trial_started_at(session, subscription),
        has_subscription_fee=_has_subscription_fee(session, subscription.id),
        previous_charges_end=_previous_charges_end(session, subscription.id),
        metrics=load_metric_definitions(session, subscription.organization_id, metric_ids),
    )


def _has_subscription_fee(session: Session, subscription_id: uuid.UUID) -> bool:
    fee = select(Fee.id).where(Fee.subscription_id == subscription_id, Fee.fee_type == "subscription").limit(1)
    return session.scalar(fee) is not None


def _previous_charges_end(session: Session, subscription_id: uuid.UUID) -> datetime | None:
    return session.scalar(
        select(func.max(BillingPeriod.charges_to))
        .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
        .where(BillingPeriod.subscription_id == subscription_id, BillingPeriod.bills_charges.is_(True))
    )
