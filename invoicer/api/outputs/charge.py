"""Charges and their filters as the API shows them."""

import uuid
from typing import Any

from pydantic import BaseModel

from invoicer.api.outputs.tax import TaxOutput
from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from invoicer.db import Charge, ChargeFilter


class ChargeFilterOutput(BaseModel):
    """A filter of a charge."""

    lago_id: uuid.UUID
    charge_code: str
    invoice_display_name: str | None
    properties: dict[str, Any]
    values: dict[str, list[str]]

    @classmethod
    def of(cls, charge_filter: ChargeFilter) -> "ChargeFilterOutput":
        return cls(
            lago_id=charge_filter.id,
            charge_code=charge_filter.charge.code,
            invoice_display_name=charge_filter.invoice_display_name,
            properties=charge_filter.properties,
            values=charge_filter.values,
        )


class ChargeOutput(BaseModel):
    """A charge; what is not billed yet is shown as not asked for."""

    lago_id: uuid.UUID
    lago_billable_metric_id: uuid.UUID
    code: str
    invoice_display_name: str | None
    billable_metric_code: str
    created_at: Instant
    charge_model: str
    invoiceable: bool
    regroup_paid_fees: str | None = None
    pay_in_advance: bool
    prorated: bool
    min_amount_cents: int
    accepts_target_wallet: bool = False
    properties: dict[str, Any]
    applied_pricing_unit: None = None
    lago_parent_id: uuid.UUID | None = None
    filters: list[ChargeFilterOutput]
    taxes: list[TaxOutput]

    @classmethod
    def of(cls, charge: Charge) -> "ChargeOutput":
        return cls(
            lago_id=charge.id,
            lago_billable_metric_id=charge.billable_metric_id,
            code=charge.code,
            invoice_display_name=charge.invoice_display_name,
            billable_metric_code=charge.billable_metric.code,
            created_at=charge.created_at,
            charge_model=charge.charge_model,
            invoiceable=charge.invoiceable,
            pay_in_advance=charge.pay_in_advance,
            prorated=charge.prorated,
            min_amount_cents=charge.min_amount_cents,
            properties=charge.properties,
            filters=[ChargeFilterOutput.of(each) for each in charge.filters],
            taxes=[TaxOutput.of(tax) for tax in charge.taxes],
        )


class ChargeAnswer(BaseModel):
    """One charge."""

    charge: ChargeOutput


class ChargesAnswer(BaseModel):
    """A page of charges."""

    charges: list[ChargeOutput]
    meta: PaginationMeta


class ChargeFilterAnswer(BaseModel):
    """One filter."""

    filter: ChargeFilterOutput


class ChargeFiltersAnswer(BaseModel):
    """A page of filters."""

    filters: list[ChargeFilterOutput]
    meta: PaginationMeta
