"""Follows an event from its acceptance to the fee it is billed on, or to the reason it is on none.

The functions without a session are pure.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from invoicer.billing.arrival import Arrivals, ReadInstant
from invoicer.billing.billing_facts import load_facts, select_subscriptions
from invoicer.billing.billing_items import SubscriptionFacts
from invoicer.billing.charge_usage import Bucket, charge_buckets
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.billing.event_measure import Measure, Uncounted, measure
from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.late_events.known import load_known_late
from invoicer.billing.past_charges import bucket_keys, filters_at, load_filters, with_dimensions
from invoicer.billing.periods import Period, PeriodEnd, charges_period
from invoicer.catalog.snapshot import load_metric_definitions
from invoicer.db import (
    BillableMetric,
    BillingPeriod,
    Charge,
    ChargeFilter,
    Fee,
    Invoice,
    LateAdjustment,
    LateEvent,
    Subscription,
)
from schemas.errors import InvariantViolation
from schemas.metrics import MetricDefinition
from schemas.usage import PlacedEvent


class BillingState(StrEnum):
    """What has become of an event under one charge."""

    NOT_COUNTED = "not_counted"
    """It enters no aggregation."""
    UPCOMING = "upcoming"
    """Its period has not begun."""
    CURRENT_USAGE = "current_usage"
    """Its period is in progress."""
    AWAITING_INVOICE = "awaiting_invoice"
    """Its period is over, and its invoice not yet made."""
    ON_DRAFT = "on_draft"
    """It is in time: a draft is recomputed when it is made final."""
    BILLED = "billed"
    NOTHING_DUE = "nothing_due"
    """The invoice has no line for its bucket and group, since nothing was used or due."""
    VOIDED = "voided"
    """The invoice it was billed on was voided."""
    LATE = "late"
    """It arrived after the invoice of its period was made final."""
    NEVER_INVOICED = "never_invoiced"
    """Its period is not invoiced: it was over when the subscription was entered, or the end was not to be."""


class OutsideReason(StrEnum):
    """Why a subscription does not cover an event."""

    NOT_STARTED = "not_started"
    CANCELED = "canceled"
    BEFORE_START = "before_start"
    AFTER_END = "after_end"


@dataclass(frozen=True)
class ChargePlace:
    """Where an event stands under one charge. `period` is the charge period it lies in.

    `invoice` is the one of that period, be it that the event came too late for it; `fee` the line it is on. `late`
    says what was done about an event that came too late.
    """

    charge: Charge
    charge_filter: ChargeFilter | None
    grouped_by: Mapping[str, str | None]
    period: Period
    state: BillingState
    invoice: Invoice | None = None
    fee: Fee | None = None
    late: LateEvent | None = None


@dataclass(frozen=True)
class SubscriptionPlace:
    """A subscription under the event's external id; `outside` None: it ran at the event's timestamp."""

    subscription: Subscription
    outside: OutsideReason | None
    charges: Sequence[ChargePlace]


@dataclass(frozen=True)
class EventTrace:
    """What became of one event. `reason` None: it counts; see `Uncounted`."""

    placed: PlacedEvent
    metric: BillableMetric | None
    measure: Measure
    subscriptions: Sequence[SubscriptionPlace]

    @property
    def reason(self) -> str | None:
        """Why it counts in nothing."""
        if self.measure.reason is not None:
            return self.measure.reason
        covering = [each for each in self.subscriptions if each.outside is None]
        if not covering:
            return Uncounted.OUTSIDE_SUBSCRIPTION if self.subscriptions else Uncounted.SUBSCRIPTION_NOT_FOUND
        return None if any(each.charges for each in covering) else Uncounted.NO_CHARGE


def outside_reason(subscription: Subscription, instant: datetime) -> OutsideReason | None:
    """Why the subscription did not run at `instant`; None when it did.

    Bounds: half-open and to the microsecond, as usage is billed.
    """
    if subscription.status == SubscriptionStatus.CANCELED:
        return OutsideReason.CANCELED
    if subscription.started_at is None:
        return OutsideReason.NOT_STARTED
    if instant < subscription.started_at:
        return OutsideReason.BEFORE_START
    if subscription.terminated_at is not None and instant >= subscription.terminated_at:
        return OutsideReason.AFTER_END
    return None


def bucket_of(buckets: Sequence[Bucket], dimensions: Mapping[str, str]) -> tuple[Bucket, dict[str, str | None]]:
    """The bucket that counts an event with these dimensions, and its group there.

    Raises: InvariantViolation without a default bucket, which takes whatever no filter takes.
    """
    for bucket in buckets:
        if bucket.predicate.matches(dimensions):
            return bucket, {key: dimensions.get(key) or None for key in bucket.group_keys}
    raise InvariantViolation("the default bucket takes every event that no filter takes")


def invoiced_state(status: InvoiceStatus, *, has_fee: bool, is_seen: bool) -> BillingState:
    """What became of an event whose period is on an invoice; `is_seen`: it was there when usage was read."""
    if status is InvoiceStatus.DRAFT:
        return BillingState.ON_DRAFT
    if not is_seen:
        return BillingState.LATE
    if status is InvoiceStatus.VOIDED:
        return BillingState.VOIDED
    is_billed = has_fee and status is InvoiceStatus.FINALIZED
    return BillingState.BILLED if is_billed else BillingState.NOTHING_DUE


def open_state(subscription: Subscription, period: Period, now: datetime) -> BillingState:
    """What becomes of an event whose period is on no invoice."""
    is_served = subscription.billed_until is not None and period.end <= subscription.billed_until
    is_closed = subscription.status == SubscriptionStatus.TERMINATED and subscription.due_at is None
    if is_served or is_closed:
        return BillingState.NEVER_INVOICED
    if now < period.start:
        return BillingState.UPCOMING
    return BillingState.CURRENT_USAGE if now < period.end else BillingState.AWAITING_INVOICE


def trace_event(session: Session, placed: PlacedEvent, now: datetime, arrivals: Arrivals) -> EventTrace:
    """Follow one event through the catalog and the invoices."""
    event = placed.event
    organization_id = uuid.UUID(event.organization_id)
    metric = _metric(session, organization_id, event.code)
    definition = None
    if metric is not None:
        definition = load_metric_definitions(session, organization_id, [metric.id])[metric.id]
    measured = measure(placed, definition)
    owners = select_subscriptions().where(
        Subscription.organization_id == organization_id,
        Subscription.external_id == event.external_subscription_id,
    )
    rows = session.scalars(owners.order_by(Subscription.created_at, Subscription.id)).unique().all()
    places = []
    for facts in load_facts(session, rows):
        outside = outside_reason(facts.subscription, event.timestamp)
        charges: Sequence[ChargePlace] = ()
        if outside is None and definition is not None:
            charges = _Tracer(session, placed, definition, measured, now, arrivals).charges(facts)
        places.append(SubscriptionPlace(facts.subscription, outside, charges))
    return EventTrace(placed, metric, measured, places)


def _metric(session: Session, organization_id: uuid.UUID, code: str) -> BillableMetric | None:
    """The metric of a code; the one deleted last where there is none any more, for what it has billed."""
    return session.scalar(
        select(BillableMetric)
        .where(BillableMetric.organization_id == organization_id, BillableMetric.code == code)
        .order_by(BillableMetric.deleted_at.is_not(None), BillableMetric.deleted_at.desc())
        .limit(1)
    )


@dataclass(frozen=True)
class _Tracer:
    """Places one event under the charges of a subscription."""

    session: Session
    placed: PlacedEvent
    metric: MetricDefinition
    measured: Measure
    now: datetime
    arrivals: Arrivals

    def charges(self, facts: SubscriptionFacts) -> list[ChargePlace]:
        """The event under every charge of its metric, deleted ones too where they have billed its period."""
        subscription = facts.subscription
        wanted = (
            select(Charge)
            .where(Charge.plan_id == subscription.plan_id, Charge.billable_metric_id == uuid.UUID(self.metric.id))
            .options(joinedload(Charge.billable_metric))
            .order_by(Charge.position, Charge.id)
        )
        charges = self.session.scalars(wanted).all()
        charge_filters = load_filters(self.session, [charge.id for charge in charges])
        billed = self._billing_period(subscription)
        places = []
        for charge in charges:
            known = charge_filters.get(charge.id, [])
            place = self._open(facts, charge, known) if billed is None else self._billed(billed, charge, known)
            if charge.deleted_at is None or place.fee is not None:
                places.append(place)
        return places

    def _billing_period(self, subscription: Subscription) -> BillingPeriod | None:
        instant = self.placed.event.timestamp
        return self.session.scalar(
            select(BillingPeriod)
            .where(
                BillingPeriod.subscription_id == subscription.id,
                BillingPeriod.bills_charges.is_(True),
                BillingPeriod.charges_from <= instant,
                BillingPeriod.charges_to > instant,
            )
            .order_by(BillingPeriod.billing_at.desc())
            .limit(1)
            .options(joinedload(BillingPeriod.invoice))
        )

    def _open(
        self, facts: SubscriptionFacts, charge: Charge, charge_filters: Sequence[ChargeFilter]
    ) -> ChargePlace:
        subscription = facts.subscription
        terms = facts.terms(ZoneInfo(subscription.customer.applicable_timezone))
        period = charges_period(
            terms,
            self.placed.event.timestamp,
            current=True,
            previous_charges_end=facts.previous_charges_end,
        )
        if subscription.terminated_at is not None and subscription.terminated_at < period.end:
            period = replace(period, end=subscription.terminated_at, ends_at=PeriodEnd.instant)
        alive = [each for each in charge_filters if each.deleted_at is None]
        state = open_state(subscription, period, self.now)
        charge_filter, grouped_by, _ = self._bucket(charge, alive, ())
        return ChargePlace(charge, charge_filter, grouped_by, period, self._counted(state))

    def _billed(
        self, billed: BillingPeriod, charge: Charge, charge_filters: Sequence[ChargeFilter]
    ) -> ChargePlace:
        invoice = billed.invoice
        read_at = _read_at(self.session, invoice)
        period = Period(billed.charges_from, billed.charges_to, PeriodEnd(billed.charges_end_kind))
        fees = _fees(self.session, billed, charge)
        charge_filter, grouped_by, fee = self._bucket(charge, filters_at(charge_filters, read_at), fees)
        is_seen = self._is_seen(billed, charge, read_at)
        state = self._counted(
            invoiced_state(InvoiceStatus(invoice.status), has_fee=fee is not None, is_seen=is_seen)
        )
        is_shown = invoice.status != InvoiceStatus.CLOSED and state is not BillingState.NOT_COUNTED
        is_on_fee = is_shown and is_seen
        return ChargePlace(
            charge,
            charge_filter,
            grouped_by,
            period,
            state,
            invoice=invoice if is_shown else None,
            fee=fee if is_on_fee else None,
            late=self._late_event(billed),
        )

    def _is_seen(self, billed: BillingPeriod, charge: Charge, read_at: datetime) -> bool:
        """Whether what was billed for the charge was counted with the event."""
        event, inserted_at = self.placed.event, self.placed.inserted_at
        known = load_known_late(self.session, billed, charge)
        was_counted = known.was_counted(event.transaction_id, timestamp=event.timestamp, inserted_at=inserted_at)
        if was_counted is not None:
            return was_counted
        arrived_at = self.arrivals.of(ingested_at=event.ingested_at, inserted_at=inserted_at)
        return ReadInstant.of(billed, read_at).has_seen(arrived_at)

    def _late_event(self, billed: BillingPeriod) -> LateEvent | None:
        return self.session.scalar(
            select(LateEvent)
            .where(
                LateEvent.billing_period_id == billed.id,
                LateEvent.event_id == uuid.UUID(self.placed.event.event_id),
            )
            .options(
                joinedload(LateEvent.adjustment).joinedload(LateAdjustment.fee).joinedload(Fee.invoice),
                joinedload(LateEvent.adjustment).joinedload(LateAdjustment.credit_note),
            )
        )

    def _counted(self, state: BillingState) -> BillingState:
        return BillingState.NOT_COUNTED if self.measured.value is None else state

    def _bucket(
        self, charge: Charge, charge_filters: Sequence[ChargeFilter], fees: Sequence[Fee]
    ) -> tuple[ChargeFilter | None, Mapping[str, str | None], Fee | None]:
        """The event's filter and group, and the fee of both: grouped as that is, whatever the charge says now."""
        buckets = charge_buckets(charge, charge_filters)
        keys = bucket_keys(buckets).union(*(fee.grouped_by for fee in fees))
        dimensions = measure(self.placed, with_dimensions(self.metric, keys)).dimensions
        bucket, grouped_by = bucket_of(buckets, dimensions)
        filter_id = None if bucket.charge_filter is None else bucket.charge_filter.id
        for fee in fees:
            own = {key: dimensions.get(key) or None for key in fee.grouped_by}
            if fee.charge_filter_id == filter_id and fee.grouped_by == own:
                return bucket.charge_filter, own, fee
        return bucket.charge_filter, grouped_by, None


def _read_at(session: Session, invoice: Invoice) -> datetime:
    """When the usage of an invoice was read: its fees are all made at that instant.

    Without any, nothing that counts was there to be read.
    """
    made_at = session.scalar(select(func.max(Fee.created_at)).where(Fee.invoice_id == invoice.id))
    return made_at or invoice.finalized_at or invoice.created_at


def _fees(session: Session, billed: BillingPeriod, charge: Charge) -> Sequence[Fee]:
    return session.scalars(
        select(Fee).where(
            Fee.invoice_id == billed.invoice_id,
            Fee.subscription_id == billed.subscription_id,
            Fee.charge_id == charge.id,
            Fee.true_up_parent_fee_id.is_(None),
            Fee.adjusts_billing_period_id.is_(None),
        )
    ).all()
