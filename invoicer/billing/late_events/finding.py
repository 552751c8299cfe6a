"""Finds events that came after the invoice of their period was made final, exactly: by counting.

A billing period keeps how many events it was billed with. There are late ones where the store holds more than that
and those already found; they are the ones that were stored last. No clock is compared with another.

Durable steps, and what a crash after each means:
1. Ask the store what was stored since the last look, a little further back than that. Nothing is written: safe.
2. In one transaction for each period: lock the customer, record the events that are missing from the list. An
   event is recorded once (unique key), and counted as found by being there: safe to repeat.
3. Move the mark up to which was looked, unless a period could not be counted. A crash before it looks at the same
   once more.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session, joinedload

from invoicer.billing.finalization import lock_customer
from invoicer.billing.late_events.policy import LateEventPolicy, LateEventStatus
from invoicer.billing.late_events.work import select_final_periods
from invoicer.context import Context
from invoicer.db import (
    LATE_EVENT_MARK_ID,
    BillingPeriod,
    Invoice,
    LateEvent,
    LateEventMark,
    Organization,
    Subscription,
)
from invoicer.db.session import transaction
from schemas.errors import InvariantViolation
from schemas.period import TimeRange
from schemas.reconciliation import AuditScope
from schemas.time_text import EPOCH
from schemas.usage import LOOK_OVERLAP, ArrivedEvent, StoredSpan

EVENTS_MAX = 5_000
"""Late events read and recorded at once."""
PERIODS_MAX = 500
"""Periods of a full search that are counted together."""
_BEFORE_ALL = ("", "")


def look_for_late_events(context: Context) -> int:
    """Find the late ones among what was stored since the last look; how many were found.

    The first look ever goes back to the first event.
    Raises: TransientError when a store is away; the next look begins where this one did.
    """
    until = context.stored.now()
    with transaction(context.sessions, reads_only=True) as session:
        looked_until = session.get_one(LateEventMark, LATE_EVENT_MARK_ID).looked_until
    # The store's clock may have been set back: what is stored by it now lies behind the mark.
    since = max(EPOCH, min(looked_until, until) - LOOK_OVERLAP)
    found = [_find(context, periods) for periods in _touched(context, since, until)]
    if all(each.is_complete for each in found):
        with transaction(context.sessions) as session:
            _move_mark(session, until)
    return sum(each.events for each in found)


def find_all_late_events(context: Context, organization_id: uuid.UUID) -> int:
    """Count every final period of an organization anew, whenever its events were stored; how many were found.

    Raises: TransientError when a store is away; what was found until then is recorded.
    """
    found = 0
    after: uuid.UUID | None = None
    while True:
        wanted = _select_periods().where(Subscription.organization_id == organization_id)
        if after is not None:
            wanted = wanted.where(BillingPeriod.id > after)
        with transaction(context.sessions, reads_only=True) as session:
            periods = session.scalars(wanted.order_by(BillingPeriod.id).limit(PERIODS_MAX)).all()
        if not periods:
            return found
        found += _find(context, periods).events
        after = periods[-1].id


def _touched(context: Context, since: datetime, until: datetime) -> Iterator[Sequence[BillingPeriod]]:
    """The final periods that something was stored in, a page of subscriptions at a time."""
    after = _BEFORE_ALL
    while spans := context.stored.spans(since, until, after=after):
        with transaction(context.sessions, reads_only=True) as session:
            periods = _periods_of(session, spans)
        if periods:
            yield periods
        after = (spans[-1].organization_id, spans[-1].external_subscription_id)


def _periods_of(session: Session, spans: Sequence[StoredSpan]) -> Sequence[BillingPeriod]:
    by_name = {(each.organization_id, each.external_subscription_id): each for each in spans}
    wanted = _select_periods().where(
        Subscription.external_id.in_({each.external_subscription_id for each in spans}),
        BillingPeriod.charges_to > min(each.first for each in spans),
        BillingPeriod.charges_from <= max(each.last for each in spans),
    )
    return [period for period in session.scalars(wanted) if _holds(period, by_name.get(_name(period)))]


def _select_periods() -> Select[BillingPeriod]:
    return (
        select(BillingPeriod)
        .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
        .join(Subscription, Subscription.id == BillingPeriod.subscription_id)
        .where(select_final_periods(), BillingPeriod.charges_from < BillingPeriod.charges_to)
        .options(joinedload(BillingPeriod.subscription))
    )


def _name(period: BillingPeriod) -> tuple[str, str]:
    return str(period.subscription.organization_id), period.subscription.external_id


def _holds(period: BillingPeriod, span: StoredSpan | None) -> bool:
    return span is not None and period.charges_from <= span.last and span.first < period.charges_to


@dataclass(frozen=True)
class _Found:
    """How many late events were found; `is_complete` False: not every period could be counted."""

    events: int
    is_complete: bool


def _find(context: Context, periods: Sequence[BillingPeriod]) -> _Found:
    scopes = [_scope(period) for period in periods]
    counts = _count(context, scopes)
    with transaction(context.sessions, reads_only=True) as session:
        recorded = _recorded(session, [period.id for period in periods])
    events = sum(
        _record(context, period, counts[scope])
        for period, scope in zip(periods, scopes, strict=True)
        if counts.get(scope, 0) > (period.events_counted or 0) + recorded.get(period.id, 0)
    )
    return _Found(events, is_complete=counts.keys() >= set(scopes))


def _scope(period: BillingPeriod) -> AuditScope:
    return AuditScope(*_name(period), TimeRange(period.charges_from, period.charges_to))


def _count(context: Context, scopes: Sequence[AuditScope]) -> dict[AuditScope, int]:
    """How many events each scope holds; one that cannot be proven is left for the next look, and said."""
    try:
        return dict(context.auditor.verify(scopes))
    except InvariantViolation as violation:
        if len(scopes) == 1:
            structlog.get_logger().error("late_events_unknown", reason=str(violation))
            return {}
        return {scope: count for each in scopes for scope, count in _count(context, [each]).items()}


def _recorded(session: Session, period_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    rows = session.execute(
        select(LateEvent.billing_period_id, func.count())
        .where(LateEvent.billing_period_id.in_(period_ids))
        .group_by(LateEvent.billing_period_id)
    )
    return {row[0]: row[1] for row in rows}


def _record(context: Context, period: BillingPeriod, count: int) -> int:
    """Record those late events of a period that are not known yet; how many."""
    surplus = count - (period.events_counted or 0)
    arrived = _newest(context, period, surplus)
    with transaction(context.sessions) as session:
        if lock_customer(session, period.subscription.customer_id, waits=True) is None:
            return 0
        known = set(session.scalars(select(LateEvent.event_id).where(LateEvent.billing_period_id == period.id)))
        unknown = [each for each in arrived if uuid.UUID(each.event_id) not in known]
        found = unknown[: max(0, surplus - len(known))]
        surroundings = _Surroundings.of(session, period, context.clock.now())
        session.add_all(surroundings.late_event(each) for each in found)
    if found:
        structlog.get_logger().warning(
            "late_events_found",
            subscription_id=str(period.subscription_id),
            billing_period_id=str(period.id),
            events=len(found),
            policy=surroundings.policy,
        )
    return len(found)


def _newest(context: Context, period: BillingPeriod, wanted: int) -> list[ArrivedEvent]:
    scope = _scope(period)
    arrived: list[ArrivedEvent] = []
    while len(arrived) < wanted:
        page = context.stored.newest(
            scope.organization_id,
            scope.external_subscription_id,
            scope.period,
            limit=min(EVENTS_MAX, wanted - len(arrived)),
            offset=len(arrived),
        )
        if not page:
            break
        arrived.extend(page)
    return arrived


@dataclass(frozen=True)
class _Surroundings:
    """What the late events of a period, found at one time, have in common."""

    period: BillingPeriod
    policy: LateEventPolicy
    counted_from: datetime
    now: datetime

    @classmethod
    def of(cls, session: Session, period: BillingPeriod, now: datetime) -> "_Surroundings":
        organization = session.get_one(Organization, period.subscription.organization_id)
        last = session.scalar(
            select(func.max(BillingPeriod.charges_to))
            .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
            .where(BillingPeriod.subscription_id == period.subscription_id, select_final_periods())
        )
        return cls(period, LateEventPolicy(organization.late_event_policy), last or period.charges_to, now)

    def late_event(self, arrived: ArrivedEvent) -> LateEvent:
        is_ignored = self.policy is LateEventPolicy.IGNORE
        return LateEvent(
            id=uuid.uuid4(),
            organization_id=self.period.subscription.organization_id,
            subscription_id=self.period.subscription_id,
            billing_period_id=self.period.id,
            event_id=uuid.UUID(arrived.event_id),
            transaction_id=arrived.transaction_id,
            code=arrived.code,
            timestamp=arrived.timestamp,
            ingested_at=arrived.ingested_at,
            arrived_at=arrived.inserted_at,
            counted_from=self.counted_from,
            policy=self.policy,
            status=LateEventStatus.IGNORED if is_ignored else LateEventStatus.PENDING,
            created_at=self.now,
            updated_at=self.now,
        )


def _move_mark(session: Session, until: datetime) -> None:
    """Forward only, in one statement: another invoicer may have looked further meanwhile."""
    session.execute(update(LateEventMark).where(LateEventMark.looked_until < until).values(looked_until=until))
