"""Customers due at one instant are closed together, and none of them takes the others along."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.billing import period_closing
from invoicer.billing.finalization import finalize_invoice
from invoicer.billing.period_closing import close_customer, close_customers
from invoicer.db import Base, Customer, Invoice, Subscription
from invoicer.db.session import open_engine, session_factory, transaction
from invoicer.jobs import due_jobs
from invoicer.jobs.due_jobs import DueJobs, run_due
from invoicer.jobs.job_metrics import JobMetrics
from schemas.errors import InvariantViolation
from schemas.reconciliation import AuditScope
from tests.invoicer.billing.make_catalog import make_organization_row
from tests.invoicer.billing.scenario import Scenario, told, utc
from tests.invoicer.fakes import FakeAuditor

CUSTOMERS = 7
BILLED = [
    f"MIL-0001-00{number}-001 2026-02-01: subscription=12000 charge={number}0 | 0 | 120{number}0"
    for number in range(1, CUSTOMERS + 1)
]


def calls_of_seven(scenario: Scenario) -> None:
    """Customers 1 to 7, each with as many calls of 0.10 in January as its number; the clock stands at its end."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    for number in range(1, CUSTOMERS + 1):
        scenario.subscribe(
            external_customer_id=f"customer-{number}",
            external_id=f"s{number}",
            subscription_at="2026-01-01T00:00:00Z",
        )
        scenario.usage.send(f"s{number}", "calls", utc("2026-01-20"), times=number)
    scenario.clock.move_to(utc("2026-02-01"))


def test_customers_closed_together_share_proof_and_question(scenario: Scenario, auditor: FakeAuditor) -> None:
    """Seven invoices, each over its own usage, for one proof and one question."""
    calls_of_seven(scenario)
    run_due(scenario.context, utc("2026-02-01"))
    assert sorted(scenario.told()) == BILLED
    assert (auditor.asked, len(auditor.scopes), scenario.usage.together) == (1, 7, [7])


