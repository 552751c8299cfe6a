"""Subscriptions."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified
from invoicer.db.customers import Customer
from invoicer.db.plans import Plan


class Subscription(Identified, Base):
    """A customer on a plan.

    `due_at` is the instant of the next thing the scheduler has to do with it (start, bill, end of trial, end);
    NULL when there is none. `billed_until` is the billing instant last served: a period is billed once.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_external_id", "organization_id", "external_id"),
        Index(
            "uq_subscriptions_external_id_active",
            "organization_id",
            "external_id",
            unique=True,
            postgresql_where=text("status = 'active'"),
            sqlite_where=text("status = 'active'"),
        ),
        Index("ix_subscriptions_due_at", "due_at"),
    )

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    customer_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("customers.id"), index=True)
    plan_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("plans.id"), index=True)
    external_id: Mapped[str] = mapped_column(String(255))
    name: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16))
    billing_time: Mapped[str] = mapped_column(String(16), default="calendar")
    subscription_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]
    ending_at: Mapped[datetime | None]
    trial_ended_at: Mapped[datetime | None]
    terminated_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    on_termination_credit_note: Mapped[str | None] = mapped_column(String(16))
    on_termination_invoice: Mapped[str] = mapped_column(String(16), default="generate")
    consolidate_invoice: Mapped[bool] = mapped_column(default=True)
    purchase_order_number: Mapped[str | None] = mapped_column(String(255))
    due_at: Mapped[datetime | None]
    billed_until: Mapped[datetime | None]
    parked_reason: Mapped[str | None]

    customer: Mapped[Customer] = relationship()
    plan: Mapped[Plan] = relationship()
