"""An applied tax as the API shows it, on a fee, an invoice or a credit note."""

import uuid
from typing import Any

from pydantic import BaseModel

from invoicer.catalog.fields import Instant
from invoicer.db import CreditNoteAppliedTax, FeeAppliedTax, InvoiceAppliedTax


class AppliedTaxOutput(BaseModel):
    """A tax as it was when it was applied."""

    lago_id: uuid.UUID
    lago_tax_id: uuid.UUID
    tax_name: str
    tax_code: str
    tax_rate: float
    tax_description: str | None
    amount_cents: int
    amount_currency: str
    created_at: Instant


def applied_tax_values(
    applied: FeeAppliedTax | InvoiceAppliedTax | CreditNoteAppliedTax, currency: str
) -> dict[str, Any]:
    """What all kinds show."""
    return {
        "lago_id": applied.id,
        "lago_tax_id": applied.tax_id,
        "tax_name": applied.tax_name,
        "tax_code": applied.tax_code,
        "tax_rate": float(applied.tax_rate),  # shown, never calculated with: the API's rates are JSON numbers
        "tax_description": applied.tax_description,
        "amount_cents": applied.amount_cents,
        "amount_currency": currency,
        "created_at": applied.created_at,
    }
