"""Rows that late events make: fees of their difference, the record of it, and what became of each event."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from invoicer.billing.fee_building import major_units
from invoicer.billing.invoice_building import ChargedFee
from invoicer.billing.late_events.lines import LineAmount
from invoicer.billing.late_events.policy import LateEventStatus
from invoicer.billing.late_events.pricing import LateDifference, PricedLate
from invoicer.billing.local_days import last_day_before, local_day
from invoicer.db import CreditNote, Fee, LateAdjustment, LateEvent
from invoicer.rating.arithmetic import divide_or_zero

_NAME_MAX = 255
_IDS_MAX = 1_000
"""Ids of one statement, far below what SQLite and PostgreSQL take."""


@dataclass(frozen=True)
class LateFee:
    """A difference that is owed, as a fee that is not saved yet."""

    difference: LateDifference
    charged: ChargedFee

    @property
    def fee(self) -> Fee:
        """The row."""
        return self.charged.fee


def build_late_fees(priced: PricedLate, differences: Iterable[LateDifference], now: datetime) -> list[LateFee]:
    """A fee for each difference that is owed. The periods are those the events lie in, or were carried into."""
    plan = priced.work.facts.subscription.plan
    return [LateFee(each, ChargedFee(_late_fee(each, now), plan, each.past.charge)) for each in differences]


def _late_fee(difference: LateDifference, now: datetime) -> Fee:
    late, key, amount = difference.late, difference.key, difference.amount
    subscription, period = late.period.subscription_id, late.window.period
    currency = late.period.invoice.currency
    unit_cents = divide_or_zero(amount.precise_amount_cents, amount.units)
    if unit_cents < 0:
        unit_cents = Decimal(0)  # fewer units that cost more, as a volume price may have it
    return Fee(
        id=uuid.uuid4(),
        organization_id=late.period.invoice.organization_id,
        subscription_id=subscription,
        adjusts_billing_period_id=late.period.id,
        charge_id=key.charge_id,
        charge_filter_id=key.charge_filter_id,
        fee_type="charge",
        grouped_by=dict(key.grouped_by),
        invoice_display_name=_name(difference),
        currency=currency,
        units=amount.units,
        total_aggregated_units=amount.units,
        events_count=amount.events_count,
        amount_cents=amount.amount_cents,
        precise_amount_cents=amount.precise_amount_cents,
        unit_amount_cents=int(unit_cents),
        precise_unit_amount=major_units(unit_cents, currency),
        amount_details={},
        period_from=period.start,
        period_to=period.end,
        period_end_kind=period.ends_at,
        created_at=now,
        updated_at=now,
    )


def late_usage_days(difference: LateDifference) -> str:
    """Which usage it is, for people: `late usage of 2026-01-01 to 2026-01-31`."""
    period, timezone = difference.late.window.period, difference.late.window.timezone
    first, last = local_day(period.start, timezone), last_day_before(period.end, timezone)
    return f"late usage of {first} to {last}"


def _name(difference: LateDifference) -> str:
    charge = difference.past.charge
    days = f" ({late_usage_days(difference)})"
    name = charge.invoice_display_name or charge.billable_metric.name
    return name[: _NAME_MAX - len(days)] + days


def adjustment_of(
    difference: LateDifference,
    amount: LineAmount,
    now: datetime,
    *,
    fee: Fee | None = None,
    credit_note: CreditNote | None = None,
) -> LateAdjustment:
    """The record of a difference, or of the part of it that was settled by `fee` or `credit_note`."""
    key = difference.key
    return LateAdjustment(
        id=uuid.uuid4(),
        billing_period_id=difference.late.period.id,
        charge_id=key.charge_id,
        charge_filter_id=key.charge_filter_id,
        grouped_by=dict(key.grouped_by),
        is_true_up=key.is_true_up,
        fee=fee,
        credit_note=credit_note,
        units=amount.units,
        events_count=amount.events_count,
        amount_cents=amount.amount_cents,
        precise_amount_cents=amount.precise_amount_cents,
        created_at=now,
        updated_at=now,
    )


@dataclass(frozen=True)
class Settled:
    """A difference with what became of it; `status` AWAITING_INVOICE and no adjustment: it is owed still."""

    difference: LateDifference
    status: LateEventStatus
    adjustment: LateAdjustment | None


def settle_on_invoice(session: Session, priced: PricedLate, fees: Sequence[LateFee], now: datetime) -> None:
    """Record what an invoice, saved in this transaction, takes on of the late events.

    What is to be given back is left open, for a credit note.
    """
    settled = [
        Settled(
            each.difference,
            LateEventStatus.BILLED,
            adjustment_of(each.difference, each.difference.amount, now, fee=each.fee),
        )
        for each in fees
    ]
    waiting = [Settled(each, LateEventStatus.AWAITING_INVOICE, None) for each in priced.on_drafts]
    returned = frozenset(row for each in priced.returned for row in each.event_ids)
    record_settled(session, priced, [*settled, *waiting], now, keeps=returned)


def record_settled(
    session: Session,
    priced: PricedLate,
    settled: Sequence[Settled],
    now: datetime,
    *,
    keeps: Collection[uuid.UUID] = (),
) -> None:
    """Keep what was settled, and say of each event what became of it.

    That is said by the first of its lines, its own period before later ones. An event that still waits for an
    invoice with one of its lines waits. `keeps` are to be settled by somebody else: open, with what they have
    changed so far.
    """
    _number(session, [each.adjustment for each in settled if each.adjustment is not None])
    for event in _reread(session, [event.id for event in priced.work.events]):
        own = [each for each in settled if event.id in each.difference.event_ids]
        waiting = any(each.adjustment is None for each in own)
        done = next((each for each in own if each.adjustment is not None), None)
        event.adjustment = None if done is None else done.adjustment
        event.updated_at = now
        if event.id in keeps:
            event.status = LateEventStatus.PENDING
        elif waiting:
            event.status = LateEventStatus.AWAITING_INVOICE
        else:
            event.status = LateEventStatus.NO_CHANGE if done is None else done.status


def _reread(session: Session, ids: Sequence[uuid.UUID]) -> Iterator[LateEvent]:
    for start in range(0, len(ids), _IDS_MAX):
        yield from session.scalars(
            select(LateEvent)
            .where(LateEvent.id.in_(ids[start : start + _IDS_MAX]))
            .execution_options(populate_existing=True)
        )


def _number(session: Session, adjustments: Sequence[LateAdjustment]) -> None:
    """Save adjustments, each behind the others of its period; the customer is locked."""
    last: dict[uuid.UUID, int] = {}
    for each in adjustments:
        period_id = each.billing_period_id
        if period_id not in last:
            wanted = select(func.max(LateAdjustment.position)).where(LateAdjustment.billing_period_id == period_id)
            last[period_id] = session.scalar(wanted) or 0
        last[period_id] += 1
        each.position = last[period_id]
    session.add_all(adjustments)
