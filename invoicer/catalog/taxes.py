"""Taxes."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from invoicer.catalog.tax_input import TaxChanges, TaxInput
from invoicer.db import Tax
from invoicer.db.taxes import charge_taxes, customer_taxes, plan_taxes
from schemas.errors import InputError, NotFound


def select_taxes(organization_id: uuid.UUID) -> Select[Tax]:
    """The organization's taxes, newest first."""
    alive = select(Tax).where(Tax.organization_id == organization_id, Tax.deleted_at.is_(None))
    return alive.order_by(Tax.created_at.desc(), Tax.id)


def select_organization_taxes(organization_id: uuid.UUID) -> Select[Tax]:
    """The taxes of whoever has no taxes of his own.

    Source: Lago taxes, hierarchy.
    """
    return select_taxes(organization_id).where(Tax.applied_to_organization.is_(True))


def find_tax(session: Session, organization_id: uuid.UUID, code: str) -> Tax:
    """The tax with that code.

    Raises: NotFound.
    """
    tax = session.scalar(select_taxes(organization_id).where(Tax.code == code))
    if tax is None:
        raise NotFound("tax")
    return tax


def find_taxes(session: Session, organization_id: uuid.UUID, codes: Sequence[str]) -> list[Tax]:
    """The taxes with those codes, in their order, each once.

    Raises: NotFound when one of them does not exist.
    """
    return [find_tax(session, organization_id, code) for code in dict.fromkeys(codes)]


def create_tax(session: Session, organization_id: uuid.UUID, given: TaxInput, now: datetime) -> Tax:
    """Raises: InputError when the code is taken."""
    _check_code_free(session, organization_id, given.code)
    tax = Tax(
        organization_id=organization_id,
        name=given.name,
        code=given.code,
        rate=given.rate,
        description=given.description,
        applied_to_organization=bool(given.applied_to_organization),
        created_at=now,
        updated_at=now,
    )
    session.add(tax)
    session.flush()
    return tax


def update_tax(session: Session, tax: Tax, changes: TaxChanges, now: datetime) -> None:
    """Finalized invoices keep the tax as it was; they carry their own copy.

    Raises: InputError when the new code is taken.
    Source: Lago taxes.
    """
    if changes.code not in (None, tax.code):
        _check_code_free(session, tax.organization_id, changes.code)
    values = changes.stated("name", "code", "rate", "applied_to_organization") | changes.given("description")
    for field, value in values.items():
        setattr(tax, field, value)
    tax.updated_at = now
    session.flush()


def delete_tax(session: Session, tax: Tax, now: datetime) -> None:
    """Detach the tax from everything it was applied to and hide it."""
    for table in (customer_taxes, plan_taxes, charge_taxes):
        session.execute(table.delete().where(table.c.tax_id == tax.id))
    tax.deleted_at = tax.updated_at = now
    session.flush()


def _check_code_free(session: Session, organization_id: uuid.UUID, code: str | None) -> None:
    if session.scalar(select_taxes(organization_id).where(Tax.code == code)) is not None:
        raise InputError({"code": ["value_already_exist"]})
