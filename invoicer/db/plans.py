"""Plans and their charges."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from invoicer.db.base import Base, Identified, unique_while_alive
from invoicer.db.metrics import BillableMetric
from invoicer.db.taxes import Tax, charge_taxes, plan_taxes


class Plan(Identified, Base):
    """What a subscription costs: a fixed amount per interval and charges on usage."""

    __tablename__ = "plans"
    __table_args__ = (unique_while_alive("plans", "code"),)

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str] = mapped_column(String(255))
    code: Mapped[str] = mapped_column(String(255))
    invoice_display_name: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    interval: Mapped[str] = mapped_column(String(16))
    amount_cents: Mapped[int]
    amount_currency: Mapped[str] = mapped_column(String(3))
    trial_period: Mapped[Decimal | None]
    pay_in_advance: Mapped[bool] = mapped_column(default=False)
    bill_charges_monthly: Mapped[bool | None]
    # `metadata` is taken by SQLAlchemy.
    metadata_values: Mapped[dict[str, Any] | None] = mapped_column("metadata")
    pending_deletion: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime | None]

    taxes: Mapped[list[Tax]] = relationship(secondary=plan_taxes, order_by=Tax.created_at)
    charges: Mapped[list["Charge"]] = relationship(
        back_populates="plan",
        primaryjoin="and_(Plan.id == Charge.plan_id, Charge.deleted_at.is_(None))",
        order_by="Charge.position",
    )


class Charge(Identified, Base):
    """The price of one billable metric in a plan."""

    __tablename__ = "charges"

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    plan_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("plans.id"), index=True)
    billable_metric_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("billable_metrics.id"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    code: Mapped[str] = mapped_column(String(255))
    charge_model: Mapped[str] = mapped_column(String(32))
    invoice_display_name: Mapped[str | None] = mapped_column(String(255))
    pay_in_advance: Mapped[bool] = mapped_column(default=False)
    invoiceable: Mapped[bool] = mapped_column(default=True)
    prorated: Mapped[bool] = mapped_column(default=False)
    min_amount_cents: Mapped[int] = mapped_column(default=0)
    properties: Mapped[dict[str, Any]] = mapped_column(default=dict)
    deleted_at: Mapped[datetime | None]

    plan: Mapped[Plan] = relationship(back_populates="charges")
    billable_metric: Mapped[BillableMetric] = relationship()
    taxes: Mapped[list[Tax]] = relationship(secondary=charge_taxes, order_by=Tax.created_at)
    filters: Mapped[list["ChargeFilter"]] = relationship(
        back_populates="charge",
        primaryjoin="and_(Charge.id == ChargeFilter.charge_id, ChargeFilter.deleted_at.is_(None))",
        order_by="ChargeFilter.position",
    )


class ChargeFilter(Identified, Base):
    """A price of its own for the events whose properties match. `values`: {"key": ["value", …]}."""

    __tablename__ = "charge_filters"

    charge_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("charges.id"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    invoice_display_name: Mapped[str | None] = mapped_column(String(255))
    properties: Mapped[dict[str, Any]] = mapped_column(default=dict)
    values: Mapped[dict[str, Any]] = mapped_column(default=dict)
    deleted_at: Mapped[datetime | None]

    charge: Mapped[Charge] = relationship(back_populates="filters")
