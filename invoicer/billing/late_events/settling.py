"""Settles late events at once: by credit notes, and by invoices where none is to come or the policy says so.

Durable steps, and what a crash after each means:
1. Read the open late events and what was billed for their periods, without a lock. Nothing is written: safe.
2. Price the periods once more, outside of any transaction. Safe.
3. In one transaction: lock the customer, check that nobody else has settled any of it, write credit notes,
   invoice, the record of both and what became of each event. A crash before the commit leaves all of it open;
   after it there is nothing open.
Two invoicers may both do 1 and 2; of 3 the second finds it settled and writes nothing.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from invoicer.billing.audited_usage import AuditedUsage
from invoicer.billing.billing_facts import BillingAccount, load_account
from invoicer.billing.billing_items import BillingItem, InvoicingReason, stored_item
from invoicer.billing.credit_notes import CreditNoteItemInput, CreditNoteReason, issue_credit_note, issued_notes
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.billing.finalization import finalize_invoice, lock_customer
from invoicer.billing.invoice_building import InvoiceStatus, build_invoice
from invoicer.billing.invoice_dates import payment_due_date
from invoicer.billing.late_events.fees import (
    LateFee,
    Settled,
    adjustment_of,
    build_late_fees,
    late_usage_days,
    record_settled,
)
from invoicer.billing.late_events.lines import LineAmount, take_from
from invoicer.billing.late_events.policy import LateEventPolicy, LateEventStatus
from invoicer.billing.late_events.pricing import LateDifference, PricedLate, price_late
from invoicer.billing.late_events.work import adjustment_key, fee_key, is_unchanged, load_late_work
from invoicer.billing.local_days import local_day
from invoicer.context import Context
from invoicer.db import BillingPeriod, Fee, Invoice, LateAdjustment, LateEvent, Subscription
from invoicer.db.session import transaction

BATCH_MAX = 500
"""Subscriptions taken at once."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class _Settlement:
    """What is settled now, not saved yet; what is owed and not in `fees` waits for the next invoice."""

    priced: PricedLate
    fees: tuple[LateFee, ...]
    invoice: Invoice | None

    @property
    def waiting(self) -> list[LateDifference]:
        """What is owed and left for the next invoice, or may come to be on a draft."""
        billed = {id(each.difference) for each in self.fees}
        return [*(each for each in self.priced.owed if id(each) not in billed), *self.priced.on_drafts]


def subscriptions_to_settle(session: Session, skipped: Collection[uuid.UUID]) -> Sequence[uuid.UUID]:
    """Subscriptions with late events that were not looked at yet, or that wait for an invoice that will not come.

    `skipped` are left out.
    """
    awaits = LateEvent.status == LateEventStatus.AWAITING_INVOICE
    wanted = (
        select(LateEvent.subscription_id)
        .join(Subscription, Subscription.id == LateEvent.subscription_id)
        .where(
            or_(LateEvent.status == LateEventStatus.PENDING, awaits & _has_no_next_invoice()),
            LateEvent.subscription_id.not_in(skipped),
        )
        .distinct()
        .order_by(LateEvent.subscription_id)
        .limit(BATCH_MAX)
    )
    return session.scalars(wanted).all()


def _has_no_next_invoice() -> ColumnElement[bool]:
    """It has ended and is closed, and no draft of it takes anything on any more."""
    draft = (
        select(BillingPeriod.id)
        .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
        .where(BillingPeriod.subscription_id == Subscription.id, Invoice.status == InvoiceStatus.DRAFT)
    )
    is_closed = (Subscription.status == SubscriptionStatus.TERMINATED) & Subscription.due_at.is_(None)
    return is_closed & ~exists(draft)


