"""What a caller may say about a subscription."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator

from invoicer.billing.subscription_terms import BillingTime
from invoicer.catalog.fields import (
    RequiredText,
    ResourceInput,
    Text,
    UnsupportedList,
    UnsupportedObject,
    refused,
)
from schemas.time_text import parse_iso

YEAR_MIN, YEAR_MAX = 1970, 2200
"""Years in which a subscription may start or end: what the event store can hold, with room for its periods."""


def _instant(value: Any) -> Any:
    if value is None or isinstance(value, datetime):
        return value
    instant = parse_iso(value) if isinstance(value, str) else None
    if instant is None or not YEAR_MIN <= instant.year <= YEAR_MAX:
        raise refused("invalid_date")
    return instant


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


InstantInput = Annotated[datetime, BeforeValidator(_instant)]
ExternalId = Annotated[RequiredText, BeforeValidator(_stripped)]


class TerminationCreditNote(StrEnum):
    """What a termination does with an amount paid in advance and not used up."""

    CREDIT = "credit"
    SKIP = "skip"
    REFUND = "refund"
    OFFSET = "offset"


class TerminationInvoice(StrEnum):
    """Whether a termination bills what was used since the last invoice."""

    GENERATE = "generate"
    SKIP = "skip"


class SubscriptionInput(ResourceInput):
    """A subscription to create.

    Source: Lago subscriptions, creation.
    """

    external_customer_id: ExternalId
    external_id: ExternalId
    plan_code: RequiredText
    name: Text | None = None
    billing_time: BillingTime | None = None
    subscription_at: InstantInput | None = None
    ending_at: InstantInput | None = None
    consolidate_invoice: bool | None = None
    purchase_order_number: Text | None = None
    billing_entity_code: Text | None = None
    plan_overrides: UnsupportedObject | None = None
    activation_rules: UnsupportedList | None = None
    usage_thresholds: UnsupportedList | None = None


class SubscriptionChanges(ResourceInput):
    """Changes of a subscription; only what is named changes.

    Source: Lago subscriptions, update.
    """

    name: Text | None = None
    subscription_at: InstantInput | None = None
    ending_at: InstantInput | None = None
    consolidate_invoice: bool | None = None
    purchase_order_number: Text | None = None
    on_termination_credit_note: TerminationCreditNote | None = None
    on_termination_invoice: TerminationInvoice | None = None
    plan_code: Text | None = None
    billing_entity_code: Text | None = None
    plan_overrides: UnsupportedObject | None = None
    activation_rules: UnsupportedList | None = None
    usage_thresholds: UnsupportedList | None = None
