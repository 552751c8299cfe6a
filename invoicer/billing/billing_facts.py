"""Reads what an invoice is made from: the customer, its taxes, and each subscription with its past.

Everything is loaded at once, so that usage can be read afterwards without a transaction.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Label, ScalarSelect, Select, func, select
from sqlalchemy.orm import Session, aliased, joinedload, selectinload

from invoicer.billing.billing_items import SubscriptionFacts
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.catalog.snapshot import load_metric_definitions
from invoicer.db import BillingPeriod, Charge, Customer, Invoice, Plan, Subscription, Tax
from schemas.metrics import MetricDefinition


@dataclass(frozen=True)
class BillingAccount:
    """Who is billed: the customer with its organization and taxes, and the taxes of the organization."""

    customer: Customer
    organization_taxes: tuple[Tax, ...]


def load_account(session: Session, customer_id: uuid.UUID) -> BillingAccount:
    """The customer's account, deleted or not: what it used before is still owed."""
    [account] = load_accounts(session, [customer_id])
    return account


def load_accounts(session: Session, customer_ids: Collection[uuid.UUID]) -> list[BillingAccount]:
    """The accounts of these customers, in no order."""
    customers = session.scalars(
        select(Customer)
        .where(Customer.id.in_(customer_ids))
        .options(joinedload(Customer.organization), selectinload(Customer.taxes))
    ).all()
    taxes = _organization_taxes(session, {customer.organization_id for customer in customers})
    return [BillingAccount(customer, tuple(taxes[customer.organization_id])) for customer in customers]


def _organization_taxes(
    session: Session, organization_ids: Collection[uuid.UUID]
) -> Mapping[uuid.UUID, list[Tax]]:
    taxes: defaultdict[uuid.UUID, list[Tax]] = defaultdict(list)
    applied = (
        select(Tax)
        .where(
            Tax.organization_id.in_(organization_ids),
            Tax.applied_to_organization.is_(True),
            Tax.deleted_at.is_(None),
        )
        .order_by(Tax.created_at, Tax.id)
    )
    for tax in session.scalars(applied):
        taxes[tax.organization_id].append(tax)
    return taxes


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
    """The facts of each subscription, in their order: some queries, however many subscriptions there are."""
    of_subscriptions = Subscription.id.in_([subscription.id for subscription in subscriptions])
    pasts = {
        row[0]: row for row in session.execute(select(Subscription.id, *past_columns()).where(of_subscriptions))
    }
    metrics = _metrics(session, {subscription.plan for subscription in subscriptions})
    return [
        SubscriptionFacts(
            subscription=subscription,
            trial_started_at=pasts[subscription.id].trial_started_at,
            previous_fee_end=pasts[subscription.id].previous_fee_end,
            previous_charges_end=pasts[subscription.id].previous_charges_end,
            metrics=metrics[subscription.plan_id],
        )
        for subscription in subscriptions
    ]


def past_columns() -> tuple[Label[Any], ...]:
    """The past of each `Subscription` that a statement selects, as columns named as in `SubscriptionFacts`."""
    fee_end = select(func.max(BillingPeriod.subscription_to)).where(
        BillingPeriod.subscription_id == Subscription.id, BillingPeriod.bills_subscription_fee.is_(True)
    )
    charges_end = (
        select(func.max(BillingPeriod.charges_to))
        .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
        .where(BillingPeriod.subscription_id == Subscription.id, BillingPeriod.bills_charges.is_(True))
    )
    return (
        _first_start().label("trial_started_at"),
        fee_end.correlate(Subscription).scalar_subquery().label("previous_fee_end"),
        charges_end.correlate(Subscription).scalar_subquery().label("previous_charges_end"),
    )


def trial_started_at(session: Session, subscription: Subscription) -> datetime | None:
    """The first start among the customer's subscriptions with this external id: a trial is given once.

    Source: Lago subscriptions, trial.
    """
    return session.scalar(select(_first_start()).where(Subscription.id == subscription.id))


def _first_start() -> ScalarSelect[datetime | None]:
    same = aliased(Subscription)
    first = select(func.min(same.started_at)).where(
        same.organization_id == Subscription.organization_id,  # for the index: a customer may have very many
        same.customer_id == Subscription.customer_id,
        same.external_id == Subscription.external_id,
        same.status != SubscriptionStatus.CANCELED,
    )
    return first.correlate(Subscription).scalar_subquery()


def _metrics(session: Session, plans: Collection[Plan]) -> dict[uuid.UUID, dict[uuid.UUID, MetricDefinition]]:
    """How the events of each plan's metrics are measured, by the plan's id."""
    by_organization: defaultdict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for plan in plans:
        by_organization[plan.organization_id].update(charge.billable_metric_id for charge in plan.charges)
    known = {
        metric_id: definition
        for organization_id, metric_ids in by_organization.items()
        for metric_id, definition in load_metric_definitions(session, organization_id, metric_ids).items()
    }
    return {
        plan.id: {
            metric_id: known[metric_id]
            for metric_id in (charge.billable_metric_id for charge in plan.charges)
            if metric_id in known
        }
        for plan in plans
    }
