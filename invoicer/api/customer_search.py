"""The filters of the list of customers."""

import uuid
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy import ColumnElement, Select, false, or_

from invoicer.api.query import EntityCodesQuery, keyed_values
from invoicer.catalog.customers import select_customers
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import Customer, CustomerMetadata

SEARCHED_COLUMNS = (
    Customer.external_id,
    Customer.name,
    Customer.firstname,
    Customer.lastname,
    Customer.legal_name,
    Customer.email,
)
"""What a search term may be a part of."""


@dataclass(frozen=True)
class Search:
    """What the customers of a list have in common; what is None or empty does not narrow it."""

    search_term: str | None
    customer_type: str | None
    has_customer_type: bool | None
    has_tax_identification_number: bool | None
    billing_entity_codes: list[str] = field(default_factory=list)
    account_types: list[str] = field(default_factory=list)
    countries: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    zipcodes: list[str] = field(default_factory=list)
    metadata: tuple[tuple[str, str], ...] = ()

    def select(self, organization_id: uuid.UUID) -> Select[Customer]:
        """The customers it finds, newest first."""
        return select_customers(organization_id).where(*self._conditions())

    def _conditions(self) -> list[ColumnElement[bool]]:
        chosen = (
            (Customer.account_type, self.account_types),
            (Customer.country, self.countries),
            (Customer.currency, self.currencies),
            (Customer.state, self.states),
            (Customer.zipcode, self.zipcodes),
            (Customer.customer_type, [self.customer_type] if self.customer_type else []),
        )
        conditions: list[ColumnElement[bool]] = [column.in_(values) for column, values in chosen if values]
        if self.billing_entity_codes and DEFAULT_BILLING_ENTITY not in self.billing_entity_codes:
            conditions.append(false())
        if self.search_term:
            conditions.append(
                or_(*(column.icontains(self.search_term, autoescape=True) for column in SEARCHED_COLUMNS))
            )
        if self.has_customer_type is not None:
            conditions.append(Customer.customer_type.is_not(None) == self.has_customer_type)
        if self.has_tax_identification_number is not None:
            conditions.append(
                Customer.tax_identification_number.is_not(None) == self.has_tax_identification_number
            )
        return conditions + [_has_note(key, value) for key, value in self.metadata]


def _has_note(key: str, value: str) -> ColumnElement[bool]:
    """An empty value asks for customers without that note. Source: Lago lists, metadata."""
    notes = CustomerMetadata.key == key
    if not value:
        return ~Customer.metadata_entries.any(notes)
    return Customer.metadata_entries.any(notes & (CustomerMetadata.value == value))


def read_search(
    request: Request,
    search_term: Annotated[str | None, Query(max_length=255)] = None,
    customer_type: Annotated[str | None, Query(max_length=255)] = None,
    has_customer_type: bool | None = None,
    has_tax_identification_number: bool | None = None,
    account_type: Annotated[list[str] | None, Query(alias="account_type[]", max_length=100)] = None,
    billing_entity_codes: EntityCodesQuery = None,
    countries: Annotated[list[str] | None, Query(alias="countries[]", max_length=300)] = None,
    currencies: Annotated[list[str] | None, Query(alias="currencies[]", max_length=300)] = None,
    states: Annotated[list[str] | None, Query(alias="states[]", max_length=300)] = None,
    zipcodes: Annotated[list[str] | None, Query(alias="zipcodes[]", max_length=300)] = None,
) -> Search:
    """The filters of a request; `metadata[key]=value` may be repeated with other keys."""
    return Search(
        search_term=search_term,
        customer_type=customer_type,
        has_customer_type=has_customer_type,
        has_tax_identification_number=has_tax_identification_number,
        billing_entity_codes=billing_entity_codes or [],
        account_types=account_type or [],
        countries=countries or [],
        currencies=currencies or [],
        states=states or [],
        zipcodes=zipcodes or [],
        metadata=tuple(keyed_values(request, "metadata")),
    )


CustomerSearch = Annotated[Search, Depends(read_search)]
"""The filters a list of customers is asked with."""
