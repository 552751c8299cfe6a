"""A tax as the API shows it."""

import uuid

from pydantic import BaseModel

from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import Tax


class TaxOutput(BaseModel):
    """A tax. The counters are constant 0, as upstream."""

    lago_id: uuid.UUID
    name: str
    code: str
    rate: float
    description: str | None
    applied_to_organization: bool
    applied_to_billing_entities_codes: list[str]
    add_ons_count: int = 0
    customers_count: int = 0
    plans_count: int = 0
    charges_count: int = 0
    commitments_count: int = 0
    created_at: Instant

    @classmethod
    def of(cls, tax: Tax) -> "TaxOutput":
        return cls(
            lago_id=tax.id,
            name=tax.name,
            code=tax.code,
            rate=float(tax.rate),  # shown, never calculated with: the API's rates are JSON numbers
            description=tax.description,
            applied_to_organization=tax.applied_to_organization,
            applied_to_billing_entities_codes=[DEFAULT_BILLING_ENTITY] if tax.applied_to_organization else [],
            created_at=tax.created_at,
        )


class TaxAnswer(BaseModel):
    """One tax."""

    tax: TaxOutput


class TaxesAnswer(BaseModel):
    """A page of taxes."""

    taxes: list[TaxOutput]
    meta: PaginationMeta
