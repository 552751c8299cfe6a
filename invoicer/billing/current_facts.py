"""Reads what the current usage of one subscription is priced by, in a few statements however much it is.

Dashboards ask for it many times a second, and each statement costs this process more than it costs the database:
so they are not those that read for batches of subscriptions, they are built once, and what is not needed of a row
stays unread.
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Row, Select, and_, bindparam, select, union_all
from sqlalchemy.orm import Session, defer, joinedload, load_only
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.interfaces import ORMOption

from invoicer.billing.billing_facts import BillingAccount, past_columns
from invoicer.billing.billing_items import SubscriptionFacts
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.catalog.snapshot import load_dimensions, metric_definition
from invoicer.db import (
    ApiKey,
    BillableMetric,
    Charge,
    ChargeFilter,
    Customer,
    Organization,
    Plan,
    Subscription,
    Tax,
)
from invoicer.db.taxes import charge_taxes, customer_taxes, plan_taxes
from schemas.metrics import MetricDefinition


@dataclass(frozen=True)
class CurrentFacts:
    """The account and the subscription whose usage is asked for."""

    account: BillingAccount
    facts: SubscriptionFacts


@dataclass(frozen=True)
class NamedSubscription:
    """What two external ids name: whether there is such a customer, and its active subscription, if any."""

    is_customer_known: bool
    current: CurrentFacts | None


def load_named_subscription(
    session: Session, key_hash: str, external_customer_id: str, external_id: str
) -> NamedSubscription | None:
    """What the external ids name in the organization of an API key; None when it is nobody's key.

    Everything is read, so that usage can be read afterwards without a transaction.
    Source: Lago current usage.
    """
    names = {"key_hash": key_hash, "external_customer_id": external_customer_id, "external_id": external_id}
    row = session.execute(_select_named(), names).one_or_none()
    if row is None:
        return None
    if row.Subscription is None:
        return NamedSubscription(is_customer_known=row.Customer is not None, current=None)
    return NamedSubscription(is_customer_known=True, current=_current_facts(session, row))


@lru_cache(maxsize=1)
def _select_named() -> Select[Any]:
    customer_named = and_(
        Customer.organization_id == Organization.id,
        Customer.external_id == bindparam("external_customer_id"),
        Customer.deleted_at.is_(None),
    )
    subscription_named = and_(
        Subscription.customer_id == Customer.id,
        Subscription.external_id == bindparam("external_id"),
        Subscription.status == SubscriptionStatus.ACTIVE,
    )
    return (
        select(Organization, Customer, Subscription, Plan, *past_columns())
        .select_from(ApiKey)
        .join(Organization, Organization.id == ApiKey.organization_id)
        .outerjoin(Customer, customer_named)
        .outerjoin(Subscription, subscription_named)
        .outerjoin(Plan, Plan.id == Subscription.plan_id)
        .where(ApiKey.key_hash == bindparam("key_hash"))
        .options(*_needed_columns())
    )


def _needed_columns() -> Sequence[ORMOption]:
    return (
        load_only(Organization.timezone),
        load_only(Customer.organization_id, Customer.timezone),
        load_only(
            Subscription.organization_id,
            Subscription.customer_id,
            Subscription.plan_id,
            Subscription.external_id,
            Subscription.billing_time,
            Subscription.subscription_at,
            Subscription.started_at,
            Subscription.terminated_at,
        ),
        load_only(
            Plan.interval,
            Plan.amount_currency,
            Plan.trial_period,
            Plan.pay_in_advance,
            Plan.bill_charges_monthly,
        ),
    )


def _current_facts(session: Session, row: Row[Any]) -> CurrentFacts:
    customer, subscription, plan = row.Customer, row.Subscription, row.Plan
    charges = session.scalars(_select_charges(), {"plan_id": plan.id}).unique().all()
    taxes = _taxes_by_owner(session, customer, plan)
    for owner in (customer, plan, *charges):
        set_committed_value(owner, "taxes", taxes[owner.id])
    set_committed_value(customer, "organization", row.Organization)
    set_committed_value(plan, "charges", list(charges))
    set_committed_value(subscription, "customer", customer)
    set_committed_value(subscription, "plan", plan)
    facts = SubscriptionFacts(
        subscription=subscription,
        trial_started_at=row.trial_started_at,
        previous_fee_end=row.previous_fee_end,
        previous_charges_end=row.previous_charges_end,
        metrics=_definitions(session, charges),
    )
    return CurrentFacts(BillingAccount(customer, tuple(taxes[row.Organization.id])), facts)


@lru_cache(maxsize=1)
def _select_charges() -> Select[Charge]:
    metric, filters = joinedload(Charge.billable_metric, innerjoin=True), joinedload(Charge.filters)
    return (
        select(Charge)
        .where(Charge.plan_id == bindparam("plan_id"), Charge.deleted_at.is_(None))
        .order_by(Charge.position)
        .options(
            *_without_times(Charge),
            metric.options(*_without_times(BillableMetric), defer(BillableMetric.description)),
            filters.options(*_without_times(ChargeFilter)),
        )
    )


def _without_times(model: type[Charge | BillableMetric | ChargeFilter]) -> Sequence[Any]:
    return (defer(model.created_at), defer(model.updated_at), defer(model.deleted_at))


def _taxes_by_owner(session: Session, customer: Customer, plan: Plan) -> Mapping[uuid.UUID, list[Tax]]:
    """The taxes of the customer, its organization, the plan and its charges, by the id of each."""
    ids = {"customer_id": customer.id, "organization_id": customer.organization_id, "plan_id": plan.id}
    taxes: defaultdict[uuid.UUID, list[Tax]] = defaultdict(list)
    for owner_id, tax in session.execute(_select_taxes(), ids):
        taxes[owner_id].append(tax)
    return taxes


@lru_cache(maxsize=1)
def _select_taxes() -> Select[Any]:
    plan_id: BindParameter[uuid.UUID] = bindparam("plan_id")
    attached = union_all(
        select(customer_taxes.c.customer_id.label("owner_id"), customer_taxes.c.tax_id).where(
            customer_taxes.c.customer_id == bindparam("customer_id")
        ),
        select(plan_taxes.c.plan_id, plan_taxes.c.tax_id).where(plan_taxes.c.plan_id == plan_id),
        select(charge_taxes.c.charge_id, charge_taxes.c.tax_id)
        .join(Charge, Charge.id == charge_taxes.c.charge_id)
        .where(Charge.plan_id == plan_id),
        select(Tax.organization_id, Tax.id).where(
            Tax.organization_id == bindparam("organization_id"),
            Tax.applied_to_organization.is_(True),
            Tax.deleted_at.is_(None),
        ),
    ).subquery()
    return (
        select(attached.c.owner_id, Tax)
        .join(Tax, Tax.id == attached.c.tax_id)
        .order_by(Tax.created_at, Tax.id)
        .options(load_only(Tax.code, Tax.rate))
    )


def _definitions(session: Session, charges: Sequence[Charge]) -> Mapping[uuid.UUID, MetricDefinition]:
    """How the events of the charges are measured, by the metric's id."""
    metrics = {charge.billable_metric_id: charge.billable_metric for charge in charges}
    dimensions = load_dimensions(session, metrics.values())
    return {metric_id: metric_definition(metric, dimensions[metric_id]) for metric_id, metric in metrics.items()}
