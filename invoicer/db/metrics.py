"""Billable metrics."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from invoicer.db.base import Base, Identified, unique_while_alive


class BillableMetric(Identified, Base):
    """How the events of one code become units. `filters`: [{"key": …, "values": […]}], sorted."""

    __tablename__ = "billable_metrics"
    __table_args__ = (unique_while_alive("billable_metrics", "code"),)

    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    name: Mapped[str] = mapped_column(String(255))
    code: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    aggregation_type: Mapped[str] = mapped_column(String(32))
    field_name: Mapped[str | None] = mapped_column(String(255))
    expression: Mapped[str | None] = mapped_column(Text)
    recurring: Mapped[bool] = mapped_column(default=False)
    weighted_interval: Mapped[str | None] = mapped_column(String(16))
    rounding_function: Mapped[str | None] = mapped_column(String(8))
    rounding_precision: Mapped[int | None]
    filters: Mapped[list[Any]] = mapped_column(default=list)
    deleted_at: Mapped[datetime | None]
