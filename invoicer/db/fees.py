"""Fees: the lines of an invoice, each with what it takes to check it."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified, TaxCopy
from invoicer.db.plans import Charge, ChargeFilter
from invoicer.db.subscriptions import Subscription

if TYPE_CHECKING:
    from invoicer.db.invoices import Invoice


class Fee(Identified, Base):
    """One line: a plan's amount, or the usage of one charge, filter and group over one period.

    `period_from`/`period_to` are half-open instants; `period_end_kind` (`PeriodEnd`) tells an end of day from a
    moment inside one. `precise_amount_cents` is the amount before rounding. `adjusts_billing_period_id` names the
    period, billed before, that late events changed: the fee is the difference to what was billed for it.
    """

    __tablename__ = "fees"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    invoice_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("invoices.id", ondelete="CASCADE"), index=True)
    subscription_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    charge_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("charges.id"), index=True)
    charge_filter_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("charge_filters.id"))
    true_up_parent_fee_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("fees.id", ondelete="CASCADE"))
    adjusts_billing_period_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("billing_periods.id"), index=True
    )
    position: Mapped[int] = mapped_column(default=0)
    fee_type: Mapped[str] = mapped_column(String(16))
    grouped_by: Mapped[dict[str, Any]] = mapped_column(default=dict)
    invoice_display_name: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(String(3))
    units: Mapped[Decimal]
    total_aggregated_units: Mapped[Decimal | None]
    events_count: Mapped[int | None]
    amount_cents: Mapped[int]
    precise_amount_cents: Mapped[Decimal]
    unit_amount_cents: Mapped[int]
    precise_unit_amount: Mapped[Decimal]
    taxes_amount_cents: Mapped[int] = mapped_column(default=0)
    taxes_precise_amount_cents: Mapped[Decimal] = mapped_column(default=Decimal(0))
    taxes_rate: Mapped[Decimal] = mapped_column(default=Decimal(0))
    precise_coupons_amount_cents: Mapped[Decimal] = mapped_column(default=Decimal(0))
    amount_details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    payment_status: Mapped[str] = mapped_column(String(16), default="pending")
    pay_in_advance: Mapped[bool] = mapped_column(default=False)
    invoiceable: Mapped[bool] = mapped_column(default=True)
    period_from: Mapped[datetime]
    period_to: Mapped[datetime]
    period_end_kind: Mapped[str] = mapped_column(String(16), default="day_boundary")
    succeeded_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    refunded_at: Mapped[datetime | None]

    invoice: Mapped["Invoice | None"] = relationship(back_populates="fees")
    subscription: Mapped[Subscription] = relationship()
    charge: Mapped[Charge | None] = relationship()
    charge_filter: Mapped[ChargeFilter | None] = relationship()
    true_up_fee: Mapped["Fee | None"] = relationship(
        primaryjoin="Fee.id == foreign(Fee.true_up_parent_fee_id)",
        remote_side="Fee.true_up_parent_fee_id",
        viewonly=True,
        uselist=False,
    )
    applied_taxes: Mapped[list["FeeAppliedTax"]] = relationship(
        back_populates="fee", cascade="all, delete-orphan", order_by="FeeAppliedTax.created_at"
    )


class FeeAppliedTax(TaxCopy, Identified, Base):
    """A tax as it was when the fee was made."""

    __tablename__ = "fee_applied_taxes"

    fee_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("fees.id", ondelete="CASCADE"), index=True)
    precise_amount_cents: Mapped[Decimal]

    fee: Mapped[Fee] = relationship(back_populates="applied_taxes")
