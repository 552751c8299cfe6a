"""What a caller may say about a tax."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from invoicer.catalog.fields import LongText, NoBoolean, RequiredText, ResourceInput

Rate = Annotated[Decimal, NoBoolean, Field(ge=0, le=10_000, max_digits=20, decimal_places=10)]
"""Percent."""


class TaxInput(ResourceInput):
    """A new tax."""

    name: RequiredText
    code: RequiredText
    rate: Rate
    description: LongText | None = None
    applied_to_organization: bool | None = None


class TaxChanges(ResourceInput):
    """Changes of a tax: what is absent stays."""

    name: RequiredText | None = None
    code: RequiredText | None = None
    rate: Rate | None = None
    description: LongText | None = None
    applied_to_organization: bool | None = None
