"""Customers and their metadata."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified, unique_while_alive
from invoicer.db.organizations import Organization
from invoicer.db.taxes import Tax, customer_taxes


class Customer(Identified, Base):
    """Who is billed. NULL settings inherit the organization's."""

    __tablename__ = "customers"
    __table_args__ = (unique_while_alive("customers", "external_id"),)

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    external_id: Mapped[str] = mapped_column(String(255))
    sequential_id: Mapped[int]
    slug: Mapped[str] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(String(255))
    firstname: Mapped[str | None] = mapped_column(String(255))
    lastname: Mapped[str | None] = mapped_column(String(255))
    customer_type: Mapped[str | None] = mapped_column(String(16))
    account_type: Mapped[str] = mapped_column(String(16), default="customer")
    email: Mapped[str | None]
    phone: Mapped[str | None]
    url: Mapped[str | None]
    logo_url: Mapped[str | None]
    legal_name: Mapped[str | None]
    legal_number: Mapped[str | None]
    tax_identification_number: Mapped[str | None]
    country: Mapped[str | None] = mapped_column(String(2))
    address_line1: Mapped[str | None]
    address_line2: Mapped[str | None]
    city: Mapped[str | None]
    state: Mapped[str | None]
    zipcode: Mapped[str | None]
    shipping_address: Mapped[dict[str, Any]] = mapped_column(default=dict)
    currency: Mapped[str | None] = mapped_column(String(3))
    timezone: Mapped[str | None] = mapped_column(String(64))
    net_payment_term: Mapped[int | None]
    finalize_zero_amount_invoice: Mapped[str] = mapped_column(String(16), default="inherit")
    invoice_grace_period: Mapped[int | None]
    document_locale: Mapped[str | None] = mapped_column(String(8))
    subscription_invoice_issuing_date_anchor: Mapped[str | None] = mapped_column(String(32))
    subscription_invoice_issuing_date_adjustment: Mapped[str | None] = mapped_column(String(40))
    billing_configuration: Mapped[dict[str, Any]] = mapped_column(default=dict)
    last_invoice_sequential_id: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[datetime | None]

    organization: Mapped[Organization] = relationship()
    taxes: Mapped[list[Tax]] = relationship(secondary=customer_taxes, order_by=Tax.created_at)
    metadata_entries: Mapped[list["CustomerMetadata"]] = relationship(
        back_populates="customer", cascade="all, delete-orphan", order_by="CustomerMetadata.created_at"
    )

    @property
    def applicable_timezone(self) -> str:
        """The zone its billing days are days of."""
        return self.timezone or self.organization.timezone or "UTC"


class CustomerMetadata(Identified, Base):
    """A note on a customer, optionally printed on invoices."""

    __tablename__ = "customer_metadata"

    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    key: Mapped[str] = mapped_column(String(20))
    value: Mapped[str] = mapped_column(String(100))
    display_in_invoice: Mapped[bool] = mapped_column(default=False)

    customer: Mapped[Customer] = relationship(back_populates="metadata_entries")
