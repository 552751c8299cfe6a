"""A fee as the API shows it."""

import uuid
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from invoicer.api.outputs.applied_tax import AppliedTaxOutput, applied_tax_values
from invoicer.api.pagination import PaginationMeta
from invoicer.billing.periods import Period, PeriodEnd
from invoicer.catalog.fields import Instant
from invoicer.db import Fee, FeeAppliedTax
from invoicer.rating.arithmetic import exact_arithmetic
from schemas.money import currency_exponent, decimal_text


class FeeTaxOutput(AppliedTaxOutput):
    """A tax on a fee, as it was when the fee was made."""

    lago_fee_id: uuid.UUID

    @classmethod
    def of(cls, applied: FeeAppliedTax, currency: str) -> "FeeTaxOutput":
        return cls(lago_fee_id=applied.fee_id, **applied_tax_values(applied, currency))


class FeeItemOutput(BaseModel):
    """What a fee is for.

    `grouped_by` names the group's keys that have a value; one that the events lack is left out, because the
    official client reads no null there.
    """

    type: str
    code: str
    name: str
    description: str | None
    invoice_display_name: str
    filters: dict[str, list[str]] | None
    filter_invoice_display_name: str | None
    lago_item_id: uuid.UUID
    item_type: str
    grouped_by: dict[str, str]

    @classmethod
    def of(cls, fee: Fee) -> "FeeItemOutput":
        return cls._of_subscription(fee) if fee.charge is None else cls._of_charge(fee)

    @classmethod
    def _of_subscription(cls, fee: Fee) -> "FeeItemOutput":
        plan = fee.subscription.plan
        return cls(
            type=fee.fee_type,
            code=plan.code,
            name=plan.name,
            description=plan.description,
            invoice_display_name=fee.invoice_display_name or plan.name,
            filters=None,
            filter_invoice_display_name=None,
            lago_item_id=fee.subscription_id,
            item_type="Subscription",
            grouped_by={},
        )

    @classmethod
    def _of_charge(cls, fee: Fee) -> "FeeItemOutput":
        assert fee.charge is not None
        metric, charge_filter = fee.charge.billable_metric, fee.charge_filter
        return cls(
            type=fee.fee_type,
            code=metric.code,
            name=metric.name,
            description=metric.description,
            invoice_display_name=fee.invoice_display_name or metric.name,
            filters=None if charge_filter is None else charge_filter.values,
            filter_invoice_display_name=None if charge_filter is None else charge_filter.invoice_display_name,
            lago_item_id=metric.id,
            item_type="BillableMetric",
            grouped_by={key: value for key, value in fee.grouped_by.items() if value is not None},
        )


class FeeOutput(BaseModel):
    """A fee. Coupons, fixed charges and pricing units are not offered: their keys are empty."""

    lago_id: uuid.UUID
    lago_charge_id: uuid.UUID | None
    lago_charge_filter_id: uuid.UUID | None
    lago_fixed_charge_id: uuid.UUID | None = None
    lago_invoice_id: uuid.UUID | None
    lago_true_up_fee_id: uuid.UUID | None
    lago_true_up_parent_fee_id: uuid.UUID | None
    lago_original_fee_id: uuid.UUID | None = None
    lago_subscription_id: uuid.UUID
    external_subscription_id: str
    lago_customer_id: uuid.UUID
    external_customer_id: str
    item: FeeItemOutput
    pay_in_advance: bool
    invoiceable: bool
    amount_cents: int
    amount_currency: str
    precise_amount: str
    precise_total_amount: str
    taxes_amount_cents: int
    taxes_precise_amount: str
    taxes_rate: float
    total_aggregated_units: str
    total_amount_cents: int
    total_amount_currency: str
    units: str
    description: str | None
    precise_unit_amount: str
    precise_coupons_amount_cents: str
    sub_total_excluding_taxes_amount_cents: int
    sub_total_excluding_taxes_precise_amount_cents: str
    events_count: int | None
    payment_status: str
    created_at: Instant
    succeeded_at: Instant | None
    failed_at: Instant | None
    refunded_at: Instant | None
    from_date: Instant
    to_date: Instant
    event_transaction_id: str | None = None
    amount_details: dict[str, Any]
    self_billed: bool = False
    pricing_unit_details: dict[str, Any] | None = None
    presentation_breakdowns: list[dict[str, Any]] = []
    applied_taxes: list[FeeTaxOutput]

    @classmethod
    def of(cls, fee: Fee) -> "FeeOutput":
        exponent = currency_exponent(fee.currency)
        period = Period(fee.period_from, fee.period_to, PeriodEnd(fee.period_end_kind))
        customer = fee.subscription.customer
        return cls(
            lago_id=fee.id,
            lago_charge_id=fee.charge_id,
            lago_charge_filter_id=fee.charge_filter_id,
            lago_invoice_id=fee.invoice_id,
            lago_true_up_fee_id=fee.true_up_fee.id if fee.true_up_fee is not None else None,
            lago_true_up_parent_fee_id=fee.true_up_parent_fee_id,
            lago_subscription_id=fee.subscription_id,
            external_subscription_id=fee.subscription.external_id,
            lago_customer_id=customer.id,
            external_customer_id=customer.external_id,
            item=FeeItemOutput.of(fee),
            pay_in_advance=fee.pay_in_advance,
            invoiceable=fee.invoiceable,
            amount_cents=fee.amount_cents,
            amount_currency=fee.currency,
            precise_amount=_major(exponent, fee.precise_amount_cents),
            precise_total_amount=_major(exponent, fee.precise_amount_cents, fee.taxes_precise_amount_cents),
            taxes_amount_cents=fee.taxes_amount_cents,
            taxes_precise_amount=_major(exponent, fee.taxes_precise_amount_cents),
            taxes_rate=float(fee.taxes_rate),
            total_aggregated_units=decimal_text(
                fee.units if fee.total_aggregated_units is None else fee.total_aggregated_units
            ),
            total_amount_cents=fee.amount_cents + fee.taxes_amount_cents,
            total_amount_currency=fee.currency,
            units=decimal_text(fee.units),
            description=fee.description,
            precise_unit_amount=decimal_text(fee.precise_unit_amount),
            precise_coupons_amount_cents=decimal_text(fee.precise_coupons_amount_cents),
            sub_total_excluding_taxes_amount_cents=fee.amount_cents,
            sub_total_excluding_taxes_precise_amount_cents=decimal_text(fee.precise_amount_cents),
            events_count=fee.events_count,
            payment_status=fee.payment_status,
            created_at=fee.created_at,
            succeeded_at=fee.succeeded_at,
            failed_at=fee.failed_at,
            refunded_at=fee.refunded_at,
            from_date=period.start,
            to_date=period.display_end,
            amount_details=fee.amount_details,
            applied_taxes=[FeeTaxOutput.of(each, fee.currency) for each in fee.applied_taxes],
        )


class FeeAnswer(BaseModel):
    """One fee."""

    fee: FeeOutput


class FeesAnswer(BaseModel):
    """A page of fees."""

    fees: list[FeeOutput]
    meta: PaginationMeta


@exact_arithmetic()
def _major(exponent: int, *cents: Decimal) -> str:
    """The sum of minor units as text of major ones."""
    return decimal_text(sum(cents, Decimal(0)).scaleb(-exponent))
