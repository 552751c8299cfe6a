"""The filters of the list of invoices."""

import uuid
from datetime import date
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, false, or_

from invoicer.api.customer_search import SEARCHED_COLUMNS
from invoicer.api.query import VALUES_MAX, AmountQuery, EntityCodesQuery, keyed_values
from invoicer.billing.invoice_building import InvoiceStatus, PaymentStatus
from invoicer.billing.invoice_changes import select_invoices
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import Customer, Invoice, InvoiceMetadata

PaymentStatuses = list[PaymentStatus] | None
InvoiceStatuses = list[InvoiceStatus] | None


class Search(BaseModel):
    """What the invoices of a list have in common; what is None or empty does not narrow it."""

    external_customer_id: str | None = None
    amount_from: int | None = None
    amount_to: int | None = None
    currency: str | None = None
    invoice_type: str | None = None
    issuing_date_from: date | None = None
    issuing_date_to: date | None = None
    payment_overdue: bool | None = None
    payment_dispute_lost: bool | None = None
    partially_paid: bool | None = None
    self_billed: bool | None = None
    purchase_order_number: str | None = None
    search_term: str | None = None
    payment_statuses: list[PaymentStatus] = []
    statuses: list[InvoiceStatus] = []
    billing_entity_codes: list[str] = []
    metadata: dict[str, str] = {}

    def select(self, organization_id: uuid.UUID) -> Select[Invoice]:
        """The visible invoices it finds, by issuing date, newest first."""
        found = select_invoices(organization_id).join(Invoice.customer)
        return found.where(*self._plain(), *self._flags(), *self._texts())

    def _plain(self) -> list[ColumnElement[bool]]:
        possible = (
            (self.external_customer_id, Customer.external_id == self.external_customer_id),
            (self.amount_from, Invoice.total_amount_cents >= (self.amount_from or 0)),
            (self.amount_to, Invoice.total_amount_cents <= (self.amount_to or 0)),
            (self.currency, Invoice.currency == self.currency),
            (self.invoice_type, Invoice.invoice_type == self.invoice_type),
            (self.issuing_date_from, Invoice.issuing_date >= (self.issuing_date_from or date.min)),
            (self.issuing_date_to, Invoice.issuing_date <= (self.issuing_date_to or date.max)),
            (self.purchase_order_number, Invoice.purchase_order_number == self.purchase_order_number),
            (self.payment_statuses or None, Invoice.payment_status.in_(self.payment_statuses)),
            (self.statuses or None, Invoice.status.in_(self.statuses)),
        )
        return [condition for given, condition in possible if given is not None]

    def _flags(self) -> list[ColumnElement[bool]]:
        is_partial = (Invoice.total_paid_amount_cents > 0) & (
            Invoice.total_paid_amount_cents
            < Invoice.total_amount_cents - Invoice.total_offsetted_credit_note_amount_cents
        )
        possible = (
            (self.payment_overdue, Invoice.payment_overdue.is_(True)),
            (self.payment_dispute_lost, Invoice.payment_dispute_lost_at.is_not(None)),
            (self.partially_paid, is_partial),
            (self.self_billed, Invoice.id.is_(None)),  # no invoice is self-billed
        )
        return [condition if wanted else ~condition for wanted, condition in possible if wanted is not None]

    def _texts(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.billing_entity_codes and DEFAULT_BILLING_ENTITY not in self.billing_entity_codes:
            conditions.append(false())
        if self.search_term:
            columns = (Invoice.number, *SEARCHED_COLUMNS)
            conditions.append(or_(*(each.icontains(self.search_term, autoescape=True) for each in columns)))
        return conditions + [_has_note(key, value) for key, value in self.metadata.items()]


def _has_note(key: str, value: str) -> ColumnElement[bool]:
    """An empty value asks for invoices without that note. Source: Lago lists, metadata."""
    notes = InvoiceMetadata.key == key
    if not value:
        return ~Invoice.metadata_entries.any(notes)
    return Invoice.metadata_entries.any(notes & (InvoiceMetadata.value == value))


def read_search(
    request: Request,
    external_customer_id: str | None = None,
    amount_from: AmountQuery = None,
    amount_to: AmountQuery = None,
    currency: str | None = None,
    invoice_type: str | None = None,
    issuing_date_from: date | None = None,
    issuing_date_to: date | None = None,
    payment_overdue: bool | None = None,
    payment_dispute_lost: bool | None = None,
    partially_paid: bool | None = None,
    self_billed: bool | None = None,
    purchase_order_number: str | None = None,
    search_term: Annotated[str | None, Query(max_length=255)] = None,
    payment_status: Annotated[PaymentStatuses, Query(max_length=VALUES_MAX)] = None,
    payment_status_list: Annotated[PaymentStatuses, Query(alias="payment_status[]", max_length=VALUES_MAX)] = None,
    payment_statuses: Annotated[PaymentStatuses, Query(alias="payment_statuses[]", max_length=VALUES_MAX)] = None,
    status: Annotated[InvoiceStatuses, Query(max_length=VALUES_MAX)] = None,
    status_list: Annotated[InvoiceStatuses, Query(alias="status[]", max_length=VALUES_MAX)] = None,
    statuses: Annotated[InvoiceStatuses, Query(alias="statuses[]", max_length=VALUES_MAX)] = None,
    billing_entity_codes: EntityCodesQuery = None,
) -> Search:
    """The filters of a request; `metadata[key]=value` may be repeated with other keys.

    A status may be named as one (`status`) or as several (`status[]`, `statuses[]`).
    """
    return Search(
        external_customer_id=external_customer_id,
        amount_from=amount_from,
        amount_to=amount_to,
        currency=currency,
        invoice_type=invoice_type,
        issuing_date_from=issuing_date_from,
        issuing_date_to=issuing_date_to,
        payment_overdue=payment_overdue,
        payment_dispute_lost=payment_dispute_lost,
        partially_paid=partially_paid,
        self_billed=self_billed,
        purchase_order_number=purchase_order_number,
        search_term=search_term,
        payment_statuses=payment_statuses or payment_status_list or payment_status or [],
        statuses=statuses or status_list or status or [],
        billing_entity_codes=billing_entity_codes or [],
        metadata=dict(keyed_values(request, "metadata")),
    )


InvoiceSearch = Annotated[Search, Depends(read_search)]
"""The filters a list of invoices is asked with."""
