"""What a credit note would come to, as the API shows it."""

import uuid

from pydantic import BaseModel

from invoicer.billing.credit_note_requests import CreditNoteEstimate
from invoicer.billing.credit_notes import CreditNoteItemInput
from invoicer.db import FeeAppliedTax
from invoicer.rating.taxes import AppliedTax
from schemas.money import decimal_text


class EstimatedItemOutput(BaseModel):
    """An item as it was asked for."""

    amount_cents: int
    lago_fee_id: uuid.UUID

    @classmethod
    def of(cls, item: CreditNoteItemInput) -> "EstimatedItemOutput":
        return cls(amount_cents=int(item.amount), lago_fee_id=item.fee.id)


class EstimatedTaxOutput(BaseModel):
    """A tax the note would give back."""

    lago_tax_id: uuid.UUID
    tax_name: str
    tax_code: str
    tax_rate: float
    tax_description: str | None
    base_amount_cents: int
    amount_cents: int
    amount_currency: str

    @classmethod
    def of(cls, applied: AppliedTax, copy: FeeAppliedTax, currency: str) -> "EstimatedTaxOutput":
        return cls(
            lago_tax_id=copy.tax_id,
            tax_name=copy.tax_name,
            tax_code=copy.tax_code,
            tax_rate=float(copy.tax_rate),
            tax_description=copy.tax_description,
            base_amount_cents=applied.fees_amount_cents,
            amount_cents=applied.amount_cents,
            amount_currency=currency,
        )


class CreditNoteEstimateOutput(BaseModel):
    """The figures of a note that is not written."""

    lago_invoice_id: uuid.UUID
    invoice_number: str
    currency: str
    taxes_amount_cents: int
    precise_taxes_amount_cents: str
    sub_total_excluding_taxes_amount_cents: int
    max_creditable_amount_cents: int
    max_refundable_amount_cents: int
    max_offsettable_amount_cents: int
    coupons_adjustment_amount_cents: int
    precise_coupons_adjustment_amount_cents: str
    taxes_rate: float
    items: list[EstimatedItemOutput]
    applied_taxes: list[EstimatedTaxOutput]

    @classmethod
    def of(cls, estimate: CreditNoteEstimate) -> "CreditNoteEstimateOutput":
        invoice, amounts = estimate.invoice, estimate.amounts
        copies = {copy.tax_code: copy for item in estimate.items for copy in item.fee.applied_taxes}
        return cls(
            lago_invoice_id=invoice.id,
            invoice_number=str(invoice.number),
            currency=invoice.currency,
            taxes_amount_cents=amounts.taxes_amount_cents,
            precise_taxes_amount_cents=decimal_text(amounts.precise_taxes_amount_cents),
            sub_total_excluding_taxes_amount_cents=amounts.sub_total_excluding_taxes_amount_cents,
            max_creditable_amount_cents=amounts.total_amount_cents,
            max_refundable_amount_cents=estimate.limits.refund_amount_cents,
            max_offsettable_amount_cents=estimate.limits.offset_amount_cents,
            coupons_adjustment_amount_cents=amounts.coupons_adjustment_amount_cents,
            precise_coupons_adjustment_amount_cents=decimal_text(amounts.precise_coupons_adjustment_amount_cents),
            taxes_rate=float(amounts.taxes_rate),
            items=[EstimatedItemOutput.of(item) for item in estimate.items],
            applied_taxes=[
                EstimatedTaxOutput.of(each, copies[each.tax.code], invoice.currency)
                for each in amounts.applied_taxes
            ],
        )


class CreditNoteEstimateAnswer(BaseModel):
    """One estimate."""

    estimated_credit_note: CreditNoteEstimateOutput
