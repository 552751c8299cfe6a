"""The organization: a tenant, and its own and only billing entity."""

from datetime import datetime

from sqlalchemy.orm import Session

from invoicer.catalog.organization_input import OrganizationChanges
from invoicer.db import Organization
from schemas.errors import NotFound

DEFAULT_BILLING_ENTITY = "default"
"""The code of the billing entity that an organization is."""

_CLEARABLE = (
    "country address_line1 address_line2 city state zipcode email legal_name legal_number "
    "tax_identification_number webhook_url"
).split()
_REQUIRED = (
    "default_currency timezone email_settings net_payment_term document_numbering finalize_zero_amount_invoice "
    "late_event_policy"
).split()


def update_organization(
    session: Session, organization: Organization, changes: OrganizationChanges, now: datetime
) -> None:
    """Change the organization's settings; documents that exist keep their numbers.

    Source: Lago organizations; invoice numbering.
    """
    values = changes.given(*_CLEARABLE) | changes.stated(*_REQUIRED)
    if changes.document_number_prefix is not None:
        values["document_number_prefix"] = changes.document_number_prefix.upper()
    if changes.billing_configuration is not None:
        values |= changes.billing_configuration.given("invoice_footer")
        values |= changes.billing_configuration.stated("invoice_grace_period", "document_locale")
    for field, value in values.items():
        setattr(organization, field, value)
    organization.updated_at = now
    session.flush()


def check_billing_entity(code: str | None) -> None:
    """An organization is its own and only billing entity.

    Raises: NotFound for the code of another one.
    """
    if code not in (None, DEFAULT_BILLING_ENTITY):
        raise NotFound("billing_entity")
