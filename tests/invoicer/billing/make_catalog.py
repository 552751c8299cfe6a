"""Rows of a catalog with valid defaults, for tests that bill."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from invoicer.billing.subscription_creation import create_subscription
from invoicer.billing.subscription_input import SubscriptionInput
from invoicer.catalog.bootstrap import make_organization
from invoicer.context import Context
from invoicer.db import (
    BillableMetric,
    Charge,
    ChargeFilter,
    Customer,
    Organization,
    Plan,
    Subscription,
    Tax,
)
from invoicer.db.session import transaction

Row = TypeVar("Row")


@dataclass(frozen=True)
class Catalog:
    """Makes rows in one session, all at one instant."""

    session: Session
    organization: Organization
    now: datetime

    def metric(self, code: str, aggregation: str = "count_agg", **changes: Any) -> BillableMetric:
        """A billable metric; `filters` as {key: values}."""
        filters: Mapping[str, Sequence[str]] = changes.pop("filters", {})
        return self._add(
            BillableMetric,
            organization_id=self.organization.id,
            name=changes.pop("name", code),
            code=code,
            aggregation_type=aggregation,
            field_name=None if aggregation == "count_agg" else "value",
            filters=[{"key": key, "values": list(values)} for key, values in filters.items()],
            **changes,
        )

    def plan(self, code: str = "team", amount_cents: int = 12_000, **changes: Any) -> Plan:
        """A monthly plan in USD, in arrears unless told otherwise."""
        return self._add(
            Plan,
            organization_id=self.organization.id,
            name=code.title(),
            code=code,
            amount_cents=amount_cents,
            interval=changes.pop("interval", "monthly"),
            amount_currency=changes.pop("currency", "USD"),
            pay_in_advance=changes.pop("pay_in_advance", False),
            **changes,
        )

    def charge(self, plan: Plan, metric: BillableMetric, model: str = "standard", **changes: Any) -> Charge:
        """A charge; without properties a unit costs 0.10."""
        filters: Sequence[tuple[Mapping[str, Sequence[str]], Mapping[str, Any]]] = changes.pop("filters", ())
        charge = self._add(
            Charge,
            organization_id=self.organization.id,
            plan=plan,
            billable_metric=metric,
            code=changes.pop("code", metric.code),
            charge_model=model,
            properties=changes.pop("properties", {"amount": "0.1"}),
            **changes,
        )
        for position, (values, properties) in enumerate(filters):
            self._add(
                ChargeFilter,
                charge=charge,
                position=position,
                values={key: list(allowed) for key, allowed in values.items()},
                properties=dict(properties),
            )
        return charge

    def tax(self, code: str, rate: str, **changes: Any) -> Tax:
        """A tax that applies to nothing until it is attached."""
        return self._add(
            Tax, organization_id=self.organization.id, name=code, code=code, rate=Decimal(rate), **changes
        )

    def customer(self, external_id: str = "acme", **changes: Any) -> Customer:
        """A customer with the next number."""
        self.organization.last_customer_sequential_id += 1
        number = self.organization.last_customer_sequential_id
        return self._add(
            Customer,
            organization=self.organization,
            external_id=external_id,
            sequential_id=number,
            slug=f"{self.organization.document_number_prefix}-{number:03d}",
            **changes,
        )

    def _add(self, model: Callable[..., Row], **values: Any) -> Row:
        row = model(id=uuid.uuid4(), created_at=self.now, updated_at=self.now, **values)
        self.session.add(row)
        self.session.flush()
        return row


def make_organization_row(context: Context, **changes: Any) -> Organization:
    """An organization whose documents start with MIL-0001."""
    with transaction(context.sessions) as session:
        organization = make_organization("Millrace", context.clock.now())
        organization.document_number_prefix = "MIL-0001"
        for field, value in changes.items():
            setattr(organization, field, value)
        session.add(organization)
    return organization


def subscribe(context: Context, organization: Organization, **given: Any) -> Subscription:
    """A subscription of customer acme to the plan team, made as the API makes it."""
    wanted = {"external_customer_id": "acme", "external_id": "acme-1", "plan_code": "team"} | given
    with transaction(context.sessions) as session:
        owner = session.get_one(Organization, organization.id)
        return create_subscription(session, context.usage, owner, SubscriptionInput(**wanted), context.clock.now())
