"""An invoice as the API shows it."""

import uuid
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from invoicer.api.outputs.applied_tax import AppliedTaxOutput, applied_tax_values
from invoicer.api.outputs.customer import CustomerOutput
from invoicer.api.outputs.fee import FeeOutput
from invoicer.api.outputs.invoice_credit import InvoiceCreditOutput
from invoicer.api.outputs.subscription import SubscriptionOutput
from invoicer.api.pagination import PaginationMeta
from invoicer.billing.finalization import draft_number
from invoicer.billing.invoice_changes import due_amount_cents
from invoicer.billing.periods import Period, PeriodEnd
from invoicer.catalog.fields import Instant
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import BillingPeriod, Invoice, InvoiceAppliedTax, InvoiceMetadata

VERSION_NUMBER = 4
"""The generation of invoices Lago calls 4: coupons before taxes."""


class InvoiceTaxOutput(AppliedTaxOutput):
    """A tax on an invoice, as it was when the invoice was made."""

    lago_invoice_id: uuid.UUID
    fees_amount_cents: int

    @classmethod
    def of(cls, applied: InvoiceAppliedTax, currency: str) -> "InvoiceTaxOutput":
        return cls(
            lago_invoice_id=applied.invoice_id,
            fees_amount_cents=applied.fees_amount_cents,
            **applied_tax_values(applied, currency),
        )


class InvoiceMetadataOutput(BaseModel):
    """A note on an invoice."""

    lago_id: uuid.UUID
    key: str
    value: str
    created_at: Instant

    @classmethod
    def of(cls, entry: InvoiceMetadata) -> "InvoiceMetadataOutput":
        return cls(lago_id=entry.id, key=entry.key, value=entry.value, created_at=entry.created_at)


class BillingPeriodOutput(BaseModel):
    """What time an invoice bills a subscription for; ends are inclusive, in whole seconds."""

    lago_subscription_id: uuid.UUID
    external_subscription_id: str
    lago_plan_id: uuid.UUID
    subscription_from_datetime: Instant
    subscription_to_datetime: Instant
    charges_from_datetime: Instant
    charges_to_datetime: Instant
    fixed_charges_from_datetime: Instant
    fixed_charges_to_datetime: Instant
    invoicing_reason: str

    @classmethod
    def of(cls, period: BillingPeriod) -> "BillingPeriodOutput":
        subscription = Period(
            period.subscription_from, period.subscription_to, PeriodEnd(period.subscription_end_kind)
        )
        charges = Period(period.charges_from, period.charges_to, PeriodEnd(period.charges_end_kind))
        return cls(
            lago_subscription_id=period.subscription_id,
            external_subscription_id=period.subscription.external_id,
            lago_plan_id=period.subscription.plan_id,
            subscription_from_datetime=subscription.start,
            subscription_to_datetime=subscription.display_end,
            charges_from_datetime=charges.start,
            charges_to_datetime=charges.display_end,
            fixed_charges_from_datetime=charges.start,
            fixed_charges_to_datetime=charges.display_end,
            invoicing_reason=period.invoicing_reason,
        )


class InvoiceOutput(BaseModel):
    """An invoice as it is listed. Credits of any kind are not offered: they are 0."""

    lago_id: uuid.UUID
    billing_entity_code: str = DEFAULT_BILLING_ENTITY
    sequential_id: int | None
    number: str
    purchase_order_number: str | None
    issuing_date: date
    payment_due_date: date
    net_payment_term: int
    invoice_type: str
    status: str
    payment_status: str
    payment_dispute_lost_at: Instant | None
    payment_overdue: bool
    currency: str
    fees_amount_cents: int
    taxes_amount_cents: int
    progressive_billing_credit_amount_cents: int
    coupons_amount_cents: int
    credit_notes_amount_cents: int
    sub_total_excluding_taxes_amount_cents: int
    sub_total_including_taxes_amount_cents: int
    total_amount_cents: int
    total_due_amount_cents: int
    total_paid_amount_cents: int
    total_offsetted_credit_note_amount_cents: int
    prepaid_credit_amount_cents: int
    prepaid_granted_credit_amount_cents: int | None = None
    prepaid_purchased_credit_amount_cents: int | None = None
    file_url: str | None = None
    xml_url: str | None = None
    web_url: str | None = None
    version_number: int = VERSION_NUMBER
    self_billed: bool = False
    created_at: Instant
    updated_at: Instant
    voided_at: Instant | None
    customer: CustomerOutput
    metadata: list[InvoiceMetadataOutput]
    applied_taxes: list[InvoiceTaxOutput]
    applied_usage_thresholds: list[dict[str, Any]] = []

    @classmethod
    def of(cls, invoice: Invoice) -> "InvoiceOutput":
        return cls(**_values(invoice))


class InvoiceInFullOutput(InvoiceOutput):
    """An invoice with its fees and periods."""

    subscriptions: list[SubscriptionOutput]
    billing_periods: list[BillingPeriodOutput]
    fees: list[FeeOutput]
    credits: list[InvoiceCreditOutput]
    error_details: list[dict[str, Any]] = []
    applied_invoice_custom_sections: list[dict[str, Any]] = []

    @classmethod
    def in_full(cls, invoice: Invoice, now: datetime) -> "InvoiceInFullOutput":
        """`now` decides the current billing period its subscriptions show."""
        periods = sorted(invoice.billing_periods, key=lambda period: period.subscription.external_id)
        return cls(
            **_values(invoice),
            subscriptions=[SubscriptionOutput.of(period.subscription, now) for period in periods],
            billing_periods=[BillingPeriodOutput.of(period) for period in periods],
            fees=[FeeOutput.of(fee) for fee in invoice.fees],
            credits=[InvoiceCreditOutput.of(credit) for credit in invoice.credits],
        )


class InvoiceAnswer(BaseModel):
    """One invoice."""

    invoice: InvoiceInFullOutput


class InvoicesAnswer(BaseModel):
    """A page of invoices."""

    invoices: list[InvoiceOutput]
    meta: PaginationMeta


_SAME_NAMED = (
    "sequential_id purchase_order_number issuing_date payment_due_date net_payment_term invoice_type status "
    "payment_status payment_dispute_lost_at payment_overdue currency fees_amount_cents taxes_amount_cents "
    "progressive_billing_credit_amount_cents coupons_amount_cents credit_notes_amount_cents "
    "sub_total_excluding_taxes_amount_cents sub_total_including_taxes_amount_cents total_amount_cents "
    "total_paid_amount_cents total_offsetted_credit_note_amount_cents prepaid_credit_amount_cents created_at "
    "updated_at voided_at"
).split()


def _values(invoice: Invoice) -> dict[str, Any]:
    taxes = sorted(invoice.applied_taxes, key=lambda applied: applied.tax_code)
    return {field: getattr(invoice, field) for field in _SAME_NAMED} | {
        "lago_id": invoice.id,
        "number": invoice.number or draft_number(invoice.customer.organization),
        "total_due_amount_cents": due_amount_cents(invoice),
        "customer": CustomerOutput.of(invoice.customer),
        "metadata": [InvoiceMetadataOutput.of(entry) for entry in invoice.metadata_entries],
        "applied_taxes": [InvoiceTaxOutput.of(each, invoice.currency) for each in taxes],
    }
