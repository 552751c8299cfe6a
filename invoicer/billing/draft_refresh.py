"""Drafts: recomputed from what was used by now, and made final when their grace period is over.

The steps and what a crash after each means are those of `period_closing`: read, price outside of any
transaction, then write and number in one.
"""

import time
import uuid
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, selectinload

from invoicer.billing.audited_usage import AuditedUsage
from invoicer.billing.billing_facts import load_account, load_facts, select_subscriptions
from invoicer.billing.billing_items import BillingItem, stored_item
from invoicer.billing.finalization import finalize_stored_draft, lock_customer
from invoicer.billing.invoice_building import (
    InvoiceStatus,
    apply_pricing,
    count_events,
    note_counts,
    price_items,
)
from invoicer.billing.late_events.invoicing import late_fees_of, late_parts, record_parts, stand
from invoicer.billing.late_events.work import load_late_work
from invoicer.billing.usage_gate import CountedUsage
from invoicer.context import Context
from invoicer.db import Fee, Invoice, InvoiceAppliedTax, Subscription
from invoicer.db.session import transaction
from schemas.errors import InvariantViolation, TransientError

_CATCH_UP_SECONDS_MAX = 5.0
_CATCH_UP_LOOK_SECONDS = 0.05
"""How long a caller who asks for a final invoice waits for the stream, and how often it is looked at."""


def refresh_draft(context: Context, invoice_id: uuid.UUID) -> bool:
    """Recompute a draft from its billing periods and the usage counted by now; False for any other invoice.

    Late events of earlier periods are on it too; those settled elsewhere meanwhile make it ask to try again.
    Raises: TransientError when a store is away; InvariantViolation when the result would not add up.
    Source: Lago invoices, operations.
    """
    return _recompute(context, invoice_id, finalize_at=None)


def finalize_draft(context: Context, invoice_id: uuid.UUID, *, at: datetime) -> bool:
    """Refresh a draft, then make it final as of `at`; False for any other invoice.

    The caller sees to it that the usage accepted before `at` is counted.
    Raises: as `refresh_draft`.
    """
    return _recompute(context, invoice_id, finalize_at=at)


def hold_draft(context: Context, invoice_id: uuid.UUID, violation: InvariantViolation) -> None:
    """Leave a draft a draft that would not be right as an invoice, until somebody has looked at it."""
    structlog.get_logger().error("draft_held", invoice_id=str(invoice_id), reason=str(violation))
    with transaction(context.sessions) as session:
        draft = _load_draft(session, invoice_id)
        if draft is not None:
            draft.expected_finalization_at = None
            draft.updated_at = context.clock.now()


def wait_until_counted(context: Context, instant: datetime) -> None:
    """Wait a few seconds for the stream to be counted up to `instant`.

    Raises: TransientError when it is not by then.
    """
    counted = CountedUsage(context.gate, context.clock)
    deadline = time.monotonic() + _CATCH_UP_SECONDS_MAX
    while not counted.is_counted(instant):
        if time.monotonic() > deadline:
            raise TransientError("usage", "accepted events are still being counted", retry_after_seconds=5)
        time.sleep(_CATCH_UP_LOOK_SECONDS)


def _recompute(context: Context, invoice_id: uuid.UUID, *, finalize_at: datetime | None) -> bool:
    now = context.clock.now()
    with transaction(context.sessions, reads_only=True) as session:
        stored = _load_draft(session, invoice_id)
        if stored is None:
            return False
        account = load_account(session, stored.customer_id)
        items = _items(session, stored)
        works = load_late_work(
            session, [period.subscription_id for period in stored.billing_periods], draft_id=stored.id
        )
    usage = AuditedUsage(context.usage, context.auditor)
    counted = count_events(usage, items)
    late = late_parts(context, usage, works, now)
    priced = price_items(usage, account, items, now, late_fees_of(late))
    with transaction(context.sessions) as session:
        customer = lock_customer(session, stored.customer_id, waits=True)
        invoice = _load_draft(session, invoice_id)
        if customer is None or invoice is None:
            return False  # somebody else made it final meanwhile
        if not stand(session, late):
            raise TransientError("billing", "late events of the same periods were settled meanwhile")
        _delete_fees(session, invoice)
        apply_pricing(invoice, priced)
        note_counts(invoice, counted, now)
        record_parts(session, late, now)
        invoice.updated_at = now
        if finalize_at is not None:
            finalize_stored_draft(session, customer, invoice, at=finalize_at, now=now)
    return True


def _load_draft(session: Session, invoice_id: uuid.UUID) -> Invoice | None:
    return session.scalar(
        select(Invoice)
        .where(Invoice.id == invoice_id, Invoice.status == InvoiceStatus.DRAFT)
        .options(selectinload(Invoice.billing_periods))
        .execution_options(populate_existing=True)
    )


def _items(session: Session, invoice: Invoice) -> list[BillingItem]:
    periods = sorted(invoice.billing_periods, key=lambda period: (period.created_at, str(period.subscription_id)))
    wanted = [period.subscription_id for period in periods]
    rows = session.scalars(select_subscriptions().where(Subscription.id.in_(wanted))).unique()
    by_id = {row.id: row for row in rows}
    facts = load_facts(session, [by_id[each] for each in wanted])
    timezone = ZoneInfo(invoice.timezone)
    return [stored_item(each, period, timezone) for each, period in zip(facts, periods, strict=True)]


def _delete_fees(session: Session, invoice: Invoice) -> None:
    """Take what was computed before off a draft; a true-up goes with its parent, in the database."""
    session.execute(delete(Fee).where(Fee.invoice_id == invoice.id))
    session.execute(delete(InvoiceAppliedTax).where(InvoiceAppliedTax.invoice_id == invoice.id))
    session.expire(invoice, ["fees", "applied_taxes"])