def settle_late_events(context: Context, subscription_id: uuid.UUID) -> int:
    """Settle the open late events of a subscription, as far as they do not wait for its next invoice.

    Returns: how many events were looked at; 0 where another invoicer has the customer or was faster.
    Raises:  TransientError when a store is away; InvariantViolation when a charge cannot be priced. All stay open.
    """
    now = context.clock.now()
    with transaction(context.sessions, reads_only=True) as session:
        works = load_late_work(session, [subscription_id])
        if not works:
            return 0
        [work] = works
        account = load_account(session, work.facts.subscription.customer_id)
        wanted = select(Subscription.id).where(Subscription.id == subscription_id, _has_no_next_invoice())
        is_ended = session.scalar(wanted) is not None
    usage = AuditedUsage(context.usage, context.auditor)
    priced = price_late(usage, context.stored, work)
    fees = build_late_fees(
        priced, [each for each in priced.owed if is_ended or _is_due_at_once(priced, each)], now
    )
    invoice = _build_invoice(usage, account, priced, fees, now) if fees else None
    return _write(context, account, _Settlement(priced, tuple(fees), invoice), now)


def _is_due_at_once(priced: PricedLate, difference: LateDifference) -> bool:
    """By the policy of the events that lie in it, or of all where none is known to."""
    lying = [each for each in priced.work.events if each.id in difference.event_ids] or priced.work.events
    return any(each.policy == LateEventPolicy.CREDIT_NOTE_OR_INVOICE for each in lying)


def _build_invoice(
    usage: AuditedUsage, account: BillingAccount, priced: PricedLate, fees: Sequence[LateFee], now: datetime
) -> Invoice:
    """An invoice over these fees alone, final at once: days of grace are for usage that may still come."""
    period = fees[0].difference.late.period
    timezone = ZoneInfo(account.customer.applicable_timezone)
    item = _late_item(stored_item(priced.work.facts, period, timezone), now)
    invoice = build_invoice(usage, account, [item], now, [each.charged for each in fees])
    invoice.expected_finalization_at = None
    invoice.issuing_date = local_day(now, timezone)
    invoice.payment_due_date = payment_due_date(invoice.issuing_date, invoice.net_payment_term)
    return invoice


def _late_item(item: BillingItem, now: datetime) -> BillingItem:
    return replace(
        item,
        reason=InvoicingReason.LATE_USAGE,
        billing_at=now,
        bills_subscription_fee=False,
        bills_charges=False,
    )


def _write(context: Context, account: BillingAccount, settlement: _Settlement, now: datetime) -> int:
    work, invoice = settlement.priced.work, settlement.invoice
    with transaction(context.sessions) as session:
        customer = lock_customer(session, account.customer.id)
        if customer is None or not is_unchanged(session, work):
            return 0
        settled = _credit(session, settlement.priced.returned, now)
        if invoice is not None:
            [period] = invoice.billing_periods
            period.billing_at = _free_instant(session, work.facts.subscription.id, now)
            session.add(invoice)
            finalize_invoice(session, customer, invoice, now=now)
        settled += [_billed(each, now) for each in settlement.fees]
        settled += [Settled(each, LateEventStatus.AWAITING_INVOICE, None) for each in settlement.waiting]
        record_settled(session, settlement.priced, settled, now)
    structlog.get_logger().info(
        "late_events_settled",
        subscription_id=str(work.facts.subscription.id),
        events=len(work.events),
        invoice_id=None if invoice is None else str(invoice.id),
        owed_lines=len(settlement.priced.owed),
        credited_lines=len(settlement.priced.returned),
    )
    return len(work.events)


def _billed(late_fee: LateFee, now: datetime) -> Settled:
    difference = late_fee.difference
    adjustment = adjustment_of(difference, difference.amount, now, fee=late_fee.fee)
    return Settled(difference, LateEventStatus.BILLED, adjustment)


def _free_instant(session: Session, subscription_id: uuid.UUID, now: datetime) -> datetime:
    """`now`, or just behind the last invoice of this kind: on a clock that stands still there may be one."""
    last = session.scalar(
        select(func.max(BillingPeriod.billing_at)).where(
            BillingPeriod.subscription_id == subscription_id,
            BillingPeriod.invoicing_reason == InvoicingReason.LATE_USAGE,
        )
    )
    return now if last is None or last < now else last + _INSTANT


