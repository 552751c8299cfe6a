"""The rules by which an event is followed to its fee."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from invoicer.billing.arrival import Arrivals, ReadInstant
from invoicer.billing.billing_items import InvoicingReason
from invoicer.billing.event_trace import (
    BillingState,
    OutsideReason,
    invoiced_state,
    open_state,
    outside_reason,
)
from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.periods import Period
from invoicer.db import BillingPeriod, Subscription

MARCH, APRIL, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))
TICK = timedelta(microseconds=1)


def make_subscription(**changes: object) -> Subscription:
    """A subscription that runs since 1 March and was billed up to 1 April."""
    given = {"id": uuid.uuid4(), "status": "active", "started_at": MARCH, "billed_until": APRIL, "due_at": MAY}
    return Subscription(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "instant", "reason"),
    [
        ({}, MARCH, None),
        ({}, MARCH - TICK, OutsideReason.BEFORE_START),
        ({"terminated_at": MAY, "status": "terminated"}, MAY - TICK, None),
        ({"terminated_at": MAY, "status": "terminated"}, MAY, OutsideReason.AFTER_END),
        ({"started_at": None, "status": "pending"}, APRIL, OutsideReason.NOT_STARTED),
        ({"started_at": None, "status": "canceled"}, APRIL, OutsideReason.CANCELED),
    ],
)
def test_subscription_covers_what_happens_from_its_start_to_before_its_end(
    changes: dict[str, object], instant: datetime, reason: OutsideReason | None
) -> None:
    """Half-open, to the microsecond, as usage is billed."""
    assert outside_reason(make_subscription(**changes), instant) is reason


@pytest.mark.parametrize(
    ("status", "has_fee", "is_seen", "state"),
    [
        (InvoiceStatus.DRAFT, True, True, BillingState.ON_DRAFT),
        (InvoiceStatus.DRAFT, False, False, BillingState.ON_DRAFT),
        (InvoiceStatus.FINALIZED, True, True, BillingState.BILLED),
        (InvoiceStatus.FINALIZED, False, True, BillingState.NOTHING_DUE),
        (InvoiceStatus.FINALIZED, True, False, BillingState.LATE),
        (InvoiceStatus.FINALIZED, False, False, BillingState.LATE),
        (InvoiceStatus.VOIDED, True, True, BillingState.VOIDED),
        (InvoiceStatus.VOIDED, True, False, BillingState.LATE),
        (InvoiceStatus.CLOSED, True, True, BillingState.NOTHING_DUE),
        (InvoiceStatus.CLOSED, False, False, BillingState.LATE),
    ],
)
def test_invoiced_period_makes_an_event_billed_or_late(
    status: InvoiceStatus, has_fee: bool, is_seen: bool, state: BillingState
) -> None:
    """A draft still takes everything."""
    assert invoiced_state(status, has_fee=has_fee, is_seen=is_seen) is state


@pytest.mark.parametrize(
    ("changes", "now", "state"),
    [
        ({}, APRIL, BillingState.CURRENT_USAGE),
        ({}, MAY - TICK, BillingState.CURRENT_USAGE),
        ({}, MAY, BillingState.AWAITING_INVOICE),
        ({}, APRIL - TICK, BillingState.UPCOMING),
        ({"billed_until": MAY}, MAY, BillingState.NEVER_INVOICED),
        ({"status": "terminated", "due_at": None}, MAY, BillingState.NEVER_INVOICED),
        ({"status": "terminated"}, MAY, BillingState.AWAITING_INVOICE),
    ],
)
def test_period_on_no_invoice_is_open_or_never_invoiced(
    changes: dict[str, object], now: datetime, state: BillingState
) -> None:
    """An event of April, seen at different times."""
    assert open_state(make_subscription(**changes), Period(APRIL, MAY), now) is state


@pytest.mark.parametrize(
    ("reason", "read_at", "arrived_at", "is_seen"),
    [
        (InvoicingReason.PERIODIC, APRIL, APRIL - TICK, True),
        (InvoicingReason.PERIODIC, APRIL, APRIL, False),
        (InvoicingReason.PERIODIC, APRIL + TICK, APRIL + TICK, True),
        (InvoicingReason.TERMINATING, APRIL, APRIL, True),
        (InvoicingReason.TERMINATING, APRIL, APRIL + TICK, False),
    ],
)
def test_usage_read_at_an_instant_has_seen_what_arrived_before(
    reason: InvoicingReason, read_at: datetime, arrived_at: datetime, is_seen: bool
) -> None:
    """At the very instant a period ends, on a clock that stands still, its invoice comes first."""
    period = BillingPeriod(invoicing_reason=reason, billing_at=APRIL)
    assert ReadInstant.of(period, read_at).has_seen(arrived_at) is is_seen


def test_arrival_is_when_the_store_took_it_unless_the_clock_is_a_test_clock() -> None:
    """The store knows nothing of a test clock."""
    instants = {"ingested_at": MARCH, "inserted_at": APRIL}
    assert Arrivals(on_test_clock=False).of(**instants) == APRIL
    assert Arrivals(on_test_clock=True).of(**instants) == MARCH
