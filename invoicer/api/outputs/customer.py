"""A customer as the API shows it."""

import uuid
from typing import Any

from pydantic import BaseModel

from invoicer.api.outputs.tax import TaxOutput
from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import Customer, CustomerMetadata


class CustomerMetadataOutput(BaseModel):
    """A note on a customer."""

    lago_id: uuid.UUID
    key: str
    value: str
    display_in_invoice: bool
    created_at: Instant

    @classmethod
    def of(cls, entry: CustomerMetadata) -> "CustomerMetadataOutput":
        return cls(
            lago_id=entry.id,
            key=entry.key,
            value=entry.value,
            display_in_invoice=entry.display_in_invoice,
            created_at=entry.created_at,
        )


class CustomerBillingOutput(BaseModel):
    """How a customer is billed."""

    invoice_grace_period: int | None
    subscription_invoice_issuing_date_anchor: str | None
    subscription_invoice_issuing_date_adjustment: str | None
    document_locale: str | None
    payment_provider: str | None = None
    payment_provider_code: str | None = None
    provider_customer_id: str | None = None
    sync: bool | None = None
    sync_with_provider: bool | None = None
    provider_payment_methods: list[str] | None = None

    @classmethod
    def of(cls, customer: Customer) -> "CustomerBillingOutput":
        return cls(
            invoice_grace_period=customer.invoice_grace_period,
            subscription_invoice_issuing_date_anchor=customer.subscription_invoice_issuing_date_anchor,
            subscription_invoice_issuing_date_adjustment=customer.subscription_invoice_issuing_date_adjustment,
            document_locale=customer.document_locale,
            **customer.billing_configuration,
        )


class AddressOutput(BaseModel):
    """An address."""

    address_line1: str | None = None
    address_line2: str | None = None
    city: str | None = None
    zipcode: str | None = None
    state: str | None = None
    country: str | None = None


class CustomerOutput(BaseModel):
    """A customer with what belongs to it."""

    lago_id: uuid.UUID
    billing_entity_code: str = DEFAULT_BILLING_ENTITY
    external_id: str
    account_type: str
    name: str | None
    firstname: str | None
    lastname: str | None
    customer_type: str | None
    sequential_id: int
    slug: str
    created_at: Instant
    updated_at: Instant
    country: str | None
    address_line1: str | None
    address_line2: str | None
    state: str | None
    zipcode: str | None
    email: str | None
    city: str | None
    url: str | None
    phone: str | None
    logo_url: str | None
    legal_name: str | None
    legal_number: str | None
    currency: str | None
    tax_identification_number: str | None
    timezone: str | None
    applicable_timezone: str
    net_payment_term: int | None
    external_salesforce_id: str | None = None
    finalize_zero_amount_invoice: str
    billing_configuration: CustomerBillingOutput
    shipping_address: AddressOutput
    skip_invoice_custom_sections: bool = False
    metadata: list[CustomerMetadataOutput]
    taxes: list[TaxOutput]
    integration_customers: list[dict[str, Any]] = []
    applicable_invoice_custom_sections: list[dict[str, Any]] = []
    error_details: list[dict[str, Any]] = []

    @classmethod
    def of(cls, customer: Customer) -> "CustomerOutput":
        plain = {field: getattr(customer, field) for field in _PLAIN_FIELDS}
        return cls(
            **plain,
            lago_id=customer.id,
            applicable_timezone=customer.applicable_timezone,
            billing_configuration=CustomerBillingOutput.of(customer),
            shipping_address=AddressOutput(**customer.shipping_address),
            metadata=[CustomerMetadataOutput.of(entry) for entry in customer.metadata_entries],
            taxes=[TaxOutput.of(tax) for tax in customer.taxes],
        )


_PLAIN_FIELDS = (
    "external_id account_type name firstname lastname customer_type sequential_id slug created_at updated_at "
    "country address_line1 address_line2 state zipcode email city url phone logo_url legal_name legal_number "
    "currency tax_identification_number timezone net_payment_term finalize_zero_amount_invoice"
).split()


class CustomerAnswer(BaseModel):
    """One customer."""

    customer: CustomerOutput


class CustomersAnswer(BaseModel):
    """A page of customers."""

    customers: list[CustomerOutput]
    meta: PaginationMeta
