"""Does what is due for one customer at one instant: start, bill, end.

Durable steps, and what a crash after each means:
1. Read the rows due, without a lock. Nothing is written: safe.
2. Prove that the usage is stored once (a repair is a step of its own, see `aggregator.reconciler`), read it and
   price it, outside of any transaction, so that a slow query holds no lock. Safe.
3. In one transaction: lock the customer, check that the subscriptions still are what was read, credit the
   unused days of those that end, write the invoice with its billing periods, its number and what it takes from
   credit notes, move the subscriptions on (status, `billed_until`, `due_at`). A crash before the commit leaves
   everything due, and the next run makes the same invoice; a crash after it finds nothing due.
Two invoicers may both do 1 and 2; of 3 the second finds the subscriptions moved on and writes nothing, and
the unique key of billing periods would refuse a second invoice even then.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.billing.audited_usage import AuditedUsage
from invoicer.billing.billing_facts import BillingAccount, load_account, load_facts, select_subscriptions
from invoicer.billing.billing_items import BillingItem, SubscriptionFacts, billing_item
from invoicer.billing.due_steps import DueStep, StepKind, next_step
from invoicer.billing.finalization import finalize_invoice, lock_customer
from invoicer.billing.invoice_building import build_invoice, count_events, group_items, note_counts
from invoicer.billing.late_invoicing import LatePart, late_fees_of, late_parts, record_parts, stand
from invoicer.billing.late_work import LateWork, load_late_work
from invoicer.billing.lifecycle import apply_step, reschedule, terms_after
from invoicer.billing.subscription_terms import SubscriptionTerms
from invoicer.billing.termination_credit import credit_unused_days
from invoicer.context import Context
from invoicer.db import Invoice, Subscription
from invoicer.db.session import transaction
from schemas.errors import InvariantViolation


@dataclass(frozen=True)
class _Work:
    """A step of one subscription, and what it puts on an invoice. No step: its due instant is out of date."""

    facts: SubscriptionFacts
    terms: SubscriptionTerms
    step: DueStep | None
    item: BillingItem | None
    seen: tuple[object, ...]
    late: LateWork | None = None

    @property
    def subscription_id(self) -> uuid.UUID:
        return self.facts.subscription.id


@dataclass(frozen=True)
class _Built:
    """An invoice that is not saved yet, and the late events of earlier periods on it."""

    invoice: Invoice | None
    late: tuple[LatePart, ...]


def close_customer(context: Context, customer_id: uuid.UUID, until: datetime) -> int:
    """Carry out the next step of each of the customer's subscriptions that is due at `until` or before.

    Invoices are billed at the instant their step was due, however late this runs. A subscription whose
    invoice would not be right is parked with the reason, and the others go on.
    Returns: how many steps were carried out; 0 where another invoicer has the customer.
    Raises: TransientError when a store is away; everything not yet written stays due.
    """
    with transaction(context.sessions, reads_only=True) as session:
        account = load_account(session, customer_id)
        works = _read_works(session, account, until)
    return sum(_carry_out(context, account, group) for group in _groups(works))


def _read_works(session: Session, account: BillingAccount, until: datetime) -> list[_Work]:
    due = (
        select_subscriptions()
        .where(
            Subscription.customer_id == account.customer.id,
            Subscription.due_at <= until,
            Subscription.parked_reason.is_(None),
        )
        .order_by(Subscription.created_at, Subscription.id)
    )
    timezone = ZoneInfo(account.customer.applicable_timezone)
    facts = load_facts(session, session.scalars(due).unique().all())
    works = [_work(each, timezone, until) for each in facts]
    invoiced = [work.subscription_id for work in works if work.item is not None]
    late = {each.facts.subscription.id: each for each in load_late_work(session, invoiced)} if invoiced else {}
    return [replace(work, late=late.get(work.subscription_id)) for work in works]


def _work(facts: SubscriptionFacts, timezone: ZoneInfo, until: datetime) -> _Work:
    terms = facts.terms(timezone)
    step = next_step(facts.subscription, terms)
    seen = _state(facts.subscription)
    if step is None or step.at > until:
        return _Work(facts, terms, None, None, seen)
    terms = terms_after(terms, step)
    return _Work(facts, terms, step, billing_item(facts, terms, step), seen)


def _state(subscription: Subscription) -> tuple[object, ...]:
    """What must still hold when the step is written."""
    return (
        subscription.status,
        subscription.due_at,
        subscription.billed_until,
        subscription.ending_at,
        subscription.terminated_at,
        subscription.plan_id,
        subscription.on_termination_invoice,
        subscription.on_termination_credit_note,
    )


def _groups(works: Sequence[_Work]) -> Iterator[list[_Work]]:
    """Works that share an invoice and so a transaction; one that makes none stands alone."""
    by_subscription = {work.subscription_id: work for work in works}
    for items in group_items(work.item for work in works if work.item is not None):
        yield [by_subscription[item.facts.subscription.id] for item in items]
    yield from ([work] for work in works if work.item is None)


def _carry_out(context: Context, account: BillingAccount, works: Sequence[_Work]) -> int:
    now = context.clock.now()
    try:
        built = _build(context, account, works, now)
    except InvariantViolation as violation:
        if len(works) == 1:
            return _park(context, works[0], violation, now)
        return _carry_out_sound(context, account, works, now)
    return _write(context, account, works, built, now)


def _carry_out_sound(context: Context, account: BillingAccount, works: Sequence[_Work], now: datetime) -> int:
    """Park the subscriptions that cannot be billed, and bill the others together as they would have been."""
    sound = []
    done = 0
    for work in works:
        try:
            _build(context, account, [work], now)
        except InvariantViolation as violation:
            done += _park(context, work, violation, now)
        else:
            sound.append(work)
    if not sound:
        return done
    if len(sound) == len(works):
        raise InvariantViolation(f"customer {account.customer.id}: sound subscriptions make an unsound invoice")
    return done + _write(context, account, sound, _build(context, account, sound, now), now)


def _build(context: Context, account: BillingAccount, works: Sequence[_Work], now: datetime) -> _Built:
    items = [work.item for work in works if work.item is not None]
    if not items:
        return _Built(None, ())
    usage = AuditedUsage(context.usage, context.auditor)
    counted = count_events(usage, items)
    late = late_parts(context, usage, [work.late for work in works if work.late is not None], now)
    invoice = build_invoice(usage, account, items, now, late_fees_of(late))
    note_counts(invoice, counted, now)
    return _Built(invoice, tuple(late))


def _write(
    context: Context,
    account: BillingAccount,
    works: Sequence[_Work],
    built: _Built,
    now: datetime,
) -> int:
    invoice = built.invoice
    with transaction(context.sessions) as session:
        customer = lock_customer(session, account.customer.id)
        subscriptions = _lock_unchanged(session, works)
        if customer is None or subscriptions is None or not stand(session, built.late):
            return 0
        for subscription, work in zip(subscriptions, works, strict=True):
            if work.step is not None and work.step.kind is StepKind.END:
                credit_unused_days(session, subscription, ended_at=work.step.at, now=now)
        if invoice is not None:
            session.add(invoice)
            record_parts(session, built.late, now)
            if invoice.expected_finalization_at is None:
                finalize_invoice(session, customer, invoice, now=now)
        for subscription, work in zip(subscriptions, works, strict=True):
            if work.step is None:
                reschedule(subscription, work.terms)
            else:
                apply_step(subscription, work.terms, work.step, now)
    if invoice is not None:
        structlog.get_logger().info(
            "invoice_made",
            invoice_id=str(invoice.id),
            number=invoice.number,
            status=invoice.status,
            billed_at=invoice.billed_at.isoformat(),
            total_amount_cents=invoice.total_amount_cents,
            currency=invoice.currency,
        )
    return len(works)


def _lock_unchanged(session: Session, works: Sequence[_Work]) -> list[Subscription] | None:
    """The rows, locked and in the order of `works`; None where one has moved on since it was read."""
    wanted = [work.subscription_id for work in works]
    rows = session.scalars(
        select(Subscription)
        .where(Subscription.id.in_(wanted))
        .order_by(Subscription.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    by_id = {row.id: row for row in rows}
    unchanged = all(_state(by_id[work.subscription_id]) == work.seen for work in works)
    return [by_id[each] for each in wanted] if unchanged else None


def _park(context: Context, work: _Work, violation: InvariantViolation, now: datetime) -> int:
    """Stop billing a subscription until somebody has looked at it: better none than a wrong invoice."""
    structlog.get_logger().error(
        "subscription_parked", subscription_id=str(work.subscription_id), reason=str(violation)
    )
    with transaction(context.sessions) as session:
        subscription = session.get(Subscription, work.subscription_id, with_for_update=True)
        if subscription is not None:
            subscription.parked_reason = str(violation)
            subscription.updated_at = now
    return 1
