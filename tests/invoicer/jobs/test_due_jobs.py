"""What is due is done once, in order, whatever happens in between."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from invoicer.billing import finalization, period_closing
from invoicer.billing.finalization import finalize_invoice
from invoicer.billing.invoice_building import build_invoice
from invoicer.db import Base, Charge, Invoice
from invoicer.db.session import open_engine, session_factory
from invoicer.jobs.due_jobs import run_due
from schemas.errors import TransientError
from tests.invoicer.billing.make_catalog import make_organization_row
from tests.invoicer.billing.scenario import Scenario, told, utc
from tests.invoicer.jobs.two_invoicers import close_with_two_invoicers

CUSTOMERS = 20
SUBSCRIPTIONS = 4 * CUSTOMERS


def billed_calls(scenario: Scenario) -> None:
    """Acme on a plan with calls, ten of them used in January; the clock passes 1 February unobserved."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    scenario.subscribe(subscription_at="2026-01-01T00:00:00Z")
    scenario.usage.send("acme-1", "calls", utc("2026-01-20"), times=10)
    scenario.clock.move_to(utc("2026-02-03"))


EXPECTED = ["MIL-0001-001-001 2026-02-01: subscription=12000 charge=100 | 0 | 12100"]


def test_run_due_late_bills_as_of_the_instant_it_was_due(scenario: Scenario) -> None:
    """Two days late the invoice is the same, billed and due on 1 February; and overdue, which it is by now."""
    billed_calls(scenario)
    assert run_due(scenario.context, utc("2026-02-03")) == 2
    [invoice] = scenario.invoices()
    assert invoice.payment_overdue
    assert (scenario.told(), invoice.billed_at) == (EXPECTED, utc("2026-02-01"))


def test_run_due_again_does_nothing_more(scenario: Scenario) -> None:
    """The second run finds nothing due."""
    billed_calls(scenario)
    run_due(scenario.context, utc("2026-02-03"))
    assert run_due(scenario.context, utc("2026-02-03")) == 0
    assert scenario.told() == EXPECTED


def test_run_due_waits_for_the_stream_and_then_bills_the_same(scenario: Scenario) -> None:
    """While accepted events are being counted nothing is billed; what they bring is in the invoice then made."""
    billed_calls(scenario)
    scenario.gate.is_open = False
    assert run_due(scenario.context, utc("2026-02-03")) == 0
    assert scenario.invoices() == []
    scenario.usage.send("acme-1", "calls", utc("2026-01-31"), times=10)
    scenario.gate.is_open = True
    scenario.clock.move_to(utc("2026-02-05"))
    run_due(scenario.context, utc("2026-02-05"))
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=12000 charge=200 | 0 | 12200"]


def test_run_due_starts_subscriptions_while_it_waits_for_the_stream(scenario: Scenario) -> None:
    """A start reads no usage: it is not held up by the stream."""
    with scenario.catalog() as catalog:
        catalog.plan(pay_in_advance=True)
    scenario.subscribe(subscription_at="2026-01-10T00:00:00Z")
    scenario.gate.is_open = False
    scenario.clock.move_to(utc("2026-01-10"))
    run_due(scenario.context, utc("2026-01-10"))
    assert (scenario.subscription().status, len(scenario.invoices())) == ("active", 1)


def test_run_due_with_the_store_away_leaves_everything_due(scenario: Scenario) -> None:
    """The error goes to the caller, who tries again."""
    billed_calls(scenario)
    scenario.usage.is_away = True
    with pytest.raises(TransientError):
        run_due(scenario.context, utc("2026-02-03"))
    scenario.usage.is_away = False
    run_due(scenario.context, utc("2026-02-03"))
    assert scenario.told() == EXPECTED


def broken_after_reading(*arguments: Any, **named: Any) -> Invoice:
    build_invoice(*arguments, **named)
    raise RuntimeError("power cut after the usage was read")


def broken_before_number(*_arguments: Any, **_named: Any) -> None:
    raise RuntimeError("power cut before the number")


def broken_after_number(session: Session, *arguments: Any, **named: Any) -> None:
    finalize_invoice(session, *arguments, **named)
    session.flush()
    raise RuntimeError("power cut before the commit")


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (period_closing, "build_invoice", broken_after_reading),
        (period_closing, "finalize_invoice", broken_before_number),
        (finalization, "_number", broken_before_number),
        (period_closing, "finalize_invoice", broken_after_number),
        (period_closing, "apply_step", broken_before_number),
    ],
)
def test_crash_between_the_steps_of_a_close_is_made_good_by_the_next_run(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, broken: Callable[..., None]
) -> None:
    """Nothing is left of the broken attempt, and the next run makes exactly one invoice with the first number."""
    billed_calls(scenario)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, broken)
        assert run_due(scenario.context, utc("2026-02-03")) == 0
    assert scenario.invoices() == []
    run_due(scenario.context, utc("2026-02-03"))
    assert scenario.told() == EXPECTED


