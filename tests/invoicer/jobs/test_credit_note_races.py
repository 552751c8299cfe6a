"""Two invoicers take from the same credit notes, and each cent is taken once."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from invoicer.db import Base, CreditNote, InvoiceCredit
from invoicer.db.session import open_engine, session_factory, transaction
from tests.invoicer.billing.give_back import give_back
from tests.invoicer.billing.make_catalog import make_organization_row
from tests.invoicer.billing.scenario import Scenario, utc
from tests.invoicer.jobs.test_due_jobs import close_with_two_invoicers

CUSTOMERS = 8
SUBSCRIPTIONS = 5
"""Of each customer, each on an invoice of its own."""


def notes_to_take(scenario: Scenario) -> None:
    """Every customer owes 120.00 on five invoices of 1 March, and was given back 250.00 in two notes."""
    with scenario.catalog() as catalog:
        catalog.plan()
        catalog.plan(code="large", amount_cents=25_000)
    for customer in range(CUSTOMERS):
        own = {"external_customer_id": f"customer-{customer}", "subscription_at": utc("2026-01-01")}
        scenario.subscribe(external_id=f"s{customer}", plan_code="large", ending_at=utc("2026-02-01"), **own)
    scenario.move_to("2026-02-01")
    for invoice in scenario.invoices():
        give_back(scenario, str(invoice.number), "13000")
        give_back(scenario, str(invoice.number), "12000")
    for customer in range(CUSTOMERS):
        for number in range(SUBSCRIPTIONS):
            scenario.subscribe(
                external_customer_id=f"customer-{customer}",
                external_id=f"s{customer}-{number}",
                consolidate_invoice=False,
            )
    scenario.clock.move_to(utc("2026-03-01"))


def check_each_cent_taken_once(scenario: Scenario) -> None:
    march = [invoice for invoice in scenario.invoices() if invoice.billed_at == utc("2026-03-01")]
    assert len(march) == CUSTOMERS * SUBSCRIPTIONS
    taken: dict[object, list[int]] = {}
    for invoice in march:
        taken.setdefault(invoice.customer_id, []).append(invoice.credit_notes_amount_cents)
    assert [sorted(each, reverse=True) for each in taken.values()] == [[12_000, 12_000, 1_000, 0, 0]] * CUSTOMERS
    with transaction(scenario.context.sessions, reads_only=True) as session:
        left = session.execute(select(CreditNote.credit_status, CreditNote.balance_amount_cents)).all()
        total = session.scalar(select(func.sum(InvoiceCredit.amount_cents)))
    assert {tuple(row) for row in left} == {("consumed", 0)}
    assert total == 25_000 * CUSTOMERS


def test_two_invoicers_on_sqlite_take_each_credit_once(scenario: Scenario) -> None:
    """Two threads finalize forty invoices: of five, two are paid by notes, and a third in part."""
    notes_to_take(scenario)
    other = replace(scenario, context=replace(scenario.context, time_lock=threading.RLock()))

    close_with_two_invoicers(scenario, other, utc("2026-03-01"))

    check_each_cent_taken_once(scenario)


@pytest.mark.cluster
def test_two_invoicers_on_postgresql_take_each_credit_once(scenario: Scenario, database_url: str) -> None:
    """The same with two connection pools on PostgreSQL."""
    engines = [open_engine(database_url), open_engine(database_url)]
    Base.metadata.create_all(engines[0])
    first, second = (
        replace(scenario.context, sessions=session_factory(engine), time_lock=threading.RLock())
        for engine in engines
    )
    one = replace(scenario, context=first, organization=make_organization_row(first))
    notes_to_take(one)

    close_with_two_invoicers(one, replace(one, context=second), utc("2026-03-01"))

    check_each_cent_taken_once(one)
    for engine in engines:
        engine.dispose()
