"""Does what is due for customers at one instant: start, bill, end.

Durable steps, and what a crash after each means:
1. Read the rows due, without a lock. Nothing is written: safe.
2. Prove that the usage is stored once (a repair is a step of its own, see `aggregator.reconciler`), read it and
   price it, outside of any transaction, so that a slow query holds no lock. Safe.
3. In one transaction: lock the customer, check that the subscriptions and their late events still are what was
   read, credit the unused days of those that end, write the invoice with its billing periods, its number and what
   it takes from credit notes, move the subscriptions on (status, `billed_until`, `due_at`). A crash before the
   commit leaves everything due, and the next run makes the same invoice; a crash after it finds nothing due.
Two invoicers may both do 1 and 2; of 3 the second finds the subscriptions moved on and writes nothing, and
the unique key of billing periods would refuse a second invoice even then.

Customers due together are closed together: their rows and usage are read in the same queries, and step 3 of all of
them is one transaction, which a crash leaves out whole. It waits for nobody: a customer or subscription that
somebody else has locked is left out. What cannot be closed along with others is closed alone.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from invoicer.billing.audited_usage import AuditedUsage
from invoicer.billing.billing_facts import (
    BillingAccount,
    load_account,
    load_accounts,
    load_facts,
    select_subscriptions,
)
from invoicer.billing.billing_items import BillingItem, SubscriptionFacts, billing_item
from invoicer.billing.credit_consumption import with_available_notes
from invoicer.billing.due_steps import DueStep, StepKind, next_step
from invoicer.billing.finalization import finalize_invoice, lock_customer, lock_customers
from invoicer.billing.invoice_building import build_invoice, count_events, group_items, note_counts
from invoicer.billing.late_events.invoicing import LatePart, late_fees_of, late_parts, record_parts, stand
from invoicer.billing.late_events.work import LateWork, load_late_work
from invoicer.billing.lifecycle import apply_step, reschedule, terms_after
from invoicer.billing.subscription_terms import SubscriptionTerms
from invoicer.billing.termination_credit import credit_unused_days
from invoicer.billing.usage_prefetch import UsagePrefetch
from invoicer.context import Context
from invoicer.db import Customer, Invoice, Subscription
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
    late: tuple[LatePart, ...] = ()


@dataclass(frozen=True)
class ClosedBatch:
    """What became of customers that were closed together.

    `steps` carried out, by customer; 0 where another invoicer has it. `alone` are those of whom something is not
    sound: nothing of them was written, and each is still to be closed by itself.
    """

    steps: Mapping[uuid.UUID, int]
    alone: tuple[uuid.UUID, ...]


@dataclass(frozen=True)
class _Closing:
    """What is to be written for a customer: each group of works with the invoice it makes."""

    customer_id: uuid.UUID
    groups: Sequence[tuple[Sequence[_Work], _Built]]

    @property
    def works(self) -> list[_Work]:
        return [work for works, _ in self.groups for work in works]

    @property
    def late(self) -> list[LatePart]:
        return [part for _, built in self.groups for part in built.late]


def close_customers(context: Context, customer_ids: Sequence[uuid.UUID], until: datetime) -> ClosedBatch:
    """As `close_customer` for each of them, for the price of a few queries and one transaction.

    Bounds: nothing is written when an error leaves it; the caller then closes each alone, which finds the culprit.
    Raises: TransientError when a store is away.
    """
    with transaction(context.sessions, reads_only=True) as session:
        accounts = load_accounts(session, customer_ids)
        works = _read_works(session, accounts, until)
    items = [work.item for each in works.values() for work in each if work.item is not None]
    prefetch = UsagePrefetch(context.usage, context.auditor, items)
    now = context.clock.now()
    closings: list[_Closing] = []
    alone: list[uuid.UUID] = []
    for account in accounts:
        groups = _groups(works[account.customer.id])
        try:
            usage = AuditedUsage(prefetch, prefetch)
            built = [(group, _build(context, usage, account, group, now)) for group in groups]
        except InvariantViolation:
            alone.append(account.customer.id)
        else:
            closings.append(_Closing(account.customer.id, built))
    return ClosedBatch(_write_all(context, closings, now), tuple(alone))


def close_customer(context: Context, customer_id: uuid.UUID, until: datetime) -> int:
    """Carry out the next step of each of the customer's subscriptions that is due at `until` or before.

    Invoices are billed at the instant their step was due, however late this runs. A subscription whose
    invoice would not be right is parked with the reason, and the others go on.
    Returns: how many steps were carried out; 0 where another invoicer has the customer.
    Raises: TransientError when a store is away; everything not yet written stays due.
    """
    with transaction(context.sessions, reads_only=True) as session:
        account = load_account(session, customer_id)
        works = _read_works(session, [account], until)[customer_id]
    return sum(_carry_out(context, account, group) for group in _groups(works))


def _read_works(
    session: Session, accounts: Sequence[BillingAccount], until: datetime
) -> dict[uuid.UUID, list[_Work]]:
    """What is due, by customer; an empty list where nothing is."""
    zones = {account.customer.id: ZoneInfo(account.customer.applicable_timezone) for account in accounts}
    due = (
        select_subscriptions()
        .where(
            Subscription.customer_id.in_(zones),
            Subscription.due_at <= until,
            Subscription.parked_reason.is_(None),
        )
        .order_by(Subscription.created_at, Subscription.id)
    )
    works: dict[uuid.UUID, list[_Work]] = {customer_id: [] for customer_id in zones}
    for facts in load_facts(session, session.scalars(due).unique().all()):
        customer_id = facts.subscription.customer_id
        works[customer_id].append(_work(facts, zones[customer_id], until))
    return _with_late_events(session, works)


def _with_late_events(
    session: Session, works: Mapping[uuid.UUID, Sequence[_Work]]
) -> dict[uuid.UUID, list[_Work]]:
    """The same, with what the invoices are to take on of late events."""
    invoiced = [work.subscription_id for each in works.values() for work in each if work.item is not None]
    late = {each.facts.subscription.id: each for each in load_late_work(session, invoiced)}
    return {
        customer_id: [replace(work, late=late.get(work.subscription_id)) for work in each]
        for customer_id, each in works.items()
    }


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
        built = _build(context, _audited(context), account, works, now)
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
            _build(context, _audited(context), account, [work], now)
        except InvariantViolation as violation:
            done += _park(context, work, violation, now)
        else:
            sound.append(work)
    if not sound:
        return done
    if len(sound) == len(works):
        raise InvariantViolation(f"customer {account.customer.id}: sound subscriptions make an unsound invoice")
    built = _build(context, _audited(context), account, sound, now)
    return done + _write(context, account, sound, built, now)


def _audited(context: Context) -> AuditedUsage:
    return AuditedUsage(context.usage, context.auditor)


def _build(
    context: Context, usage: AuditedUsage, account: BillingAccount, works: Sequence[_Work], now: datetime
) -> _Built:
    items = [work.item for work in works if work.item is not None]
    if not items:
        return _Built(None)
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
    with transaction(context.sessions) as session:
        customer = lock_customer(session, account.customer.id)
        subscriptions = _lock_subscriptions(session, works)
        if customer is None or not _are_unchanged(works, subscriptions) or not stand(session, built.late):
            return 0
        _write_group(session, customer, works, built, subscriptions, now)
    _log(built.invoice)
    return len(works)


def _write_all(context: Context, closings: Sequence[_Closing], now: datetime) -> dict[uuid.UUID, int]:
    """Write for each customer that nobody else has what was read for it; how many steps, by customer."""
    steps = {closing.customer_id: 0 for closing in closings}
    written: list[Invoice | None] = []
    with transaction(context.sessions) as session:
        customers = lock_customers(session, steps)
        owned = [closing for closing in closings if closing.customer_id in customers]
        works = [work for closing in owned for work in closing.works]
        subscriptions = _lock_subscriptions(session, works, skips_locked=True)
        with_credit = with_available_notes(session, customers)
        for closing in owned:
            if _are_unchanged(closing.works, subscriptions) and stand(session, closing.late):
                customer = customers[closing.customer_id]
                # What is written for a group may leave credit to the next one.
                has_credit = customer.id in with_credit or len(closing.groups) > 1
                for group, built in closing.groups:
                    _write_group(session, customer, group, built, subscriptions, now, has_credit=has_credit)
                    written.append(built.invoice)
                steps[closing.customer_id] = len(closing.works)
    for each in written:
        _log(each)
    return steps


def _write_group(
    session: Session,
    customer: Customer,
    works: Sequence[_Work],
    built: _Built,
    subscriptions: Mapping[uuid.UUID, Subscription],
    now: datetime,
    *,
    has_credit: bool = True,
) -> None:
    for work in works:
        if work.step is not None and work.step.kind is StepKind.END:
            has_credit = True
            credit_unused_days(session, subscriptions[work.subscription_id], ended_at=work.step.at, now=now)
    invoice = built.invoice
    if invoice is not None:
        session.add(invoice)
        record_parts(session, built.late, now)
        if invoice.expected_finalization_at is None:
            finalize_invoice(session, customer, invoice, now=now, has_credit=has_credit)
    for work in works:
        subscription = subscriptions[work.subscription_id]
        if work.step is None:
            reschedule(subscription, work.terms)
        else:
            apply_step(subscription, work.terms, work.step, now)


def _log(invoice: Invoice | None) -> None:
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


def _lock_subscriptions(
    session: Session, works: Sequence[_Work], *, skips_locked: bool = False
) -> dict[uuid.UUID, Subscription]:
    """The rows as they are now, locked until the transaction ends; `skips_locked` leaves out what others have."""
    rows = session.scalars(
        select(Subscription)
        .where(Subscription.id.in_([work.subscription_id for work in works]))
        .order_by(Subscription.id)
        .options(joinedload(Subscription.plan))
        .with_for_update(key_share=True, skip_locked=skips_locked, of=Subscription)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def _are_unchanged(works: Sequence[_Work], subscriptions: Mapping[uuid.UUID, Subscription]) -> bool:
    """Whether each row is there and has not moved on since it was read."""
    return all(
        work.subscription_id in subscriptions and _state(subscriptions[work.subscription_id]) == work.seen
        for work in works
    )


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
