"""An organization as the API shows it."""

import re
import uuid
from collections.abc import Sequence

from pydantic import BaseModel

from invoicer.api.outputs.tax import TaxOutput
from invoicer.catalog.fields import Instant
from invoicer.db import Organization, Tax

_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9]+")


class OrganizationBillingOutput(BaseModel):
    """How its customers are billed unless they say otherwise."""

    invoice_footer: str | None
    invoice_grace_period: int
    document_locale: str


class OrganizationOutput(BaseModel):
    """An organization with the taxes that apply to all its customers."""

    lago_id: uuid.UUID
    name: str
    slug: str
    default_currency: str
    created_at: Instant
    webhook_url: str | None
    webhook_urls: list[str]
    country: str | None
    address_line1: str | None
    address_line2: str | None
    state: str | None
    zipcode: str | None
    email: str | None
    city: str | None
    legal_name: str | None
    legal_number: str | None
    timezone: str
    net_payment_term: int
    email_settings: list[str]
    document_numbering: str
    document_number_prefix: str
    tax_identification_number: str | None
    finalize_zero_amount_invoice: bool
    late_event_policy: str
    billing_configuration: OrganizationBillingOutput
    events_store: str = "clickhouse"
    taxes: list[TaxOutput]

    @classmethod
    def of(cls, organization: Organization, taxes: Sequence[Tax]) -> "OrganizationOutput":
        plain = {field: getattr(organization, field) for field in _PLAIN_FIELDS}
        return cls(
            **plain,
            lago_id=organization.id,
            slug=_NOT_IN_A_SLUG.sub("-", organization.name.lower()).strip("-"),
            webhook_urls=[organization.webhook_url] if organization.webhook_url else [],
            billing_configuration=OrganizationBillingOutput(
                invoice_footer=organization.invoice_footer,
                invoice_grace_period=organization.invoice_grace_period,
                document_locale=organization.document_locale,
            ),
            taxes=[TaxOutput.of(tax) for tax in taxes],
        )


_PLAIN_FIELDS = (
    "name default_currency created_at webhook_url country address_line1 address_line2 state zipcode email city "
    "legal_name legal_number timezone net_payment_term email_settings document_numbering document_number_prefix "
    "tax_identification_number finalize_zero_amount_invoice late_event_policy"
).split()


class OrganizationAnswer(BaseModel):
    """The organization."""

    organization: OrganizationOutput
