"""Which late events are behind a fee of late usage, and what was billed for its line before."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from invoicer.billing.late_events.lines import NOTHING, LineAmount
from invoicer.billing.late_events.policy import LateEventStatus
from invoicer.billing.late_events.work import adjustment_amount, adjustment_key, fee_amount, fee_key
from invoicer.db import BillingPeriod, Fee, LateAdjustment, LateEvent


@dataclass(frozen=True)
class LateSource:
    """What it takes to count a fee of late usage anew: the whole line as it was then, less what was billed before.

    `events` and `unseen` are transaction ids: the late events the fee was made for, and those it knew nothing of.
    """

    period: BillingPeriod
    events: frozenset[str]
    unseen: frozenset[str]
    before: LineAmount
    is_true_up: bool


def load_late_source(session: Session, fee: Fee) -> LateSource | None:
    """The source of a fee of late usage; None for any other."""
    adjustment = session.scalar(select(LateAdjustment).where(LateAdjustment.fee_id == fee.id))
    if adjustment is None:
        return None
    period = session.get_one(BillingPeriod, adjustment.billing_period_id)
    events = session.scalars(
        select(LateEvent)
        .where(LateEvent.subscription_id == fee.subscription_id)
        .options(joinedload(LateEvent.adjustment))
    ).all()
    return LateSource(
        period=period,
        events=frozenset(each.transaction_id for each in events if _is_of(each, adjustment)),
        unseen=frozenset(each.transaction_id for each in events if not _is_seen(each, adjustment)),
        before=_before(session, period, adjustment),
        is_true_up=adjustment.is_true_up,
    )


def _is_of(event: LateEvent, adjustment: LateAdjustment) -> bool:
    """Its own, or one of an earlier period that was carried into this one and settled with it."""
    own = event.adjustment
    if own is None or own.id == adjustment.id:
        return own is not None
    return own.billing_period_id != adjustment.billing_period_id and own.created_at == adjustment.created_at


def _is_seen(event: LateEvent, adjustment: LateAdjustment) -> bool:
    own = event.adjustment
    if own is None:
        return event.status == LateEventStatus.NO_CHANGE and event.updated_at <= adjustment.created_at
    if own.billing_period_id == adjustment.billing_period_id:
        return own.position <= adjustment.position
    return own.created_at <= adjustment.created_at


def _before(session: Session, period: BillingPeriod, adjustment: LateAdjustment) -> LineAmount:
    key = adjustment_key(adjustment)
    amounts = [fee_amount(fee) for fee in _own_fees(session, period, adjustment.charge_id) if fee_key(fee) == key]
    earlier = session.scalars(
        select(LateAdjustment).where(
            LateAdjustment.billing_period_id == period.id, LateAdjustment.position < adjustment.position
        )
    )
    amounts += [adjustment_amount(each) for each in earlier if adjustment_key(each) == key]
    total = NOTHING
    for amount in amounts:
        total = total.plus(amount)
    return total


def _own_fees(session: Session, period: BillingPeriod, charge_id: uuid.UUID) -> Sequence[Fee]:
    return session.scalars(
        select(Fee).where(
            Fee.invoice_id == period.invoice_id,
            Fee.subscription_id == period.subscription_id,
            Fee.charge_id == charge_id,
            Fee.adjusts_billing_period_id.is_(None),
        )
    ).all()
