"""Taxes on fees and invoices: which level applies, and the copies that an invoice keeps."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from invoicer.billing.billing_facts import BillingAccount
from invoicer.db import Charge, Fee, FeeAppliedTax, InvoiceAppliedTax, Plan, Tax
from invoicer.rating import taxes as rating
from invoicer.rating.arithmetic import PERCENT, exact_arithmetic


def taxes_of(account: BillingAccount, plan: Plan, charge: Charge | None) -> tuple[Tax, ...]:
    """The taxes of a fee: the charge's, else the plan's, else the customer's, else the organization's.

    Source: Lago taxes, hierarchy.
    """
    levels: tuple[Sequence[Tax], ...] = (
        charge.taxes if charge is not None else (),
        plan.taxes,
        account.customer.taxes,
        account.organization_taxes,
    )
    return rating.taxes_of_first_level(levels)


def taxable(amount_cents: int, taxes: Sequence[Tax]) -> rating.TaxableFee:
    """A fee as the rating core taxes it; there are no coupons on it."""
    return rating.TaxableFee(
        amount_cents=amount_cents,
        precise_coupons=Decimal(0),
        taxes=tuple(rating.Tax(code=tax.code, rate=tax.rate) for tax in taxes),
    )


@exact_arithmetic()
def tax_fee(fee: Fee, taxes: Sequence[Tax], now: datetime) -> None:
    """Put the taxes on a fee, each with the copy it keeps.

    Source: Lago invoices, fee totals.
    """
    amounts = rating.tax_fee(taxable(fee.amount_cents, taxes))
    fee.taxes_amount_cents = amounts.taxes_amount_cents
    fee.taxes_precise_amount_cents = amounts.precise_taxes_amount_cents
    fee.taxes_rate = amounts.taxes_rate
    fee.applied_taxes = [
        FeeAppliedTax(
            id=uuid.uuid4(),
            tax_id=tax.id,
            tax_name=tax.name,
            tax_code=tax.code,
            tax_rate=tax.rate,
            tax_description=tax.description,
            amount_cents=applied.amount_cents,
            precise_amount_cents=fee.amount_cents * tax.rate / PERCENT,
            created_at=now,
            updated_at=now,
        )
        for tax, applied in zip(taxes, amounts.applied_taxes, strict=True)
    ]


def invoice_taxes(
    amounts: rating.InvoiceTaxAmounts, taxes: Iterable[Tax], now: datetime
) -> list[InvoiceAppliedTax]:
    """The copies of its fees' taxes that an invoice keeps, with what each amounts to."""
    by_code = {tax.code: tax for tax in taxes}
    return [_invoice_tax(by_code[applied.tax.code], applied, now) for applied in amounts.applied_taxes]


def _invoice_tax(tax: Tax, applied: rating.AppliedTax, now: datetime) -> InvoiceAppliedTax:
    return InvoiceAppliedTax(
        id=uuid.uuid4(),
        tax_id=tax.id,
        tax_name=tax.name,
        tax_code=tax.code,
        tax_rate=tax.rate,
        tax_description=tax.description,
        amount_cents=applied.amount_cents,
        fees_amount_cents=applied.fees_amount_cents,
        created_at=now,
        updated_at=now,
    )
