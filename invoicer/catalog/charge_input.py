"""What a caller may say about the charges of a plan."""

import uuid
from typing import Annotated, Any

from pydantic import Field

from invoicer.catalog.fields import (
    LIST_MAX,
    AmountCents,
    RequiredText,
    ResourceInput,
    TaxCodes,
    Text,
    UnsupportedFlag,
    UnsupportedObject,
    unsupported_when,
)
from invoicer.rating.charge_models.charge_model import ChargeModel

FILTER_VALUES_MAX = 1_000
FilterValues = dict[RequiredText, Annotated[list[RequiredText], Field(max_length=FILTER_VALUES_MAX)]]
"""Property key → the values that match."""
Properties = dict[str, Any]
"""The prices, in the shape of the charge model."""


class ChargeFilterInput(ResourceInput):
    """A price of its own for the events whose properties match."""

    invoice_display_name: Text | None = None
    properties: Properties | None = None
    values: FilterValues | None = None


class ChargeChanges(ResourceInput):
    """Changes of a charge: what is absent stays.

    What is not billed yet is refused: payment in advance, fees outside invoices, pricing units, wallet targets.
    """

    id: uuid.UUID | None = None
    billable_metric_id: uuid.UUID | None = None
    code: RequiredText | None = None
    charge_model: ChargeModel | None = None
    invoice_display_name: Text | None = None
    pay_in_advance: UnsupportedFlag | None = None
    invoiceable: Annotated[bool, unsupported_when(lambda invoiceable: not invoiceable)] | None = None
    regroup_paid_fees: Annotated[str, unsupported_when(bool)] | None = None
    prorated: bool | None = None
    min_amount_cents: AmountCents | None = None
    properties: Properties | None = None
    filters: Annotated[list[ChargeFilterInput], Field(max_length=LIST_MAX)] | None = None
    tax_codes: TaxCodes | None = None
    applied_pricing_unit: UnsupportedObject | None = None
    accepts_target_wallet: UnsupportedFlag | None = None


class ChargeInput(ChargeChanges):
    """A new charge."""

    billable_metric_id: uuid.UUID
    charge_model: ChargeModel
