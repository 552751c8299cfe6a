"""The events behind a charge fee, and the fee's units counted anew from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from invoicer.billing.arrival import Arrivals, ReadInstant
from invoicer.billing.billing_facts import load_facts, select_subscriptions
from invoicer.billing.billing_items import stored_item
from invoicer.billing.charge_usage import Bucket, UsageWindow, bucket_scope, charge_buckets, price_bucket
from invoicer.billing.fee_building import usage_window
from invoicer.billing.late_events.fee_source import LateSource, load_late_source
from invoicer.billing.late_events.known import KnownLate, load_known_late
from invoicer.billing.late_events.lines import LineAmount
from invoicer.billing.past_charges import (
    bucket_keys,
    filters_at,
    is_changed_since,
    load_filters,
    with_dimensions,
)
from invoicer.billing.recount import RecountingReader, level_of
from invoicer.catalog.snapshot import load_metric_definitions
from invoicer.db import BillingPeriod, Charge, Fee, Subscription
from invoicer.rating.fee import FeeAmounts
from schemas.errors import InvariantViolation, NotAllowed
from schemas.metrics import MetricDefinition
from schemas.period import TimeRange
from schemas.usage import UsageReader, UsageRow, UsageScope

RECOUNTED_EVENTS_MAX = 1_000_000
"""Events held in memory for a recount: 0.7 kB each, measured. A fee of more is paged through, not recounted."""
LATE_NAMED_MAX = 10


@dataclass(frozen=True)
class FeeSource:
    """Where the usage of a charge fee was read, and when.

    `is_changed`  the charge or one of its filters was edited since: it is recounted as it is now.
    `known_late`  the late events of its period, as far as they have been found.
    `late`        where it is the difference that late events made to a line that was billed before.
    """

    fee: Fee
    charge: Charge
    bucket: Bucket
    metric: MetricDefinition
    window: UsageWindow
    read: ReadInstant
    is_changed: bool
    known_late: KnownLate
    late: LateSource | None = None

    def lists(self, row: UsageRow) -> bool:
        """Whether the fee was made for the event."""
        return self.late is None or row.transaction_id in self.late.events

    def misses(self, row: UsageRow, arrivals: Arrivals) -> bool:
        """Whether the event was not there when the usage of the fee was read."""
        if self.late is not None:
            return row.transaction_id in self.late.unseen
        was_counted = self.known_late.was_counted(
            row.transaction_id, timestamp=row.timestamp, inserted_at=row.inserted_at
        )
        if was_counted is None:
            arrived_at = arrivals.of(ingested_at=row.ingested_at, inserted_at=row.inserted_at)
            was_counted = self.read.has_seen(arrived_at)
        return not was_counted

    @property
    def carries(self) -> bool:
        """Whether events from before the period are part of the units."""
        return self.metric.recurring or self.charge.prorated


@dataclass(frozen=True)
class Recount:
    """A fee's figures counted anew. Units: `amount_cents` in minor units, at the prices of today.

    `carried_events` and `carried_units` are what a recurring metric brought into the period: part of the units.
    """

    units: Decimal
    total_aggregated_units: Decimal
    events_count: int
    amount_cents: int
    carried_events: int
    carried_units: Decimal
    matches_fee: bool


@dataclass(frozen=True)
class FeeEvents:
    """A page of the events behind a fee. `recount` is None over `RECOUNTED_EVENTS_MAX` events.

    Of a fee of late usage the page holds the late events alone, the recount all of the line. `late_events` arrived
    after the usage was read: they are on no page and in no recount. `late_ids` names the first of them.
    """

    page: Sequence[UsageRow]
    events_count: int
    late_events: int
    late_ids: Sequence[str]
    recount: Recount | None


def load_fee_source(session: Session, fee: Fee) -> FeeSource:
    """What it takes to read the usage of a fee once more, just as its invoice did.

    Raises: NotAllowed for a fee without events of its own: a plan's, or a true-up to a minimum.
    """
    if fee.charge_id is None or fee.true_up_parent_fee_id is not None or fee.invoice is None:
        raise NotAllowed("not_a_charge_fee")
    charge = session.scalars(
        select(Charge)
        .where(Charge.id == fee.charge_id)
        .options(joinedload(Charge.billable_metric), selectinload(Charge.filters))
    ).one()
    late = load_late_source(session, fee)
    if late is not None and late.is_true_up:
        raise NotAllowed("not_a_charge_fee")
    period = _billed_period(session, fee) if late is None else late.period
    owners = select_subscriptions().where(Subscription.id == fee.subscription_id)
    [facts] = load_facts(session, session.scalars(owners).unique().all())
    definitions = load_metric_definitions(session, fee.organization_id, [charge.billable_metric_id])
    charge_filters = load_filters(session, [charge.id]).get(charge.id, [])
    read_at = fee.created_at if late is None else late.period.usage_read_at or late.period.created_at
    bucket = _bucket(fee, charge_buckets(charge, filters_at(charge_filters, read_at)))
    return FeeSource(
        fee=fee,
        charge=charge,
        bucket=bucket,
        metric=with_dimensions(definitions[charge.billable_metric_id], bucket_keys([bucket])),
        window=usage_window(stored_item(facts, period, ZoneInfo(period.invoice.timezone))),
        read=ReadInstant.of(period, fee.created_at),
        is_changed=is_changed_since(charge, charge_filters, read_at),
        known_late=load_known_late(session, period, charge),
        late=late,
    )


def _billed_period(session: Session, fee: Fee) -> BillingPeriod:
    return session.scalars(
        select(BillingPeriod).where(
            BillingPeriod.invoice_id == fee.invoice_id, BillingPeriod.subscription_id == fee.subscription_id
        )
    ).one()


def read_fee_events(
    reader: UsageReader, source: FeeSource, arrivals: Arrivals, *, limit: int, offset: int
) -> FeeEvents:
    """Read the events behind a fee in order, and count them anew.

    All of them are read for any page. Of the usage store's answers only single events are used: units are added
    up here, so a total it got wrong shows.
    Raises: TransientError when the usage store is away.
    """
    found = _Found(limit=limit, offset=offset)
    group = tuple(source.fee.grouped_by[key] for key in source.bucket.group_keys)
    for row in reader.rows(_scope(source)):
        if row.group == group:
            found.add(row, is_late=source.misses(row, arrivals), is_listed=source.lists(row))
    is_countable = found.counted_events <= RECOUNTED_EVENTS_MAX
    return FeeEvents(
        page=found.page,
        events_count=found.events_count,
        late_events=found.late_events,
        late_ids=found.late_ids,
        recount=recount(source, found.counted) if is_countable else None,
    )


def recount(source: FeeSource, events: Sequence[UsageRow]) -> Recount:
    """The figures of a fee, from its events alone. They are all of its group.

    Those of late usage are a difference: what the whole line comes to, less what was billed for it before.
    """
    reader = RecountingReader(events)
    [line] = price_bucket(reader, source.charge, source.bucket, source.metric, source.window)
    amounts, fee = line.amounts, source.fee
    if source.late is not None:
        amounts = _less_billed_before(amounts, source.late)
    carried = [row for row in events if row.timestamp < source.window.period.start]
    stated = (fee.units, fee.total_aggregated_units, fee.events_count)
    return Recount(
        units=amounts.units,
        total_aggregated_units=amounts.total_aggregated_units,
        events_count=amounts.events_count,
        amount_cents=amounts.amount_cents,
        carried_events=len(carried),
        carried_units=level_of(source.metric.aggregation_type, carried),
        matches_fee=(amounts.units, amounts.total_aggregated_units, amounts.events_count) == stated,
    )


def _less_billed_before(amounts: FeeAmounts, late: LateSource) -> FeeAmounts:
    whole = LineAmount(amounts.units, amounts.events_count, amounts.amount_cents, amounts.precise_amount_cents)
    difference = whole.minus(late.before)
    return replace(
        amounts,
        units=difference.units,
        total_aggregated_units=difference.units,
        events_count=difference.events_count,
        amount_cents=difference.amount_cents,
        precise_amount_cents=difference.precise_amount_cents,
    )


@dataclass
class _Found:
    """Sorts events as they come, holding no more than a page and what is counted anew."""

    limit: int
    offset: int
    page: list[UsageRow] = field(default_factory=list)
    counted: list[UsageRow] = field(default_factory=list)
    events_count: int = 0
    counted_events: int = 0
    late_events: int = 0
    late_ids: list[str] = field(default_factory=list)

    def add(self, row: UsageRow, *, is_late: bool, is_listed: bool) -> None:
        if is_late:
            self.late_events += 1
            if self.late_events <= LATE_NAMED_MAX:
                self.late_ids.append(row.transaction_id)
            return
        if is_listed:
            if self.offset <= self.events_count < self.offset + self.limit:
                self.page.append(row)
            self.events_count += 1
        self.counted_events += 1
        if self.counted_events <= RECOUNTED_EVENTS_MAX:
            self.counted.append(row)
        else:
            self.counted.clear()


def _bucket(fee: Fee, buckets: Sequence[Bucket]) -> Bucket:
    """The fee's bucket, grouped by what the fee is grouped by."""
    for bucket in buckets:
        if (bucket.charge_filter.id if bucket.charge_filter is not None else None) == fee.charge_filter_id:
            return replace(bucket, group_keys=tuple(fee.grouped_by))
    raise InvariantViolation(f"fee {fee.id}: its charge had no filter {fee.charge_filter_id}")


def _scope(source: FeeSource) -> UsageScope:
    """The events of the fee's bucket, as far back as they count, and of its group as far as a filter can tell."""
    scope = bucket_scope(source.bucket, source.metric, source.window)
    wanted = {key: (value,) for key, value in source.fee.grouped_by.items() if value is not None}
    narrowed = replace(scope, include={**scope.include, **wanted})
    if not source.carries:
        return narrowed
    return replace(narrowed, period=TimeRange(start=None, end=scope.period.end))
