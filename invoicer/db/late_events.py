"""Events that came after the invoice of their period, and what they changed."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, ForeignKey, Index, String, Table, UniqueConstraint, event, insert
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified
from invoicer.db.credit_notes import CreditNote
from invoicer.db.fees import Fee
from invoicer.db.invoices import BillingPeriod
from invoicer.db.subscriptions import Subscription
from schemas.time_text import EPOCH


class LateAdjustment(Identified, Base):
    """The difference that late events made to one line of a final period, and where it was settled.

    A line is a charge, filter and group, or the true-up of a charge. Amounts are minor units, below zero where
    they were given back. `position` counts those of a period. Everything billed for a line so far is its own fee
    and all of its adjustments. One on a draft goes with its fee, and comes anew with each refresh.
    """

    __tablename__ = "late_adjustments"

    billing_period_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("billing_periods.id", ondelete="CASCADE"), index=True
    )
    charge_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("charges.id"))
    charge_filter_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("charge_filters.id"))
    grouped_by: Mapped[dict[str, Any]] = mapped_column(default=dict)
    is_true_up: Mapped[bool] = mapped_column(default=False)
    fee_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("fees.id", ondelete="CASCADE"), index=True)
    credit_note_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("credit_notes.id", ondelete="CASCADE"), index=True
    )
    position: Mapped[int]
    units: Mapped[Decimal]
    events_count: Mapped[int]
    amount_cents: Mapped[int]
    precise_amount_cents: Mapped[Decimal]

    fee: Mapped[Fee | None] = relationship()
    credit_note: Mapped[CreditNote | None] = relationship()


class LateEvent(Identified, Base):
    """An event that was stored after the usage of its period was read for a final invoice.

    `policy` is what applied when it was found. `counted_from` is the end of the last period that was final then:
    what was billed up to there had not seen it. `adjustment` is the line it changed, its own where several did.
    `arrived_at` is on the usage store's clock, `created_at` when it was found.
    """

    __tablename__ = "late_events"
    __table_args__ = (
        UniqueConstraint("billing_period_id", "event_id", name="uq_late_events_once"),
        Index("ix_late_events_listing", "organization_id", "timestamp"),
        Index("ix_late_events_open", "subscription_id", "status"),
        Index("ix_late_events_status", "status"),
        Index("ix_late_events_event_id", "event_id"),
    )

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    subscription_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("subscriptions.id"))
    billing_period_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("billing_periods.id", ondelete="CASCADE"))
    event_id: Mapped[uuid.UUID]
    transaction_id: Mapped[str] = mapped_column(String(255))
    code: Mapped[str] = mapped_column(String(255))
    timestamp: Mapped[datetime]
    ingested_at: Mapped[datetime]
    arrived_at: Mapped[datetime]
    counted_from: Mapped[datetime]
    policy: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(24))
    adjustment_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("late_adjustments.id", ondelete="SET NULL"), index=True
    )

    billing_period: Mapped[BillingPeriod] = relationship()
    subscription: Mapped[Subscription] = relationship()
    adjustment: Mapped[LateAdjustment | None] = relationship()


class LateEventMark(Base):
    """The one row that says up to when, on the usage store's clock, what was stored has been looked at.

    It comes with its table, so that invoicers which look for the first time at once only ever update it.
    """

    __tablename__ = "late_event_mark"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    looked_until: Mapped[datetime]


LATE_EVENT_MARK_ID = 1


@event.listens_for(LateEventMark.__table__, "after_create")
def _insert_mark(table: Table, connection: Connection, **_: object) -> None:
    """A database made without the migrations; theirs (0003) inserts the same row."""
    connection.execute(insert(table).values(id=LATE_EVENT_MARK_ID, looked_until=EPOCH))
