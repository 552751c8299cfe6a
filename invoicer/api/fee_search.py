"""The filters of the list of fees."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from invoicer.billing.invoice_changes import VISIBLE
from invoicer.billing.subscription_input import InstantInput
from invoicer.db import BillableMetric, Charge, Customer, Fee, Invoice, Subscription

_TIMES: tuple[tuple[str, InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]], ...] = (
    ("created_at", Fee.created_at),
    ("succeeded_at", Fee.succeeded_at),
    ("failed_at", Fee.failed_at),
    ("refunded_at", Fee.refunded_at),
)


class Search(BaseModel):
    """What the fees of a list have in common; what is None does not narrow it. Bounds are inclusive."""

    fee_type: str | None = None
    payment_status: str | None = None
    external_subscription_id: str | None = None
    external_customer_id: str | None = None
    billable_metric_code: str | None = None
    currency: str | None = None
    event_transaction_id: str | None = None
    created_at_from: InstantInput | None = None
    created_at_to: InstantInput | None = None
    succeeded_at_from: InstantInput | None = None
    succeeded_at_to: InstantInput | None = None
    failed_at_from: InstantInput | None = None
    failed_at_to: InstantInput | None = None
    refunded_at_from: InstantInput | None = None
    refunded_at_to: InstantInput | None = None

    def select(self, organization_id: uuid.UUID) -> Select[Fee]:
        """The fees of visible invoices it finds, oldest first."""
        visible = Fee.invoice.has(Invoice.status.in_(VISIBLE))
        found = select(Fee).where(Fee.organization_id == organization_id, visible)
        found = found.where(*self._plain(), *self._times())
        return found.order_by(Fee.created_at, Fee.invoice_id, Fee.position, Fee.id)

    def _plain(self) -> list[ColumnElement[bool]]:
        of_customer = Subscription.customer.has(Customer.external_id == self.external_customer_id)
        of_metric = Charge.billable_metric.has(BillableMetric.code == self.billable_metric_code)
        possible = (
            (self.fee_type, Fee.fee_type == self.fee_type),
            (self.payment_status, Fee.payment_status == self.payment_status),
            (self.currency, Fee.currency == self.currency),
            (
                self.external_subscription_id,
                Fee.subscription.has(Subscription.external_id == self.external_subscription_id),
            ),
            (self.external_customer_id, Fee.subscription.has(of_customer)),
            (self.billable_metric_code, Fee.charge.has(of_metric)),
            (self.event_transaction_id, Fee.id.is_(None)),  # no fee is made for a single event
        )
        return [condition for given, condition in possible if given is not None]

    def _times(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        for name, column in _TIMES:
            since, until = getattr(self, f"{name}_from"), getattr(self, f"{name}_to")
            if since is not None:
                conditions.append(column >= since)
            if until is not None:
                conditions.append(column <= until)
        return conditions


def read_search(search: Annotated[Search, Query()]) -> Search:
    """The filters of a request."""
    return search


FeeSearch = Annotated[Search, Depends(read_search)]
"""The filters a list of fees is asked with."""
