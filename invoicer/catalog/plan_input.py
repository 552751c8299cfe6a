"""What a caller may say about a plan."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from invoicer.catalog.charge_input import ChargeChanges, ChargeInput
from invoicer.catalog.fields import (
    AmountCents,
    Currency,
    LongText,
    NoBoolean,
    RequiredText,
    ResourceInput,
    TaxCodes,
    Text,
    UnsupportedList,
    UnsupportedObject,
    UnsupportedValue,
)
from invoicer.catalog.metadata import Metadata

CHARGES_MAX = 500
"""Charges of one plan."""
TRIAL_DAYS_MAX = 36_500

Interval = Literal["weekly", "monthly", "quarterly", "semiannual", "yearly"]
TrialDays = Annotated[Decimal, NoBoolean, Field(ge=0, le=TRIAL_DAYS_MAX, max_digits=15, decimal_places=8)]


class _UnbilledParts(ResourceInput):
    """Parts of a plan that are not billed yet, refused unless empty."""

    minimum_commitment: UnsupportedObject | None = None
    fixed_charges: UnsupportedList | None = None
    usage_thresholds: UnsupportedList | None = None
    entitlements: UnsupportedValue = None


class PlanInput(_UnbilledParts):
    """A new plan."""

    name: RequiredText
    code: RequiredText
    invoice_display_name: Text | None = None
    description: LongText | None = None
    interval: Interval
    amount_cents: AmountCents
    amount_currency: Currency
    trial_period: TrialDays | None = None
    pay_in_advance: bool | None = None
    bill_charges_monthly: bool | None = None
    tax_codes: TaxCodes | None = None
    charges: Annotated[list[ChargeInput], Field(max_length=CHARGES_MAX)] | None = None
    metadata: Metadata | None = None


class PlanChanges(_UnbilledParts):
    """Changes of a plan: what is absent stays; `charges` replaces the whole list."""

    name: RequiredText | None = None
    code: RequiredText | None = None
    invoice_display_name: Text | None = None
    description: LongText | None = None
    interval: Interval | None = None
    amount_cents: AmountCents | None = None
    amount_currency: Currency | None = None
    trial_period: TrialDays | None = None
    pay_in_advance: bool | None = None
    bill_charges_monthly: bool | None = None
    tax_codes: TaxCodes | None = None
    charges: Annotated[list[ChargeChanges], Field(max_length=CHARGES_MAX)] | None = None
    cascade_updates: bool | None = None
    metadata: Metadata | None = None
