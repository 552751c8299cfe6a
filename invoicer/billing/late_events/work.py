"""What is to be corrected: the late events of subscriptions that are not settled yet, and the periods they change.

Read at once, so that usage can be priced afterwards without a transaction. What was read is checked again before
anything is written: see `is_unchanged`.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from invoicer.billing.billing_facts import load_facts, select_subscriptions
from invoicer.billing.billing_items import SubscriptionFacts, stored_item
from invoicer.billing.charge_usage import Bucket, UsageWindow, charge_buckets
from invoicer.billing.fee_building import usage_window
from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.late_events.lines import NOTHING, LineAmount, LineKey, Lines
from invoicer.billing.late_events.policy import OPEN, LateEventStatus
from invoicer.billing.past_charges import (
    bucket_keys,
    filters_at,
    is_changed_since,
    load_filters,
    with_dimensions,
)
from invoicer.catalog.snapshot import load_metric_definitions
from invoicer.db import (
    BillingPeriod,
    Charge,
    ChargeFilter,
    Fee,
    Invoice,
    LateAdjustment,
    LateEvent,
    Subscription,
)
from schemas.metrics import MetricDefinition

FINAL = (InvoiceStatus.FINALIZED, InvoiceStatus.CLOSED)
"""An event of a period whose invoice is one of these is late; a draft still takes it in."""


@dataclass(frozen=True)
class PastCharge:
    """A charge as it was when a period was billed, with the prices of today.

    `is_changed`  it, a filter or its metric was edited since: what was billed is no measure any more.
    `ignored`     transaction ids of late events that shall count in nothing.
    `uncounted`   those of the events to be settled: what was billed had not seen them.
    """

    charge: Charge
    buckets: tuple[Bucket, ...]
    metric: MetricDefinition
    is_changed: bool
    ignored: frozenset[str]
    uncounted: frozenset[str]


@dataclass(frozen=True)
class LatePeriod:
    """A final period to be priced once more, as far as late events change it.

    `billed` is what was billed for each line so far, `billed_final` the same without what is on drafts: those are
    computed anew, so nothing is given back for them.
    """

    period: BillingPeriod
    window: UsageWindow
    charges: tuple[PastCharge, ...]
    billed: Lines
    billed_final: Lines


@dataclass(frozen=True)
class LateWork:
    """The late events of one subscription that are to be settled, and the periods they change."""

    facts: SubscriptionFacts
    events: tuple[LateEvent, ...]
    periods: tuple[LatePeriod, ...]
    draft_id: uuid.UUID | None
    adjustments_seen: frozenset[uuid.UUID]


def load_late_work(
    session: Session, subscription_ids: Collection[uuid.UUID], *, draft_id: uuid.UUID | None = None
) -> list[LateWork]:
    """What is to be settled of these subscriptions; nothing for one without open late events.

    `draft_id` is the invoice that is being computed: what it settled before is open again.
    """
    found: dict[uuid.UUID, list[LateEvent]] = {}
    for event in session.scalars(_select_open(subscription_ids, draft_id)).unique():
        found.setdefault(event.subscription_id, []).append(event)
    if not found:
        return []
    rows = session.scalars(select_subscriptions().where(Subscription.id.in_(found))).unique().all()
    return [
        _Loader(session, facts, tuple(found[facts.subscription.id]), draft_id).work()
        for facts in load_facts(session, rows)
    ]


def is_unchanged(session: Session, work: LateWork) -> bool:
    """Whether what was read still holds, asked with the customer locked: nobody settled any of it meanwhile.

    Events found since are no change: they are settled next time, by a difference without what is settled now.
    """
    subscription_id = work.facts.subscription.id
    still_open = {event.id for event in session.scalars(_select_open([subscription_id], work.draft_id)).unique()}
    return {event.id for event in work.events} <= still_open and work.adjustments_seen == {
        each.id for each in _adjustments(session, subscription_id, work.draft_id)
    }


def select_final_periods() -> ColumnElement[bool]:
    """The condition on billing periods, joined with their invoices: billed with a known number of events."""
    return (
        BillingPeriod.bills_charges.is_(True)
        & BillingPeriod.events_counted.is_not(None)
        & Invoice.status.in_(FINAL)
    )


def _select_open(subscription_ids: Collection[uuid.UUID], draft_id: uuid.UUID | None) -> Select[LateEvent]:
    is_open: ColumnElement[bool] = LateEvent.status.in_(OPEN)
    if draft_id is not None:
        is_open = or_(is_open, Fee.invoice_id == draft_id)
    return (
        select(LateEvent)
        .outerjoin(LateAdjustment, LateAdjustment.id == LateEvent.adjustment_id)
        .outerjoin(Fee, Fee.id == LateAdjustment.fee_id)
        .where(LateEvent.subscription_id.in_(subscription_ids), is_open)
        .order_by(LateEvent.timestamp, LateEvent.id)
    )


def _adjustments(
    session: Session, subscription_id: uuid.UUID, draft_id: uuid.UUID | None
) -> Sequence[LateAdjustment]:
    """Everything settled so far that stands: not on the draft that is being computed, nor on a voided invoice."""
    rows = session.scalars(
        select(LateAdjustment)
        .join(BillingPeriod, BillingPeriod.id == LateAdjustment.billing_period_id)
        .where(BillingPeriod.subscription_id == subscription_id)
        .options(joinedload(LateAdjustment.fee).joinedload(Fee.invoice))
        .execution_options(populate_existing=True)
    ).all()
    return [each for each in rows if _stands(each, draft_id)]


def _stands(adjustment: LateAdjustment, draft_id: uuid.UUID | None) -> bool:
    invoice = None if adjustment.fee is None else adjustment.fee.invoice
    return invoice is None or (invoice.id != draft_id and invoice.status != InvoiceStatus.VOIDED)


@dataclass(frozen=True)
class _Loader:
    session: Session
    facts: SubscriptionFacts
    events: tuple[LateEvent, ...]
    draft_id: uuid.UUID | None

    def work(self) -> LateWork:
        adjustments = _adjustments(self.session, self.facts.subscription.id, self.draft_id)
        ignored = self.session.scalars(
            select(LateEvent).where(
                LateEvent.subscription_id == self.facts.subscription.id,
                LateEvent.status == LateEventStatus.IGNORED,
            )
        ).all()
        charges = self._charges({event.code for event in self.events})
        known_filters = load_filters(self.session, [charge.id for charge in charges])
        definitions = load_metric_definitions(
            self.session,
            self.facts.subscription.organization_id,
            {charge.billable_metric_id for charge in charges},
        )
        periods = []
        for period in self._periods():
            changed = [
                self._past_charge(
                    period,
                    charge,
                    known_filters.get(charge.id, []),
                    definitions[charge.billable_metric_id],
                    ignored,
                )
                for charge in charges
            ]
            past = [each for each in changed if each is not None]
            if past:
                periods.append(self._late_period(period, past, adjustments))
        return LateWork(
            self.facts, self.events, tuple(periods), self.draft_id, frozenset(each.id for each in adjustments)
        )

    def _charges(self, codes: Collection[str]) -> Sequence[Charge]:
        """The charges on these metrics, deleted ones too: they may have billed the period."""
        rows = self.session.scalars(
            select(Charge)
            .where(Charge.plan_id == self.facts.subscription.plan_id)
            .options(joinedload(Charge.billable_metric), selectinload(Charge.filters), selectinload(Charge.taxes))
            .order_by(Charge.position, Charge.id)
        )
        return [charge for charge in rows.unique() if charge.billable_metric.code in codes]

    def _periods(self) -> Sequence[BillingPeriod]:
        """The final periods from the first one that a late event lies in."""
        first = min(event.timestamp for event in self.events)
        return self.session.scalars(
            select(BillingPeriod)
            .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
            .where(
                BillingPeriod.subscription_id == self.facts.subscription.id,
                BillingPeriod.charges_to > first,
                select_final_periods(),
            )
            .options(joinedload(BillingPeriod.invoice))
            .order_by(BillingPeriod.charges_from)
        ).all()

    def _past_charge(
        self,
        period: BillingPeriod,
        charge: Charge,
        charge_filters: Sequence[ChargeFilter],
        metric: MetricDefinition,
        ignored: Iterable[LateEvent],
    ) -> PastCharge | None:
        """The charge, where a late event changes what it comes to in this period."""
        read_at = period.usage_read_at or period.created_at
        uncounted = [event for event in self.events if misses(event, charge, period)]
        was_there = charge.created_at <= read_at and (charge.deleted_at is None or charge.deleted_at > read_at)
        if not uncounted or not was_there:
            return None
        buckets = tuple(charge_buckets(charge, filters_at(charge_filters, read_at)))
        is_changed = is_changed_since(charge, charge_filters, read_at)
        return PastCharge(
            charge=charge,
            buckets=buckets,
            metric=with_dimensions(metric, bucket_keys(buckets)),
            is_changed=is_changed or charge.billable_metric.updated_at > read_at,
            ignored=frozenset(event.transaction_id for event in ignored if misses(event, charge, period)),
            uncounted=frozenset(event.transaction_id for event in uncounted),
        )

    def _late_period(
        self, period: BillingPeriod, charges: Sequence[PastCharge], adjustments: Iterable[LateAdjustment]
    ) -> LatePeriod:
        fees = self.session.scalars(
            select(Fee)
            .where(
                Fee.invoice_id == period.invoice_id,
                Fee.subscription_id == period.subscription_id,
                Fee.charge_id.is_not(None),
                Fee.adjusts_billing_period_id.is_(None),
            )
            .order_by(Fee.position)
        ).all()
        own = [each for each in adjustments if each.billing_period_id == period.id]
        final = [each for each in own if each.fee is None or not _is_on_draft(each.fee)]
        timezone = ZoneInfo(period.invoice.timezone)
        wanted = {each.charge.id for each in charges}
        return LatePeriod(
            period=period,
            window=usage_window(stored_item(self.facts, period, timezone)),
            charges=tuple(charges),
            billed=_billed(wanted, fees, own),
            billed_final=_billed(wanted, fees, final),
        )


def misses(event: LateEvent, charge: Charge, period: BillingPeriod) -> bool:
    """Whether what was billed for the charge in this period would have counted the event and had not seen it."""
    if event.code != charge.billable_metric.code or period.charges_to > event.counted_from:
        return False
    carries = charge.billable_metric.recurring or charge.prorated
    begins = event.timestamp if carries else period.charges_from
    return begins <= event.timestamp < period.charges_to


def _is_on_draft(fee: Fee) -> bool:
    return fee.invoice is not None and fee.invoice.status == InvoiceStatus.DRAFT


def _billed(wanted: Collection[uuid.UUID], fees: Iterable[Fee], adjustments: Iterable[LateAdjustment]) -> Lines:
    lines: dict[LineKey, LineAmount] = {}
    amounts = [(fee_key(fee), fee_amount(fee)) for fee in fees if fee.charge_id in wanted]
    amounts += [
        (adjustment_key(each), adjustment_amount(each)) for each in adjustments if each.charge_id in wanted
    ]
    for key, amount in amounts:
        lines[key] = lines.get(key, NOTHING).plus(amount)
    return lines


def fee_key(fee: Fee) -> LineKey:
    """The line that a charge fee is. Raises: ValueError for a fee of no charge."""
    if fee.charge_id is None:
        raise ValueError(f"fee {fee.id} is not of a charge")
    if fee.true_up_parent_fee_id is not None:
        return LineKey(fee.charge_id, is_true_up=True)
    return LineKey.of(fee.charge_id, fee.charge_filter_id, fee.grouped_by)


def adjustment_key(adjustment: LateAdjustment) -> LineKey:
    """The line that an adjustment changed."""
    if adjustment.is_true_up:
        return LineKey(adjustment.charge_id, is_true_up=True)
    return LineKey.of(adjustment.charge_id, adjustment.charge_filter_id, adjustment.grouped_by)


def fee_amount(fee: Fee) -> LineAmount:
    """What a fee bills."""
    return LineAmount(fee.units, fee.events_count or 0, fee.amount_cents, fee.precise_amount_cents)


def adjustment_amount(each: LateAdjustment) -> LineAmount:
    """What an adjustment billed or gave back."""
    return LineAmount(each.units, each.events_count, each.amount_cents, each.precise_amount_cents)
