"""Customers."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload, selectinload

from invoicer.catalog.customer_input import CustomerInput, MetadataInput
from invoicer.catalog.organizations import check_billing_entity
from invoicer.catalog.taxes import find_taxes
from invoicer.db import Customer, CustomerMetadata, Organization
from schemas.errors import InputError, NotFound

_PLAIN_FIELDS = (
    "customer_type name firstname lastname email phone url logo_url legal_name legal_number "
    "tax_identification_number address_line1 address_line2 city state zipcode country currency timezone "
    "net_payment_term"
).split()
_BILLING_COLUMNS = (
    "invoice_grace_period document_locale subscription_invoice_issuing_date_anchor "
    "subscription_invoice_issuing_date_adjustment"
).split()
_PROVIDER_FIELDS = (
    "payment_provider payment_provider_code provider_customer_id sync sync_with_provider provider_payment_methods"
).split()


def select_customers(organization_id: uuid.UUID) -> Select[Customer]:
    """The organization's customers, newest first."""
    alive = select(Customer).where(Customer.organization_id == organization_id, Customer.deleted_at.is_(None))
    return alive.order_by(Customer.created_at.desc(), Customer.id)


def with_details(customers: Select[Customer]) -> Select[Customer]:
    """The same customers, with all that is shown of them read in a few queries."""
    return customers.options(
        selectinload(Customer.taxes),
        selectinload(Customer.metadata_entries),
        joinedload(Customer.organization),
    )


def select_customers_without_timezone(organization_id: uuid.UUID) -> Select[Customer]:
    """The customers whose billing days are those of the organization's timezone."""
    return select_customers(organization_id).where(Customer.timezone.is_(None))


def find_customer(session: Session, organization_id: uuid.UUID, external_id: str) -> Customer:
    """The customer with that external id.

    Raises: NotFound.
    """
    customer = _known_customer(session, organization_id, external_id)
    if customer is None:
        raise NotFound("customer")
    return customer


def upsert_customer(session: Session, organization: Organization, given: CustomerInput, now: datetime) -> Customer:
    """Create the customer, or change the one with that external id: only what is given changes.

    Raises: InputError; NotFound for an unknown tax or billing entity.
    Source: Lago customers.
    """
    check_billing_entity(given.billing_entity_code)
    customer = ensure_customer(session, organization, given.external_id, now)
    values = given.given(*_PLAIN_FIELDS) | given.stated("finalize_zero_amount_invoice")
    if "shipping_address" in given.model_fields_set:
        values["shipping_address"] = given.shipping_address.model_dump() if given.shipping_address else {}
    for field, value in values.items():
        setattr(customer, field, value)
    _change_billing_configuration(customer, given)
    if given.tax_codes is not None:
        customer.taxes = find_taxes(session, organization.id, given.tax_codes)
    if given.metadata is not None:
        _replace_metadata(customer, given.metadata, now)
    customer.updated_at = now
    session.flush()
    return customer


def ensure_customer(session: Session, organization: Organization, external_id: str, now: datetime) -> Customer:
    """The customer with that external id, created with nothing else known when there is none."""
    known = _known_customer(session, organization.id, external_id)
    if known is not None:
        return known
    # The organization's row orders concurrent creations; whoever waited for it may find the customer made.
    session.refresh(organization, with_for_update=True)
    known = _known_customer(session, organization.id, external_id)
    if known is not None:
        return known
    organization.last_customer_sequential_id += 1
    sequential_id = organization.last_customer_sequential_id
    customer = Customer(
        organization=organization,
        organization_id=organization.id,
        external_id=external_id,
        sequential_id=sequential_id,
        slug=f"{organization.document_number_prefix}-{sequential_id:03d}",
        account_type="customer",
        finalize_zero_amount_invoice="inherit",
        shipping_address={},
        billing_configuration={},
        created_at=now,
        updated_at=now,
    )
    session.add(customer)
    session.flush()
    return customer


def delete_customer(session: Session, customer: Customer, now: datetime) -> None:
    """Hide the customer; the external id may be used again."""
    customer.deleted_at = customer.updated_at = now
    session.flush()


def _known_customer(session: Session, organization_id: uuid.UUID, external_id: str) -> Customer | None:
    return session.scalar(select_customers(organization_id).where(Customer.external_id == external_id))


def _change_billing_configuration(customer: Customer, given: CustomerInput) -> None:
    configuration = given.billing_configuration
    if configuration is None:
        return
    for field, value in configuration.given(*_BILLING_COLUMNS).items():
        setattr(customer, field, value)
    provider: dict[str, Any] = configuration.given(*_PROVIDER_FIELDS)
    if provider:
        customer.billing_configuration = customer.billing_configuration | provider


def _replace_metadata(customer: Customer, given: list[MetadataInput], now: datetime) -> None:
    """Notes named by id are changed, new ones made, the others removed.

    Source: Lago customers, metadata.
    """
    if len({each.key for each in given}) != len(given):
        raise InputError({"key": ["value_already_exist"]})
    known = {entry.id: entry for entry in customer.metadata_entries}
    entries: list[CustomerMetadata] = []
    for each in given:
        entry = known.get(each.id) if each.id is not None else None
        entry = entry or CustomerMetadata(created_at=now)
        entry.key, entry.value, entry.updated_at = each.key, each.value, now
        entry.display_in_invoice = bool(each.display_in_invoice)
        entries.append(entry)
    customer.metadata_entries = entries
