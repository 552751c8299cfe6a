"""What is due next, derived from the rows alone: nothing is remembered between runs."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.billing.invoice_building import InvoiceStatus, PaymentStatus
from invoicer.db import Invoice, Subscription

BATCH_MAX = 5_000
"""Customers or drafts taken at once: bounds the memory of a run, not what it gets done."""


@dataclass(frozen=True)
class DueWork:
    """What is due at `instant`, the earliest one."""

    instant: datetime
    draft_ids: tuple[uuid.UUID, ...]
    customer_ids: tuple[uuid.UUID, ...]
    is_overdue_due: bool


@dataclass(frozen=True)
class DueFilter:
    """Which work to leave alone: what failed in this run, and all that reads usage while it is being counted."""

    until: datetime
    reads_usage: bool
    skipped: Collection[uuid.UUID] = ()

    def of_subscriptions(self) -> list[ColumnElement[bool]]:
        """Conditions on subscriptions: due, not parked, not skipped."""
        conditions = [
            Subscription.due_at <= self.until,
            Subscription.parked_reason.is_(None),
            Subscription.customer_id.not_in(self.skipped),
        ]
        if not self.reads_usage:
            conditions.append(Subscription.status == SubscriptionStatus.PENDING)
        return conditions

    def of_drafts(self) -> list[ColumnElement[bool]]:
        """Conditions on drafts: their grace period is over, not skipped."""
        return [
            Invoice.status == InvoiceStatus.DRAFT,
            Invoice.expected_finalization_at <= self.until,
            Invoice.id.not_in(self.skipped),
            Invoice.customer_id.not_in(self.skipped),
        ]

    def of_overdue(self) -> list[ColumnElement[bool]]:
        """Conditions on invoices that are not paid in time."""
        return [Invoice.payment_overdue_at <= self.until]


def next_work(session: Session, wanted: DueFilter) -> DueWork | None:
    """The earliest instant at which anything wanted is due, and what; None when nothing is."""
    instants = (
        _earliest(session, Subscription.due_at, wanted.of_subscriptions()),
        _earliest(session, Invoice.expected_finalization_at, wanted.of_drafts()) if wanted.reads_usage else None,
        _earliest(session, Invoice.payment_overdue_at, wanted.of_overdue()),
    )
    due = [instant for instant in instants if instant is not None]
    if not due:
        return None
    instant = min(due)
    subscriptions, drafts, overdue = (each == instant for each in instants)
    return DueWork(
        instant=instant,
        draft_ids=_drafts_at(session, wanted, instant) if drafts else (),
        customer_ids=_customers_at(session, wanted, instant) if subscriptions else (),
        is_overdue_due=overdue,
    )


def mark_overdue(session: Session, instant: datetime, now: datetime) -> int:
    """Settle the invoices whose time for payment ended at `instant`: overdue where unpaid; how many.

    Source: Lago invoices, dates.
    """
    is_unpaid = and_(
        Invoice.status == InvoiceStatus.FINALIZED,
        Invoice.payment_status != PaymentStatus.SUCCEEDED,
        Invoice.payment_dispute_lost_at.is_(None),
    )
    settled = session.execute(
        update(Invoice)
        .where(Invoice.payment_overdue_at == instant)
        .values(payment_overdue=is_unpaid, payment_overdue_at=None, updated_at=now)
    )
    return int(settled.rowcount)  # type: ignore[attr-defined]  # an UPDATE answers a cursor result


def _earliest(
    session: Session, column: InstrumentedAttribute[datetime | None], conditions: list[ColumnElement[bool]]
) -> datetime | None:
    return session.scalar(select(func.min(column)).where(*conditions))


def _customers_at(session: Session, wanted: DueFilter, instant: datetime) -> tuple[uuid.UUID, ...]:
    due = (
        select(Subscription.customer_id)
        .where(Subscription.due_at == instant, *wanted.of_subscriptions())
        .distinct()
        .order_by(Subscription.customer_id)
        .limit(BATCH_MAX)
    )
    return tuple(session.scalars(due))


def _drafts_at(session: Session, wanted: DueFilter, instant: datetime) -> tuple[uuid.UUID, ...]:
    due = (
        select(Invoice.id)
        .where(Invoice.expected_finalization_at == instant, *wanted.of_drafts())
        .order_by(Invoice.billed_at, Invoice.created_at, Invoice.id)
        .limit(BATCH_MAX)
    )
    return tuple(session.scalars(due))
