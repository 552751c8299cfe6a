"""The filters of the list of credit notes."""

import uuid
from datetime import date
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, false, or_

from invoicer.api.customer_search import SEARCHED_COLUMNS
from invoicer.api.query import VALUES_MAX, AmountQuery, EntityCodesQuery
from invoicer.billing.credit_note_requests import select_credit_notes
from invoicer.billing.credit_notes import CreditNoteReason, CreditStatus, RefundStatus
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import CreditNote, Customer, Invoice


class Search(BaseModel):
    """What the notes of a list have in common; what is None or empty does not narrow it."""

    external_customer_id: str | None = None
    issuing_date_from: date | None = None
    issuing_date_to: date | None = None
    search_term: str | None = None
    currency: str | None = None
    reasons: list[CreditNoteReason] = []
    credit_statuses: list[CreditStatus] = []
    refund_statuses: list[RefundStatus] = []
    invoice_number: str | None = None
    amount_from: int | None = None
    amount_to: int | None = None
    self_billed: bool | None = None
    billing_entity_codes: list[str] = []

    def select(self, organization_id: uuid.UUID) -> Select[CreditNote]:
        """The notes it finds, newest first."""
        found = select_credit_notes(organization_id).join(CreditNote.customer).join(CreditNote.invoice)
        return found.where(*self._plain(), *self._texts())

    def _plain(self) -> list[ColumnElement[bool]]:
        possible = (
            (self.external_customer_id, Customer.external_id == self.external_customer_id),
            (self.issuing_date_from, CreditNote.issuing_date >= (self.issuing_date_from or date.min)),
            (self.issuing_date_to, CreditNote.issuing_date <= (self.issuing_date_to or date.max)),
            (self.currency, CreditNote.currency == self.currency),
            (self.reasons or None, CreditNote.reason.in_(self.reasons)),
            (self.credit_statuses or None, CreditNote.credit_status.in_(self.credit_statuses)),
            (self.refund_statuses or None, CreditNote.refund_status.in_(self.refund_statuses)),
            (self.invoice_number, Invoice.number == self.invoice_number),
            (self.amount_from, CreditNote.total_amount_cents >= (self.amount_from or 0)),
            (self.amount_to, CreditNote.total_amount_cents <= (self.amount_to or 0)),
        )
        return [condition for given, condition in possible if given is not None]

    def _texts(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        is_other_entity = self.billing_entity_codes and DEFAULT_BILLING_ENTITY not in self.billing_entity_codes
        if is_other_entity or self.self_billed:  # no invoice is self-billed
            conditions.append(false())
        if self.search_term:
            columns = (CreditNote.number, *SEARCHED_COLUMNS)
            conditions.append(or_(*(each.icontains(self.search_term, autoescape=True) for each in columns)))
        return conditions


def read_search(
    external_customer_id: str | None = None,
    issuing_date_from: date | None = None,
    issuing_date_to: date | None = None,
    search_term: Annotated[str | None, Query(max_length=255)] = None,
    currency: str | None = None,
    reason: Annotated[list[CreditNoteReason] | None, Query(max_length=VALUES_MAX)] = None,
    credit_status: Annotated[list[CreditStatus] | None, Query(max_length=VALUES_MAX)] = None,
    refund_status: Annotated[list[RefundStatus] | None, Query(max_length=VALUES_MAX)] = None,
    invoice_number: str | None = None,
    amount_from: AmountQuery = None,
    amount_to: AmountQuery = None,
    self_billed: bool | None = None,
    billing_entity_codes: EntityCodesQuery = None,
) -> Search:
    """The filters of a request; a reason or a status may be named more than once."""
    return Search(
        external_customer_id=external_customer_id,
        issuing_date_from=issuing_date_from,
        issuing_date_to=issuing_date_to,
        search_term=search_term,
        currency=currency,
        reasons=reason or [],
        credit_statuses=credit_status or [],
        refund_statuses=refund_status or [],
        invoice_number=invoice_number,
        amount_from=amount_from,
        amount_to=amount_to,
        self_billed=self_billed,
        billing_entity_codes=billing_entity_codes or [],
    )


CreditNoteSearch = Annotated[Search, Depends(read_search)]
"""The filters a list of credit notes is asked with."""