@dataclass(frozen=True)
class _Part:
    """A part of a difference that is given back on one fee, in minor units."""

    difference: LateDifference
    fee: Fee
    amount_cents: int
    is_first: bool

    @property
    def amount(self) -> LineAmount:
        """What the record of it says: units go with the first part."""
        whole = self.difference.amount
        if self.amount_cents == -whole.amount_cents:
            return whole
        units, events = (whole.units, whole.events_count) if self.is_first else (Decimal(0), 0)
        return LineAmount(units, events, -self.amount_cents, Decimal(-self.amount_cents))


def _credit(session: Session, returned: Sequence[LateDifference], now: datetime) -> list[Settled]:
    """Write credit notes for what is given back: on the invoice of the period, else on those that adjusted it.

    What of it was given back already, by a note of other reasons, is not given back again.
    """
    parts = _Parts(session)
    for difference in returned:
        parts.spread(difference)
    settled = []
    for invoice_id, of_invoice in parts.by_invoice.items():
        note = issue_credit_note(
            session,
            session.get_one(Invoice, invoice_id),
            [CreditNoteItemInput(part.fee, Decimal(part.amount_cents)) for part in of_invoice],
            reason=CreditNoteReason.OTHER,
            description=_description(of_invoice),
            now=now,
        )
        settled += [
            Settled(
                part.difference,
                LateEventStatus.CREDITED,
                adjustment_of(part.difference, part.amount, now, credit_note=note),
            )
            for part in of_invoice
        ]
    return settled


def _description(parts: Sequence[_Part]) -> str:
    days = dict.fromkeys(late_usage_days(part.difference) for part in parts)
    text = ", ".join(days)
    return text[:1].upper() + text[1:]


class _Parts:
    """Spreads what is given back over the fees it was billed on, each as far as something is left of it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._left: dict[uuid.UUID, int] = {}
        self.by_invoice: dict[uuid.UUID, list[_Part]] = {}

    def spread(self, difference: LateDifference) -> None:
        fees = self._fees(difference)
        taken = take_from(-difference.amount.amount_cents, [self._left[fee.id] for fee in fees])
        is_first = True
        for fee, amount_cents in zip(fees, taken, strict=True):
            if amount_cents and fee.invoice_id is not None:
                self._left[fee.id] -= amount_cents
                part = _Part(difference, fee, amount_cents, is_first)
                self.by_invoice.setdefault(fee.invoice_id, []).append(part)
                is_first = False

    def _fees(self, difference: LateDifference) -> list[Fee]:
        """The fees of final invoices that billed the line, its own first; then those of its charge."""
        period, charge_id = difference.late.period, difference.key.charge_id
        own = self._session.scalars(
            select(Fee)
            .where(
                Fee.invoice_id == period.invoice_id,
                Fee.subscription_id == period.subscription_id,
                Fee.charge_id == charge_id,
                Fee.adjusts_billing_period_id.is_(None),
            )
            .order_by(Fee.position)
        ).all()
        adjusting = self._session.scalars(
            select(LateAdjustment)
            .join(Fee, Fee.id == LateAdjustment.fee_id)
            .join(Invoice, Invoice.id == Fee.invoice_id)
            .where(
                LateAdjustment.billing_period_id == period.id,
                LateAdjustment.charge_id == charge_id,
                Invoice.status == InvoiceStatus.FINALIZED,
            )
            .order_by(LateAdjustment.created_at, LateAdjustment.id)
        ).all()
        keyed = [(fee_key(fee), fee) for fee in own]
        keyed += [(adjustment_key(each), each.fee) for each in adjusting if each.fee is not None]
        for _, fee in keyed:
            if fee.id not in self._left and fee.invoice_id is not None:
                given_back = issued_notes(self._session, fee.invoice_id).cents_of(fee)
                self._left[fee.id] = fee.amount_cents - given_back
        return [fee for key, fee in sorted(keyed, key=lambda each: each[0] != difference.key)]
