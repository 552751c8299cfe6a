"""A credit note as the API shows it."""

import uuid
from datetime import date
from typing import Any

from pydantic import BaseModel

from invoicer.api.outputs.applied_tax import AppliedTaxOutput, applied_tax_values
from invoicer.api.outputs.customer import CustomerOutput
from invoicer.api.outputs.fee import FeeOutput
from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import CreditNote, CreditNoteAppliedTax, CreditNoteItem
from schemas.money import decimal_text


class CreditNoteTaxOutput(AppliedTaxOutput):
    """A tax on a note, as it was when the fees were made."""

    lago_credit_note_id: uuid.UUID
    base_amount_cents: int

    @classmethod
    def of(cls, applied: CreditNoteAppliedTax, currency: str) -> "CreditNoteTaxOutput":
        return cls(
            lago_credit_note_id=applied.credit_note_id,
            base_amount_cents=applied.base_amount_cents,
            **applied_tax_values(applied, currency),
        )


class CreditNoteItemOutput(BaseModel):
    """What a note gives back of one fee."""

    lago_id: uuid.UUID
    amount_cents: int
    precise_amount_cents: str
    amount_currency: str
    fee: FeeOutput

    @classmethod
    def of(cls, item: CreditNoteItem) -> "CreditNoteItemOutput":
        return cls(
            lago_id=item.id,
            amount_cents=item.amount_cents,
            precise_amount_cents=decimal_text(item.precise_amount_cents),
            amount_currency=item.fee.currency,
            fee=FeeOutput.of(item.fee),
        )


class CreditNoteOutput(BaseModel):
    """A note, as in a list."""

    lago_id: uuid.UUID
    billing_entity_code: str = DEFAULT_BILLING_ENTITY
    sequential_id: int
    number: str
    lago_invoice_id: uuid.UUID
    invoice_number: str
    purchase_order_number: str | None
    issuing_date: date
    credit_status: str | None
    refund_status: str | None
    reason: str
    description: str | None
    currency: str
    total_amount_cents: int
    precise_total_amount_cents: str
    taxes_amount_cents: int
    precise_taxes_amount_cents: str
    sub_total_excluding_taxes_amount_cents: int
    balance_amount_cents: int
    credit_amount_cents: int
    refund_amount_cents: int
    offset_amount_cents: int
    coupons_adjustment_amount_cents: int
    taxes_rate: float
    created_at: Instant
    updated_at: Instant
    file_url: str | None = None
    xml_url: str | None = None
    self_billed: bool = False
    metadata: dict[str, str | None] | None
    items: list[CreditNoteItemOutput]
    applied_taxes: list[CreditNoteTaxOutput]
    error_details: list[dict[str, Any]] = []

    @classmethod
    def of(cls, note: CreditNote) -> "CreditNoteOutput":
        return cls(**_values(note))


class CreditNoteWithCustomerOutput(CreditNoteOutput):
    """A note and whose it is."""

    customer: CustomerOutput

    @classmethod
    def of(cls, note: CreditNote) -> "CreditNoteWithCustomerOutput":
        return cls(**_values(note), customer=CustomerOutput.of(note.customer))


class CreditNoteAnswer(BaseModel):
    """One note."""

    credit_note: CreditNoteWithCustomerOutput


class CreditNotesAnswer(BaseModel):
    """A page of notes."""

    credit_notes: list[CreditNoteOutput]
    meta: PaginationMeta


_SAME_NAMED = (
    "sequential_id number issuing_date credit_status refund_status reason description currency total_amount_cents "
    "taxes_amount_cents sub_total_excluding_taxes_amount_cents balance_amount_cents credit_amount_cents "
    "refund_amount_cents offset_amount_cents coupons_adjustment_amount_cents created_at updated_at"
).split()


def _values(note: CreditNote) -> dict[str, Any]:
    return {field: getattr(note, field) for field in _SAME_NAMED} | {
        "lago_id": note.id,
        "lago_invoice_id": note.invoice_id,
        "invoice_number": str(note.invoice.number),
        "purchase_order_number": note.invoice.purchase_order_number,
        "precise_total_amount_cents": decimal_text(note.precise_total_amount_cents),
        "precise_taxes_amount_cents": decimal_text(note.precise_taxes_amount_cents),
        "taxes_rate": float(note.taxes_rate),
        "metadata": note.metadata_values,
        "items": [CreditNoteItemOutput.of(item) for item in note.items],
        "applied_taxes": [CreditNoteTaxOutput.of(each, note.currency) for each in note.applied_taxes],
    }
