"""Organizations, their API keys, and the catalog snapshot that the stream reads."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from invoicer.db.base import Base, Identified


class Organization(Identified, Base):
    """A tenant. It is its own and only billing entity; the invoice settings live here."""

    __tablename__ = "organizations"

    name: Mapped[str] = mapped_column(String(255))
    default_currency: Mapped[str] = mapped_column(String(3), default="USD")
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    country: Mapped[str | None] = mapped_column(String(2))
    address_line1: Mapped[str | None]
    address_line2: Mapped[str | None]
    city: Mapped[str | None]
    state: Mapped[str | None]
    zipcode: Mapped[str | None]
    email: Mapped[str | None]
    legal_name: Mapped[str | None]
    legal_number: Mapped[str | None]
    tax_identification_number: Mapped[str | None]
    webhook_url: Mapped[str | None]
    email_settings: Mapped[list[Any]] = mapped_column(default=list)
    net_payment_term: Mapped[int] = mapped_column(default=0)
    invoice_grace_period: Mapped[int] = mapped_column(default=0)
    invoice_footer: Mapped[str | None] = mapped_column(Text)
    document_locale: Mapped[str] = mapped_column(String(8), default="en")
    document_numbering: Mapped[str] = mapped_column(String(32), default="per_customer")
    document_number_prefix: Mapped[str] = mapped_column(String(10))
    finalize_zero_amount_invoice: Mapped[bool] = mapped_column(default=True)
    subscription_invoice_issuing_date_anchor: Mapped[str] = mapped_column(String(32), default="next_period_start")
    subscription_invoice_issuing_date_adjustment: Mapped[str] = mapped_column(
        String(40), default="align_with_finalization_date"
    )
    late_event_policy: Mapped[str] = mapped_column(String(32), default="next_invoice")
    last_customer_sequential_id: Mapped[int] = mapped_column(default=0)
    last_invoice_sequential_id: Mapped[int] = mapped_column(default=0)


class ApiKey(Identified, Base):
    """A key that acts for an organization; only its SHA-256 is kept."""

    __tablename__ = "api_keys"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)


class CatalogSnapshotRow(Base):
    """The one row that ingest and the aggregator read: the catalog as a document, with its version."""

    __tablename__ = "catalog_snapshot"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]
    document: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime]