def test_customer_that_fails_is_left_due_and_the_others_are_billed(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the broken attempt is left: the third customer's invoice has its first number later."""
    calls_of_seven(scenario)

    def break_third(session: Session, customer: Customer, *arguments: Any, **named: Any) -> None:
        finalize_invoice(session, customer, *arguments, **named)
        if customer.external_id == "customer-3":
            session.flush()
            raise RuntimeError("broken in this test")

    with monkeypatch.context() as patched:
        patched.setattr(period_closing, "finalize_invoice", break_third)
        assert run_due(scenario.context, utc("2026-02-01")) == 6
    assert sorted(scenario.told()) == BILLED[:2] + BILLED[3:]
    assert run_due(scenario.context, utc("2026-02-01")) == 1
    assert sorted(scenario.told()) == BILLED


def test_subscription_that_is_not_sound_is_parked_and_the_others_are_billed(
    scenario: Scenario, auditor: FakeAuditor
) -> None:
    """The proof of all fails for the fifth: the others are proven and read one by one."""
    calls_of_seven(scenario)

    def refuse_fifth(scope: AuditScope) -> None:
        if scope.external_subscription_id == "s5":
            raise InvariantViolation("events are stored twice and cannot be repaired")

    auditor.repair = refuse_fifth
    run_due(scenario.context, utc("2026-02-01"))
    assert sorted(scenario.told()) == BILLED[:4] + BILLED[5:]
    assert scenario.subscription("s5").parked_reason == "events are stored twice and cannot be repaired"


def test_period_repaired_after_the_shared_proof_failed_is_read_after_its_repair(
    scenario: Scenario, auditor: FakeAuditor
) -> None:
    """The shared proof finds one that cannot be repaired; another one's twins go when it is proven by itself."""
    calls_of_seven(scenario)
    scenario.usage.send("s7", "calls", utc("2026-01-21"), times=7)

    def repair(scope: AuditScope) -> None:
        if scope.external_subscription_id == "s1":
            raise InvariantViolation("events are stored twice and cannot be repaired")
        if scope.external_subscription_id == "s7":
            scenario.usage.sent[:] = [each for each in scenario.usage.sent if each.timestamp < utc("2026-01-21")]

    auditor.repair = repair
    run_due(scenario.context, utc("2026-02-01"))
    assert sorted(scenario.told()) == BILLED[1:]


def test_customers_with_different_periods_are_billed_together_as_they_are_alone(
    scenario: Scenario, auditor: FakeAuditor
) -> None:
    """Three starts, a prorated and carried metric, filters and groups: two organizations, the same invoices."""
    other = replace(scenario, organization=make_organization_row(scenario.context, name="Other"))
    for each in (scenario, other):
        fill_varied(each)
    scenario.clock.move_to(utc("2026-01-03"))
    run_due(scenario.context, utc("2026-01-03"))
    for day, times in ((3, 2), (12, 1), (28, 4)):
        for number in range(1, 6):
            at = utc(f"2026-01-{day:02}")
            scenario.usage.send(f"s{number}", "calls", at, times=times, region=("eu", "us", "")[day % 3])
            scenario.usage.send(f"s{number}", "seats", at, number * times)
    for instant in (utc("2026-02-01"), utc("2026-03-01")):
        scenario.clock.move_to(instant)
        batch = close_customers(scenario.context, customers_of(scenario), instant)
        assert (set(batch.steps.values()), batch.alone) == ({1}, ())
        assert {close_customer(other.context, each, instant) for each in customers_of(other)} == {1}
    ours, theirs = (told_of(each) for each in (scenario, other))
    assert ours == theirs
    assert len(ours) == 10
    assert len(set(ours)) == 10


def fill_varied(scenario: Scenario) -> None:
    with scenario.catalog() as catalog:
        plan = catalog.plan()
        plan.taxes = [catalog.tax("sales", "12.5")]
        catalog.charge(
            plan,
            catalog.metric("calls", filters={"region": ["eu", "us"]}),
            filters=[({"region": ["eu"]}, {"amount": "0.37", "pricing_group_keys": ["region"]})],
        )
        catalog.charge(
            plan, catalog.metric("seats", "sum_agg", recurring=True), prorated=True, properties={"amount": "3.1"}
        )
    for number in range(1, 6):
        scenario.subscribe(
            external_customer_id=f"customer-{number}",
            external_id=f"s{number}",
            subscription_at=f"2026-01-0{1 + number % 3}T00:00:00Z",
        )


def customers_of(scenario: Scenario) -> list[Any]:
    owned = select(Customer.id).where(Customer.organization_id == scenario.organization.id)
    with transaction(scenario.context.sessions, reads_only=True) as session:
        return list(session.scalars(owned))


def told_of(scenario: Scenario) -> list[str]:
    """The organization's invoices without its prefix, which differs."""
    return sorted(
        told(invoice) + str([(fee.units, fee.precise_amount_cents, fee.grouped_by) for fee in invoice.fees])
        for invoice in scenario.invoices()
        if invoice.organization_id == scenario.organization.id
    )


@pytest.fixture
def on_postgresql(scenario: Scenario, database_url: str) -> Iterator[Scenario]:
    """The scenario on PostgreSQL, numbers counted for the organization."""
    engine = open_engine(database_url)
    Base.metadata.create_all(engine)
    context = replace(scenario.context, sessions=session_factory(engine), time_lock=threading.RLock())
    organization = make_organization_row(context, document_numbering="per_organization")
    yield replace(scenario, context=context, organization=organization)
    engine.dispose()


@contextmanager
def locked(scenario: Scenario, model: Any, external_id: str) -> Iterator[None]:
    """Somebody else works on a row."""
    with transaction(scenario.context.sessions) as session:
        session.scalars(select(model).where(model.external_id == external_id).with_for_update()).one()
        yield


@pytest.mark.cluster
@pytest.mark.parametrize(("model", "external_id"), [(Customer, "customer-4"), (Subscription, "s4")])
def test_row_that_somebody_else_has_is_left_out_and_billed_later(
    on_postgresql: Scenario, model: Any, external_id: str
) -> None:
    """The run waits for nobody; the six others are numbered without a gap, and the one left out comes next."""
    calls_of_seven(on_postgresql)
    with locked(on_postgresql, model, external_id):
        assert run_due(on_postgresql.context, utc("2026-02-01")) == 6
    assert numbers(on_postgresql) == [1, 2, 3, 4, 5, 6]
    assert run_due(on_postgresql.context, utc("2026-02-01")) == 1
    [last] = [invoice for invoice in on_postgresql.invoices() if invoice.organization_sequential_id == 7]
    assert last.total_amount_cents == 12_040


@pytest.mark.cluster
def test_two_invoicers_with_overlapping_batches_bill_each_once(
    on_postgresql: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of two, taken in any order by two invoicers: seven invoices, numbers without a gap."""
    monkeypatch.setattr(due_jobs, "TOGETHER_MAX", 2)
    calls_of_seven(on_postgresql)
    errors: list[BaseException] = []

    def work(until: datetime) -> None:
        jobs = DueJobs(on_postgresql.context, JobMetrics.unregistered())
        try:
            while jobs.run(until):
                pass
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(utc("2026-02-01"),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    run_due(on_postgresql.context, utc("2026-02-01"))
    assert numbers(on_postgresql) == [1, 2, 3, 4, 5, 6, 7]
    totals = sorted(invoice.total_amount_cents for invoice in on_postgresql.invoices())
    assert totals == [12_010, 12_020, 12_030, 12_040, 12_050, 12_060, 12_070]


def numbers(scenario: Scenario) -> list[int | None]:
    invoices: list[Invoice] = scenario.invoices()
    return sorted((invoice.organization_sequential_id for invoice in invoices), key=lambda number: number or 0)
