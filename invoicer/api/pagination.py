"""Pages of a collection, and the meta object that goes with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

PER_PAGE_DEFAULT = 100
PER_PAGE_MAX = 1_000
PAGE_MAX = 1_000_000_000
"""Keeps `OFFSET` far inside a 64-bit integer."""

T = TypeVar("T")


@dataclass(frozen=True)
class Pagination:
    """Which page is wanted: `page` counts from 1."""

    page: int
    per_page: int

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.page - 1) * self.per_page


class PaginationMeta(BaseModel):
    """Where a page lies in its collection.

    Source: Lago API conventions, pagination.
    """

    current_page: int
    next_page: int | None
    prev_page: int | None
    total_pages: int
    total_count: int

    @classmethod
    def of(cls, pagination: Pagination, total_count: int) -> "PaginationMeta":
        """The meta object of a page; an empty collection has page 0 of 0, a page past the end no neighbours."""
        total_pages = -(-total_count // pagination.per_page)
        page = pagination.page if total_pages else 0
        return cls(
            current_page=page,
            next_page=page + 1 if 0 < page < total_pages else None,
            prev_page=page - 1 if 1 < page <= total_pages else None,
            total_pages=total_pages,
            total_count=total_count,
        )


async def read_pagination(
    page: Annotated[str | None, Query(description="Page, from 1.")] = None,
    per_page: Annotated[str | None, Query(description=f"Items a page, at most {PER_PAGE_MAX}.")] = None,
) -> Pagination:
    """The page asked for; a value that is no number in bounds falls back to the default."""
    return Pagination(_bounded(page, 1, PAGE_MAX), _bounded(per_page, PER_PAGE_DEFAULT, PER_PAGE_MAX))


Paginated = Annotated[Pagination, Depends(read_pagination)]
"""The page a list endpoint is asked for."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """The rows of one page, and where it lies in its collection."""

    rows: Sequence[T]
    meta: PaginationMeta


def paginate(session: Session, statement: Select[T], pagination: Pagination) -> Page[T]:
    """Read one page of what `statement` selects: one entity, ordered."""
    total = session.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0
    rows = session.scalars(statement.limit(pagination.per_page).offset(pagination.offset)).all()
    return Page(rows, PaginationMeta.of(pagination, total))


def _bounded(text: str | None, default: int, maximum: int) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > len(str(maximum)):
        return default
    number = int(text)
    return number if 1 <= number <= maximum else default
