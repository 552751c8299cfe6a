"""What a caller may say about its organization."""

from typing import Annotated, Literal

from pydantic import Field

from invoicer.billing.late_events.policy import LateEventPolicy
from invoicer.catalog.customer_input import GraceDays, PaymentTermDays
from invoicer.catalog.fields import (
    BlankIsNull,
    Country,
    Currency,
    Email,
    Locale,
    LongText,
    RequiredText,
    ResourceInput,
    Text,
    TimeZone,
    Url,
)

PREFIX_MAX = 10
EmailKind = Literal["invoice.finalized", "credit_note.created", "payment_receipt.created"]


class OrganizationBillingInput(ResourceInput):
    """How the organization's customers are billed unless they say otherwise."""

    invoice_footer: LongText | None = None
    invoice_grace_period: GraceDays | None = None
    document_locale: Annotated[Locale | None, BlankIsNull] = None


class OrganizationChanges(ResourceInput):
    """Changes of the organization: what is absent stays, null unsets what can be unset."""

    default_currency: Currency | None = None
    timezone: TimeZone | None = None
    country: Annotated[Country | None, BlankIsNull] = None
    address_line1: Text | None = None
    address_line2: Text | None = None
    city: Text | None = None
    state: Text | None = None
    zipcode: Text | None = None
    email: Annotated[Email | None, BlankIsNull] = None
    legal_name: Text | None = None
    legal_number: Text | None = None
    tax_identification_number: Text | None = None
    webhook_url: Annotated[Url | None, BlankIsNull] = None
    email_settings: Annotated[list[EmailKind], Field(max_length=3)] | None = None
    net_payment_term: PaymentTermDays | None = None
    document_numbering: Literal["per_customer", "per_organization"] | None = None
    document_number_prefix: Annotated[RequiredText, Field(max_length=PREFIX_MAX)] | None = None
    finalize_zero_amount_invoice: bool | None = None
    late_event_policy: LateEventPolicy | None = None
    billing_configuration: OrganizationBillingInput | None = None
