"""Late events are settled once, whatever dies or runs twice on the way."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from invoicer.billing.late_events import finding, invoicing, settling
from invoicer.billing.late_events.finding import find_all_late_events, look_for_late_events
from invoicer.billing.late_events.policy import LateEventPolicy
from invoicer.billing.late_events.pricing import price_late
from invoicer.billing.late_events.settling import settle_late_events
from invoicer.db import LateAdjustment, LateEvent, LateEventMark, Organization
from invoicer.db.migrate import upgrade
from invoicer.db.session import open_engine, session_factory, transaction
from invoicer.jobs.due_jobs import run_due
from invoicer.jobs.late_event_jobs import run_late_event_jobs
from schemas.errors import InvariantViolation
from schemas.events import Position
from schemas.metrics import Evaluation
from schemas.reconciliation import AuditScope
from schemas.usage import PlacedEvent, StoredEvent
from tests.invoicer.billing.make_catalog import make_organization_row
from tests.invoicer.billing.recounted_usage import RecountedUsage
from tests.invoicer.billing.scenario import Scenario, utc
from tests.invoicer.fakes import FakeArrivals, FakeAuditor

JANUARY_20 = utc("2026-01-20")


@dataclass
class CountingAuditor(FakeAuditor):
    """Says how many events the usage of a scenario holds."""

    usage: RecountedUsage = field(default_factory=RecountedUsage)

    def verify(self, scopes: Sequence[AuditScope]) -> Mapping[AuditScope, int]:
        super().verify(scopes)
        return {scope: sum(_is_in(scope, each.timestamp) for each in self.usage.sent) for scope in scopes}


def _is_in(scope: AuditScope, timestamp: object) -> bool:
    start, end = scope.period.start, scope.period.end
    return (start is None or start <= timestamp) and timestamp < end  # type: ignore[operator]


@pytest.fixture
def auditor(recounted: RecountedUsage) -> CountingAuditor:
    """Counts what the scenario sends."""
    return CountingAuditor(usage=recounted)


@pytest.fixture
def billed(scenario: Scenario, stored: FakeArrivals) -> Scenario:
    """January is billed, and five events come late."""
    return bill_january(scenario, stored)


def bill_january(scenario: Scenario, stored: FakeArrivals) -> Scenario:
    """Ten calls of January at 0.10, billed on 1 February; then five late ones, to be settled at once."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(amount_cents=0), catalog.metric("calls"))
        catalog.customer()
        catalog.organization.late_event_policy = LateEventPolicy.CREDIT_NOTE_OR_INVOICE
    scenario.subscribe(subscription_at="2026-01-01T00:00:00Z")
    scenario.usage.send("acme-1", "calls", JANUARY_20, times=10)
    scenario.move_to("2026-02-01")
    scenario.clock.move_to(utc("2026-02-03"))
    send_late(scenario, stored, times=5)
    return scenario


def send_late(scenario: Scenario, stored: FakeArrivals, *, times: int) -> None:
    """Calls of 20 January that are stored now."""
    scenario.usage.send("acme-1", "calls", JANUARY_20, times=times)
    stored.arrived += [placed_call(scenario.organization, stored) for _ in range(times)]
    stored.clock += timedelta(seconds=1)


def placed_call(organization: Organization, stored: FakeArrivals) -> PlacedEvent:
    event_id = str(uuid.uuid4())
    event = StoredEvent(
        event_id, str(organization.id), "acme-1", event_id, "calls", JANUARY_20, {}, None, JANUARY_20
    )
    evaluation = Evaluation("", Decimal(1), "", {})
    return PlacedEvent(event, Position(0, 0, 0), evaluation, stored.clock)


@pytest.mark.cluster
def test_late_events_on_postgresql_are_settled_as_on_sqlite(
    scenario: Scenario, stored: FakeArrivals, database_url: str
) -> None:
    """At once, by an invoice of their own; then on the next one, when the policy has changed."""
    engine = open_engine(database_url)
    upgrade(engine)
    context = replace(scenario.context, sessions=session_factory(engine))
    story = bill_january(replace(scenario, context=context, organization=make_organization_row(context)), stored)
    run_late_event_jobs(context)
    run_late_event_jobs(context)
    assert charged(story) == [(100,), (50,)]
    with story.catalog() as catalog:
        catalog.organization.late_event_policy = LateEventPolicy.NEXT_INVOICE
    send_late(story, stored, times=2)
    run_late_event_jobs(context)
    assert {row.status for row in late_rows(story)} == {"billed", "awaiting_invoice"}
    story.move_to("2026-03-01")
    assert charged(story) == [(100,), (50,), (20,)]
    assert {row.status for row in late_rows(story)} == {"billed"}
    engine.dispose()


def late_rows(scenario: Scenario) -> list[LateEvent]:
    with transaction(scenario.context.sessions, reads_only=True) as session:
        return list(session.scalars(select(LateEvent)))


def charged(scenario: Scenario) -> list[tuple[int, ...]]:
    """The amounts of the charge fees of each invoice."""
    return [
        tuple(fee.amount_cents for fee in invoice.fees if fee.fee_type == "charge")
        for invoice in scenario.invoices()
    ]