def test_crash_of_a_finalization_leaves_the_draft_as_it_was(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draft is final after the next run, with one number and its fees once."""
    with scenario.catalog() as catalog:
        catalog.customer(invoice_grace_period=1)
    billed_calls(scenario)
    run_due(scenario.context, utc("2026-02-01"))
    with monkeypatch.context() as patched:
        patched.setattr(finalization, "_number", broken_before_number)
        run_due(scenario.context, utc("2026-02-02"))
    assert [told(invoice).split(" ")[0] for invoice in scenario.invoices()] == ["draft"]
    run_due(scenario.context, utc("2026-02-03"))
    assert scenario.told() == ["MIL-0001-001-001 2026-02-02: subscription=12000 charge=100 | 0 | 12100"]


def many_subscriptions(scenario: Scenario) -> None:
    """Four subscriptions of each of 20 customers, each on an invoice of its own, all due on 1 February."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    for number in range(SUBSCRIPTIONS):
        scenario.subscribe(
            external_customer_id=f"customer-{number % CUSTOMERS}",
            external_id=f"s{number}",
            consolidate_invoice=False,
        )
        scenario.usage.send(f"s{number}", "calls", utc("2026-01-20"), times=3)
    scenario.clock.move_to(utc("2026-02-01"))


def check_each_billed_once(scenario: Scenario) -> None:
    invoices = scenario.invoices()
    billed = sorted(period.subscription_id for invoice in invoices for period in invoice.billing_periods)
    assert len(invoices) == len(billed) == len(set(billed)) == SUBSCRIPTIONS
    sequences: dict[object, list[int]] = {}
    for invoice in invoices:
        sequences.setdefault(invoice.customer_id, []).append(invoice.sequential_id or 0)
    assert all(sorted(each) == [1, 2, 3, 4] for each in sequences.values())
    assert {invoice.total_amount_cents for invoice in invoices} == {12_030}


def test_two_invoicers_on_sqlite_bill_each_subscription_once(scenario: Scenario) -> None:
    """Two threads close the same 80 subscriptions: one invoice each, numbers without a gap."""
    many_subscriptions(scenario)
    other = replace(scenario, context=replace(scenario.context, time_lock=threading.RLock()))
    close_with_two_invoicers(scenario, other, utc("2026-02-01"))
    check_each_billed_once(scenario)


@pytest.mark.cluster
@pytest.mark.parametrize("numbering", ["per_customer", "per_organization"])
def test_two_invoicers_on_postgresql_bill_each_subscription_once(
    scenario: Scenario, database_url: str, numbering: str
) -> None:
    """The same with two connection pools on PostgreSQL, under either way of numbering."""
    engines = [open_engine(database_url), open_engine(database_url)]
    Base.metadata.create_all(engines[0])
    first, second = (
        replace(scenario.context, sessions=session_factory(engine), time_lock=threading.RLock())
        for engine in engines
    )
    organization = make_organization_row(first, document_numbering=numbering)
    one = replace(scenario, context=first, organization=organization)
    many_subscriptions(one)
    close_with_two_invoicers(one, replace(one, context=second), utc("2026-02-01"))
    check_each_billed_once(one)
    if numbering == "per_organization":
        counted = sorted(invoice.organization_sequential_id or 0 for invoice in one.invoices())
        assert counted == list(range(1, SUBSCRIPTIONS + 1))
    for engine in engines:
        engine.dispose()


def test_two_invoicers_on_sqlite_finalize_each_draft_once(scenario: Scenario) -> None:
    """80 drafts whose grace ends at once: each gets one number, and its fees once."""
    with scenario.catalog() as catalog:
        catalog.organization.invoice_grace_period = 1
    many_subscriptions(scenario)
    run_due(scenario.context, utc("2026-02-01"))
    scenario.clock.move_to(utc("2026-02-02"))
    other = replace(scenario, context=replace(scenario.context, time_lock=threading.RLock()))
    close_with_two_invoicers(scenario, other, utc("2026-02-02"))
    check_each_billed_once(scenario)
    assert {len(invoice.fees) for invoice in scenario.invoices()} == {2}


def test_draft_that_would_not_add_up_is_held_and_the_others_become_final(scenario: Scenario) -> None:
    """A price broken during the grace period keeps its draft a draft, no longer due; the neighbour goes on."""
    with scenario.catalog() as catalog:
        catalog.organization.invoice_grace_period = 1
        catalog.plan()
        charge = catalog.charge(catalog.plan("broken"), catalog.metric("calls"))
    scenario.subscribe(external_id="a")
    scenario.subscribe(external_id="b", plan_code="broken", consolidate_invoice=False)
    scenario.move_to("2026-02-01")
    with scenario.catalog() as catalog:
        catalog.session.get_one(Charge, charge.id).properties = {"amount": "many"}
    scenario.move_to("2026-02-02")
    assert sorted(invoice.number or invoice.status for invoice in scenario.invoices()) == [
        "MIL-0001-001-001",
        "draft",
    ]
    assert [invoice.expected_finalization_at for invoice in scenario.invoices()] == [None, None]
