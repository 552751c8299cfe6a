"""Taxes and what they are attached to."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Column, ForeignKey, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from invoicer.db.base import Base, Identified, unique_while_alive


class Tax(Identified, Base):
    """A percentage by name; several at one level add up."""

    __tablename__ = "taxes"
    __table_args__ = (unique_while_alive("taxes", "code"),)

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str] = mapped_column(String(255))
    code: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    rate: Mapped[Decimal]
    applied_to_organization: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime | None]


def _attachment(table: str, owner: str) -> Table:
    return Table(
        f"{table}_taxes",
        Base.metadata,
        Column(f"{table}_id", ForeignKey(f"{owner}.id", ondelete="CASCADE"), primary_key=True),
        Column("tax_id", ForeignKey("taxes.id", ondelete="CASCADE"), primary_key=True),
    )


customer_taxes = _attachment("customer", "customers")
plan_taxes = _attachment("plan", "plans")
charge_taxes = _attachment("charge", "charges")
