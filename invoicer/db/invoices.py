"""Invoices, the periods they bill, and the taxes on them. Amounts are integer minor units."""

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import Date, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified, TaxCopy
from invoicer.db.customers import Customer
from invoicer.db.fees import Fee
from invoicer.db.subscriptions import Subscription

if TYPE_CHECKING:
    from invoicer.db.credit_notes import InvoiceCredit


class Invoice(Identified, Base):
    """What a customer owes for some periods. `number` and sequence are given in the finalizing transaction.

    `billed_at` is the instant the invoice was due, however late it was made. `payment_overdue_at` is the
    instant at which it becomes overdue; NULL where it cannot (any more).
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("organization_id", "number", name="uq_invoices_number"),
        Index("ix_invoices_listing", "organization_id", "issuing_date", "created_at"),
        Index("ix_invoices_finalization", "status", "expected_finalization_at"),
        Index("ix_invoices_payment_overdue_at", "payment_overdue_at"),
    )

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("customers.id"), index=True)
    sequential_id: Mapped[int | None]
    organization_sequential_id: Mapped[int | None]
    number: Mapped[str | None] = mapped_column(String(64))
    invoice_type: Mapped[str] = mapped_column(String(24), default="subscription")
    status: Mapped[str] = mapped_column(String(16))
    payment_status: Mapped[str] = mapped_column(String(16), default="pending")
    payment_overdue: Mapped[bool] = mapped_column(default=False)
    payment_overdue_at: Mapped[datetime | None]
    payment_dispute_lost_at: Mapped[datetime | None]
    currency: Mapped[str] = mapped_column(String(3))
    timezone: Mapped[str] = mapped_column(String(64))
    billed_at: Mapped[datetime]
    issuing_date: Mapped[date] = mapped_column(Date)
    payment_due_date: Mapped[date] = mapped_column(Date)
    net_payment_term: Mapped[int]
    expected_finalization_at: Mapped[datetime | None]
    finalized_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    purchase_order_number: Mapped[str | None] = mapped_column(String(255))
    fees_amount_cents: Mapped[int] = mapped_column(default=0)
    coupons_amount_cents: Mapped[int] = mapped_column(default=0)
    progressive_billing_credit_amount_cents: Mapped[int] = mapped_column(default=0)
    sub_total_excluding_taxes_amount_cents: Mapped[int] = mapped_column(default=0)
    taxes_amount_cents: Mapped[int] = mapped_column(default=0)
    taxes_rate: Mapped[Decimal] = mapped_column(default=Decimal(0))
    sub_total_including_taxes_amount_cents: Mapped[int] = mapped_column(default=0)
    credit_notes_amount_cents: Mapped[int] = mapped_column(default=0)
    prepaid_credit_amount_cents: Mapped[int] = mapped_column(default=0)
    total_amount_cents: Mapped[int] = mapped_column(default=0)
    total_paid_amount_cents: Mapped[int] = mapped_column(default=0)
    total_offsetted_credit_note_amount_cents: Mapped[int] = mapped_column(default=0)

    customer: Mapped[Customer] = relationship()
    fees: Mapped[list[Fee]] = relationship(
        back_populates="invoice", cascade="all, delete-orphan", order_by="Fee.position"
    )
    billing_periods: Mapped[list["BillingPeriod"]] = relationship(
        back_populates="invoice", cascade="all, delete-orphan", order_by="BillingPeriod.created_at"
    )
    applied_taxes: Mapped[list["InvoiceAppliedTax"]] = relationship(
        back_populates="invoice", cascade="all, delete-orphan", order_by="InvoiceAppliedTax.created_at"
    )
    credits: Mapped[list["InvoiceCredit"]] = relationship(
        back_populates="invoice", cascade="all, delete-orphan", order_by="InvoiceCredit.position"
    )
    metadata_entries: Mapped[list["InvoiceMetadata"]] = relationship(
        back_populates="invoice", cascade="all, delete-orphan", order_by="InvoiceMetadata.created_at"
    )


class BillingPeriod(Identified, Base):
    """One subscription on one invoice. Bounds are half-open instants; the API shows inclusive ends.

    The end kinds (`PeriodEnd`) tell an end of day from a moment inside one. `charges_duration_days` is the
    length of the whole interval that the charges period lies in, whatever it was clamped to. `events_counted` is
    how many events of the subscription, under every code, lay in the charges period just before its usage was
    read at `usage_read_at`; NULL where it was never read, or by a version that did not count.

    The unique key makes closing a period idempotent: two invoicers, or one that died and came back, cannot
    bill the same subscription for the same billing instant and reason twice.
    """

    __tablename__ = "billing_periods"
    __table_args__ = (
        UniqueConstraint("subscription_id", "invoicing_reason", "billing_at", name="uq_billing_periods_once"),
    )

    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    subscription_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("subscriptions.id"))
    invoicing_reason: Mapped[str] = mapped_column(String(40))
    billing_at: Mapped[datetime]
    subscription_from: Mapped[datetime]
    subscription_to: Mapped[datetime]
    subscription_end_kind: Mapped[str] = mapped_column(String(16), default="day_boundary")
    charges_from: Mapped[datetime]
    charges_to: Mapped[datetime]
    charges_end_kind: Mapped[str] = mapped_column(String(16), default="day_boundary")
    charges_duration_days: Mapped[int]
    bills_subscription_fee: Mapped[bool]
    bills_charges: Mapped[bool]
    events_counted: Mapped[int | None]
    usage_read_at: Mapped[datetime | None]

    invoice: Mapped[Invoice] = relationship(back_populates="billing_periods")
    subscription: Mapped[Subscription] = relationship()


class InvoiceAppliedTax(TaxCopy, Identified, Base):
    """A tax as it was when the invoice was made."""

    __tablename__ = "invoice_applied_taxes"

    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    fees_amount_cents: Mapped[int]

    invoice: Mapped[Invoice] = relationship(back_populates="applied_taxes")


class InvoiceMetadata(Identified, Base):
    """A note on an invoice."""

    __tablename__ = "invoice_metadata"

    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    key: Mapped[str] = mapped_column(String(20))
    value: Mapped[str] = mapped_column(String(140))

    invoice: Mapped[Invoice] = relationship(back_populates="metadata_entries")
