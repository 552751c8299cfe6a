"""Credit notes, what they give back, and what invoices took from them. Amounts are integer minor units."""

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, Date, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified, TaxCopy
from invoicer.db.customers import Customer
from invoicer.db.fees import Fee
from invoicer.db.invoices import Invoice


class CreditNote(Identified, Base):
    """What is given back of a final invoice.

    `total_amount_cents` is credit, refund and offset together. `balance_amount_cents` is what of the credit no
    invoice has taken yet; it changes only while the customer is locked. `credit_status` is NULL where nothing
    was credited, `refund_status` where nothing was refunded.
    """

    __tablename__ = "credit_notes"
    __table_args__ = (
        UniqueConstraint("invoice_id", "sequential_id", name="uq_credit_notes_sequential_id"),
        CheckConstraint(
            "balance_amount_cents >= 0 AND balance_amount_cents <= credit_amount_cents", name="balance"
        ),
        CheckConstraint(
            "total_amount_cents = credit_amount_cents + refund_amount_cents + offset_amount_cents", name="total"
        ),
        Index("ix_credit_notes_listing", "organization_id", "issuing_date", "created_at"),
    )

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("customers.id"), index=True)
    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id"))
    sequential_id: Mapped[int]
    number: Mapped[str] = mapped_column(String(80))
    issuing_date: Mapped[date] = mapped_column(Date)
    reason: Mapped[str] = mapped_column(String(32))
    description: Mapped[str | None] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(String(3))
    credit_status: Mapped[str | None] = mapped_column(String(16))
    refund_status: Mapped[str | None] = mapped_column(String(16))
    credit_amount_cents: Mapped[int]
    refund_amount_cents: Mapped[int] = mapped_column(default=0)
    offset_amount_cents: Mapped[int] = mapped_column(default=0)
    total_amount_cents: Mapped[int]
    balance_amount_cents: Mapped[int]
    sub_total_excluding_taxes_amount_cents: Mapped[int]
    coupons_adjustment_amount_cents: Mapped[int] = mapped_column(default=0)
    taxes_amount_cents: Mapped[int]
    precise_taxes_amount_cents: Mapped[Decimal]
    precise_total_amount_cents: Mapped[Decimal]
    taxes_rate: Mapped[Decimal]
    refunded_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    # `metadata` is taken by SQLAlchemy.
    metadata_values: Mapped[dict[str, Any] | None] = mapped_column("metadata")

    customer: Mapped[Customer] = relationship()
    invoice: Mapped[Invoice] = relationship()
    items: Mapped[list["CreditNoteItem"]] = relationship(
        back_populates="credit_note", cascade="all, delete-orphan", order_by="CreditNoteItem.position"
    )
    applied_taxes: Mapped[list["CreditNoteAppliedTax"]] = relationship(
        back_populates="credit_note", cascade="all, delete-orphan", order_by="CreditNoteAppliedTax.position"
    )


class CreditNoteItem(Identified, Base):
    """What a note gives back of one fee, before taxes. `precise_amount_cents` has 5 decimals."""

    __tablename__ = "credit_note_items"

    credit_note_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("credit_notes.id", ondelete="CASCADE"), index=True
    )
    fee_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("fees.id"), index=True)
    position: Mapped[int]
    amount_cents: Mapped[int]
    precise_amount_cents: Mapped[Decimal]

    credit_note: Mapped[CreditNote] = relationship(back_populates="items")
    fee: Mapped[Fee] = relationship()


class CreditNoteAppliedTax(TaxCopy, Identified, Base):
    """A tax of the fees, as it was when they were made, and what of it the note gives back."""

    __tablename__ = "credit_note_applied_taxes"

    credit_note_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("credit_notes.id", ondelete="CASCADE"), index=True
    )
    position: Mapped[int]
    base_amount_cents: Mapped[int]

    credit_note: Mapped[CreditNote] = relationship(back_populates="applied_taxes")


class InvoiceCredit(Identified, Base):
    """What an invoice took from the balance of one credit note, when it became final."""

    __tablename__ = "invoice_credits"
    __table_args__ = (
        UniqueConstraint("invoice_id", "credit_note_id", name="uq_invoice_credits_once"),
        CheckConstraint("amount_cents > 0", name="amount"),
    )

    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"))
    credit_note_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("credit_notes.id"), index=True)
    position: Mapped[int]
    amount_cents: Mapped[int]

    invoice: Mapped[Invoice] = relationship(back_populates="credits")
    credit_note: Mapped[CreditNote] = relationship()
