"""What an invoice took from a credit note, as the API shows it."""

import uuid

from pydantic import BaseModel

from invoicer.db import InvoiceCredit


class CreditItemOutput(BaseModel):
    """The credit note that an invoice took from."""

    lago_item_id: uuid.UUID
    type: str = "credit_note"
    code: str
    name: str


class CreditedInvoiceOutput(BaseModel):
    """The invoice that took it."""

    lago_id: uuid.UUID
    payment_status: str


class InvoiceCreditOutput(BaseModel):
    """What an invoice took from one credit note."""

    lago_id: uuid.UUID
    amount_cents: int
    amount_currency: str
    before_taxes: bool = False
    item: CreditItemOutput
    invoice: CreditedInvoiceOutput

    @classmethod
    def of(cls, credit: InvoiceCredit) -> "InvoiceCreditOutput":
        note, invoice = credit.credit_note, credit.invoice
        return cls(
            lago_id=credit.id,
            amount_cents=credit.amount_cents,
            amount_currency=invoice.currency,
            item=CreditItemOutput(lago_item_id=note.id, code=note.number, name=str(note.invoice.number)),
            invoice=CreditedInvoiceOutput(lago_id=invoice.id, payment_status=invoice.payment_status),
        )