def test_late_events_are_recorded_once_however_often_they_are_looked_for(billed: Scenario) -> None:
    """Two looks, which overlap, and a full search find five events."""
    assert look_for_late_events(billed.context) == 5
    assert look_for_late_events(billed.context) == 0
    assert find_all_late_events(billed.context, billed.organization.id) == 0
    assert {row.status for row in late_rows(billed)} == {"pending"}
    assert len(late_rows(billed)) == 5


def test_looks_that_overlap_move_the_mark_forward_only(
    billed: Scenario, stored: FakeArrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invoicer that began to look earlier, and ends later, does not take the other one's mark back."""
    began_at = stored.clock
    others = iter([True])

    def slow(*arguments: object) -> object:
        if next(others, False):
            stored.clock += timedelta(hours=1)
            look_for_late_events(billed.context)
        return touched(*arguments)  # type: ignore[arg-type]

    touched = finding._touched
    monkeypatch.setattr(finding, "_touched", slow)
    look_for_late_events(billed.context)
    with transaction(billed.context.sessions, reads_only=True) as session:
        assert session.scalars(select(LateEventMark.looked_until)).all() == [began_at + timedelta(hours=1)]


def test_look_finds_what_is_stored_after_the_clock_of_the_store_was_set_back(
    billed: Scenario, stored: FakeArrivals
) -> None:
    """For as long as it shows what it showed before, everything is stored behind the mark."""
    assert look_for_late_events(billed.context) == 5
    stored.clock -= timedelta(hours=1)
    send_late(billed, stored, times=2)
    assert look_for_late_events(billed.context) == 2


def test_look_that_cannot_count_a_period_is_made_again(
    billed: Scenario, stored: FakeArrivals, auditor: CountingAuditor
) -> None:
    """However long it takes until the repair helps: nothing else leads back to the period."""
    auditor.error = InvariantViolation("events are stored twice and cannot be repaired")
    stored.clock += timedelta(hours=1)
    assert look_for_late_events(billed.context) == 0
    auditor.error = None
    assert look_for_late_events(billed.context) == 5


def test_full_search_finds_what_no_look_has_seen(billed: Scenario, stored: FakeArrivals) -> None:
    """Rows that became visible long after their time: the mark has passed them, their period has not."""
    stored.clock += timedelta(days=1)
    kept, stored.arrived = stored.arrived, []
    assert look_for_late_events(billed.context) == 0
    stored.arrived = kept
    assert look_for_late_events(billed.context) == 0
    assert find_all_late_events(billed.context, billed.organization.id) == 5


def test_two_invoicers_settle_late_events_once(billed: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is faster, between the first one's pricing and its writing: that one writes nothing."""
    context = billed.context
    look_for_late_events(context)
    subscription_id = billed.subscription().id
    others = iter([True])

    def slow(*arguments: object) -> object:
        priced = price_late(*arguments)  # type: ignore[arg-type]
        if next(others, False):
            assert settle_late_events(context, subscription_id) == 5
        return priced

    monkeypatch.setattr(settling, "price_late", slow)
    assert settle_late_events(context, subscription_id) == 0
    assert charged(billed) == [(100,), (50,)]


@pytest.mark.parametrize("step", ["finalize_invoice", "record_settled", "_free_instant"])
def test_crash_between_steps_leaves_everything_open(
    billed: Scenario, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Nothing of the transaction is kept, and the next run makes the same invoice with the next number."""

    def dies(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(settling, step, dies)
        run_late_event_jobs(billed.context)
    assert charged(billed) == [(100,)]
    assert {row.status for row in late_rows(billed)} == {"pending"}
    run_late_event_jobs(billed.context)
    run_late_event_jobs(billed.context)
    assert charged(billed) == [(100,), (50,)]
    assert [invoice.number for invoice in billed.invoices()] == ["MIL-0001-001-001", "MIL-0001-001-002"]
    assert {row.status for row in late_rows(billed)} == {"billed"}


def test_closing_leaves_late_events_to_whoever_was_faster(
    billed: Scenario, stored: FakeArrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next invoice has priced them when another process settles them: it is made without them, once."""
    context = billed.context
    look_for_late_events(context)
    others = iter([True])

    def slow(*arguments: object) -> object:
        priced = price_late(*arguments)  # type: ignore[arg-type]
        if next(others, False):
            assert settle_late_events(context, billed.subscription().id) == 5
        return priced

    monkeypatch.setattr(invoicing, "price_late", slow)
    billed.clock.move_to(utc("2026-03-01"))
    monkeypatch.setattr("invoicer.jobs.late_event_jobs.run_late_event_jobs", lambda _context: None)
    run_due(context, utc("2026-03-01"))
    run_due(context, utc("2026-03-01"))
    assert sorted(charged(billed)) == [(), (50,), (100,)]
    with transaction(context.sessions, reads_only=True) as session:
        assert [each.amount_cents for each in session.scalars(select(LateAdjustment))] == [50]
