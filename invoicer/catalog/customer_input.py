"""What a caller may say about a customer."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from invoicer.catalog.fields import (
    AnyAddress,
    BlankIsNull,
    Count,
    Country,
    Currency,
    Email,
    Locale,
    RequiredText,
    ResourceInput,
    TaxCodes,
    Text,
    TimeZone,
    UnsupportedList,
    refused,
)

METADATA_MAX = 5
METADATA_KEY_MAX = 20
METADATA_VALUE_MAX = 100
GRACE_PERIOD_DAYS_MAX = 365
NET_PAYMENT_TERM_DAYS_MAX = 3_650

ZERO_AMOUNT_CHOICES = frozenset({"inherit", "skip", "finalize"})
IssuingDateAnchor = Literal["current_period_end", "next_period_start"]
IssuingDateAdjustment = Literal["align_with_finalization_date", "keep_anchor"]
GraceDays = Annotated[Count, Field(le=GRACE_PERIOD_DAYS_MAX)]
PaymentTermDays = Annotated[Count, Field(le=NET_PAYMENT_TERM_DAYS_MAX)]


def _check_zero_amount_choice(value: str) -> str:
    if value not in ZERO_AMOUNT_CHOICES:
        raise refused("invalid_value")
    return value


def _check_metadata_count(value: list[Any]) -> list[Any]:
    if len(value) > METADATA_MAX:
        raise refused("invalid_count")
    return value


def _refuse_partner(value: str) -> str:
    if value == "partner":
        raise refused("not_supported")
    return value


class AddressInput(ResourceInput):
    """An address; it replaces the one before as a whole."""

    address_line1: Text | None = None
    address_line2: Text | None = None
    city: Text | None = None
    zipcode: Text | None = None
    state: Text | None = None
    country: Annotated[Country | None, BlankIsNull] = None


class MetadataInput(ResourceInput):
    """A note; one with the `id` of an existing note changes it."""

    id: uuid.UUID | None = None
    key: Annotated[RequiredText, Field(max_length=METADATA_KEY_MAX)]
    value: Annotated[RequiredText, Field(max_length=METADATA_VALUE_MAX)]
    display_in_invoice: bool | None = None


class CustomerBillingInput(ResourceInput):
    """How a customer is billed. The payment provider's names are kept and shown; no payment is made."""

    invoice_grace_period: GraceDays | None = None
    subscription_invoice_issuing_date_anchor: IssuingDateAnchor | None = None
    subscription_invoice_issuing_date_adjustment: IssuingDateAdjustment | None = None
    document_locale: Annotated[Locale | None, BlankIsNull] = None
    payment_provider: Text | None = None
    payment_provider_code: Text | None = None
    provider_customer_id: Text | None = None
    sync: bool | None = None
    sync_with_provider: bool | None = None
    provider_payment_methods: Annotated[list[Text], Field(max_length=20)] | None = None


class CustomerInput(ResourceInput):
    """A customer to create, or to change where the external id is known: what is absent stays, null unsets."""

    external_id: RequiredText
    billing_entity_code: Text | None = None
    account_type: Annotated[Literal["customer", "partner"], AfterValidator(_refuse_partner)] | None = None
    customer_type: Literal["company", "individual"] | None = None
    name: Text | None = None
    firstname: Text | None = None
    lastname: Text | None = None
    email: Annotated[Email | None, BlankIsNull] = None
    phone: Text | None = None
    url: Annotated[AnyAddress | None, BlankIsNull] = None
    logo_url: Annotated[AnyAddress | None, BlankIsNull] = None
    legal_name: Text | None = None
    legal_number: Text | None = None
    tax_identification_number: Text | None = None
    address_line1: Text | None = None
    address_line2: Text | None = None
    city: Text | None = None
    state: Text | None = None
    zipcode: Text | None = None
    country: Annotated[Country | None, BlankIsNull] = None
    shipping_address: AddressInput | None = None
    currency: Annotated[Currency | None, BlankIsNull] = None
    timezone: Annotated[TimeZone | None, BlankIsNull] = None
    net_payment_term: PaymentTermDays | None = None
    finalize_zero_amount_invoice: Annotated[str, AfterValidator(_check_zero_amount_choice)] | None = None
    billing_configuration: CustomerBillingInput | None = None
    tax_codes: TaxCodes | None = None
    metadata: Annotated[list[MetadataInput], AfterValidator(_check_metadata_count)] | None = None
    integration_customers: UnsupportedList | None = None
    invoice_custom_section_codes: UnsupportedList | None = None
