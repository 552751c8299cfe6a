"""Stories of whole invoices, by dates: what is billed when, and for how much. Amounts are worked out by hand."""

from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest

from tests.invoicer.billing.scenario import Scenario, reasons, utc

GRADUATED = {
    "graduated_ranges": [
        {"from_value": 0, "to_value": 100, "per_unit_amount": "0.5", "flat_amount": "0"},
        {"from_value": 101, "to_value": None, "per_unit_amount": "0.2", "flat_amount": "10"},
    ]
}


def team_in_advance(scenario: Scenario) -> None:
    """The tutorial: Team at USD 120 a month in advance, a graduated charge on active users, 12.5 % tax."""
    with scenario.catalog() as catalog:
        plan = catalog.plan(pay_in_advance=True)
        plan.taxes = [catalog.tax("sales", "12.5")]
        catalog.charge(plan, catalog.metric("mtu"), "graduated", properties=GRADUATED)


def test_tutorial_first_invoice_is_the_plan_and_its_tax(scenario: Scenario) -> None:
    """120.00 in advance and 12.5 % on it, numbered at once, due today."""
    team_in_advance(scenario)
    scenario.subscribe(billing_time="anniversary")
    [invoice] = scenario.invoices()
    assert scenario.told() == ["MIL-0001-001-001 2026-01-01: subscription=12000 | 1500 | 13500"]
    assert (invoice.payment_status, invoice.payment_due_date) == ("pending", invoice.issuing_date)
    assert (invoice.fees[0].period_from, invoice.fees[0].period_to) == (utc("2026-01-01"), utc("2026-02-01"))


def test_tutorial_second_invoice_adds_the_usage_gone_by(scenario: Scenario) -> None:
    """150 users: 100 at 0.50, a flat 10.00 and 50 at 0.20 are 70.00; with the plan 190.00 and 23.75 tax."""
    team_in_advance(scenario)
    scenario.subscribe(billing_time="anniversary")
    scenario.usage.send("acme-1", "mtu", utc("2026-01-10"), times=149)
    scenario.usage.send("acme-1", "mtu", utc("2026-01-31T23:59:59"))
    scenario.usage.send("acme-1", "mtu", utc("2026-02-01"), times=7)
    scenario.move_to("2026-02-01")
    assert scenario.told()[1:] == ["MIL-0001-001-002 2026-02-01: subscription=12000 charge=7000 | 2375 | 21375"]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("weekly", ["2026-01-05: subscription=6857", "2026-01-12: subscription=12000"]),
        ("quarterly", ["2026-04-01: subscription=12000", "2026-07-01: subscription=12000"]),
        ("semiannual", ["2026-07-01: subscription=12000", "2027-01-01: subscription=12000"]),
        ("yearly", ["2027-01-01: subscription=12000", "2028-01-01: subscription=12000"]),
    ],
)
def test_calendar_arrears_bill_each_interval_when_it_is_over(
    scenario: Scenario, interval: str, expected: list[str]
) -> None:
    """Weeks end on Sunday: Thursday 1 January to Sunday is 4 of 7 days, 68.57."""
    with scenario.catalog() as catalog:
        catalog.plan(interval=interval)
    scenario.subscribe()
    scenario.move_to("2028-01-01")
    told = [line.removeprefix(f"MIL-0001-001-{number:03d} ") for number, line in enumerate(scenario.told(), 1)]
    assert [line.split(" |")[0] for line in told[:2]] == expected


def test_calendar_start_in_new_york_is_prorated_in_local_days(scenario: Scenario) -> None:
    """Started on 20 January, 21:00 in New York (already the 21st in UTC): 12 of 31 days, billed 05:00 UTC."""
    with scenario.catalog() as catalog:
        catalog.customer(timezone="America/New_York")
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    scenario.move_to("2026-01-21T02:00")
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T04:59"), times=10)
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T05:00"), times=99)
    scenario.move_to("2026-02-01T05:00")
    [invoice] = scenario.invoices()
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=4645 charge=100 | 0 | 4745"]
    assert invoice.billed_at == utc("2026-02-01T05:00")


def test_termination_in_arrears_bills_the_days_and_the_usage_so_far(scenario: Scenario) -> None:
    """Ended on 10 January: 10 of 31 days of 120.00 are 38.71; usage after the end is not billed."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-01-09"), times=5)
    scenario.usage.send("acme-1", "calls", utc("2026-01-10T15:00"), times=5)
    scenario.move_to("2026-01-10T15:00")
    scenario.terminate()
    scenario.move_to("2026-03-15")
    [invoice] = scenario.invoices()
    assert scenario.told() == ["MIL-0001-001-001 2026-01-10: subscription=3871 charge=50 | 0 | 3921"]
    assert reasons(invoice) == ["subscription_terminating"]
    assert scenario.subscription().due_at is None


def test_termination_before_the_due_periodic_invoice_bills_both(scenario: Scenario) -> None:
    """The scheduler slept over 1 February: January is billed as of 1 February, then one day of February."""
    with scenario.catalog() as catalog:
        catalog.plan(amount_cents=1_000)
    scenario.subscribe()
    scenario.clock.move_to(utc("2026-02-01T00:15"))
    scenario.terminate()
    scenario.move_to("2026-02-01T00:16")
    assert scenario.told() == [
        "MIL-0001-001-001 2026-02-01: subscription=1000 | 0 | 1000",
        "MIL-0001-001-002 2026-02-01: subscription=36 | 0 | 36",
    ]


def test_termination_without_invoice_bills_nothing_more(scenario: Scenario) -> None:
    """`on_termination_invoice=skip` leaves the begun period unbilled."""
    with scenario.catalog() as catalog:
        catalog.plan()
    scenario.subscribe()
    scenario.move_to("2026-01-20")
    scenario.terminate(invoice="skip")
    scenario.move_to("2026-04-01")
    assert scenario.told() == []


def test_ending_at_on_the_billing_day_bills_the_whole_period_once(scenario: Scenario) -> None:
    """Anniversary on the 1st, ending as February begins: January whole, no extra day."""
    with scenario.catalog() as catalog:
        catalog.plan(amount_cents=1_000)
    scenario.subscribe(billing_time="anniversary", ending_at="2026-02-01T00:00:00Z")
    scenario.move_to("2026-06-01")
    [invoice] = scenario.invoices()
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=1000 | 0 | 1000"]
    assert reasons(invoice) == ["subscription_terminating"]
    assert scenario.subscription().status == "terminated"
    assert scenario.subscription().terminated_at == utc("2026-02-01")


def test_ending_at_in_paris_bills_both_local_days(scenario: Scenario) -> None:
    """Started on 5 September 02:00 and ended on 6 September 02:00 in Paris: 2 of 30 days of 10.00, 0.67."""
    with scenario.catalog() as catalog:
        catalog.customer(timezone="Europe/Paris")
        catalog.plan(amount_cents=1_000)
    scenario.move_to("2026-09-05")
    scenario.subscribe(billing_time="anniversary", ending_at="2026-09-06T00:00:00Z")
    scenario.move_to("2026-12-01")
    assert scenario.told() == ["MIL-0001-001-001 2026-09-06: subscription=67 | 0 | 67"]


def test_trial_in_advance_is_invoiced_at_its_end_for_the_rest_of_the_month(scenario: Scenario) -> None:
    """A trial of 10 days from 5 March 12:12 ends on the 15th: 17 of 31 days of 50,000.00 are 27,419.35."""
    with scenario.catalog() as catalog:
        catalog.plan(amount_cents=5_000_000, pay_in_advance=True, trial_period=Decimal(10))
    scenario.move_to("2026-03-05T12:12")
    scenario.subscribe()
    assert scenario.told() == []
    scenario.move_to("2026-04-01")
    assert scenario.told() == [
        "MIL-0001-001-001 2026-03-15: subscription=2741935 | 0 | 2741935",
        "MIL-0001-001-002 2026-04-01: subscription=5000000 | 0 | 5000000",
    ]
    assert scenario.subscription().trial_ended_at == utc("2026-03-15T12:12")


def test_trial_over_a_period_end_bills_usage_but_no_plan_fee(scenario: Scenario) -> None:
    """A trial of 45 days from 5 March: usage on 1 April, the plan's 12 of 30 days on 19 April."""
    with scenario.catalog() as catalog:
        plan = catalog.plan(amount_cents=5_000_000, pay_in_advance=True, trial_period=Decimal(45))
        catalog.charge(plan, catalog.metric("calls"))
    scenario.move_to("2026-03-05T12:12")
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-03-20"), times=3)
    scenario.move_to("2026-04-30")
    assert scenario.told() == [
        "MIL-0001-001-001 2026-04-01: charge=30 | 0 | 30",
        "MIL-0001-001-002 2026-04-19: subscription=2000000 | 0 | 2000000",
    ]


def test_trial_that_ends_on_a_billing_day_is_billed_once(scenario: Scenario) -> None:
    """A trial of 31 days from 1 January noon ends on 1 February: one invoice, for all of February."""
    with scenario.catalog() as catalog:
        catalog.plan(pay_in_advance=True, trial_period=Decimal(31))
    scenario.subscribe()
    scenario.move_to("2026-02-28")
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=12000 | 0 | 12000"]


def test_backdated_start_is_not_invoiced_in_retrospect(scenario: Scenario) -> None:
    """Entered on 1 January as started last June: nothing now, the next month in advance on 1 February."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(pay_in_advance=True), catalog.metric("calls"))
    scenario.usage.send("acme-1", "calls", utc("2025-12-31"), times=1000)
    scenario.usage.send("acme-1", "calls", utc("2026-01-02"), times=2)
    scenario.subscribe(subscription_at="2025-06-15T00:00:00Z")
    assert scenario.told() == []
    scenario.move_to("2026-02-01")
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=12000 charge=20 | 0 | 12020"]


def test_future_start_is_activated_and_invoiced_when_its_day_comes(scenario: Scenario) -> None:
    """From 10 January in advance on a calendar month: 22 of 31 days of 120.00 are 85.16."""
    with scenario.catalog() as catalog:
        catalog.plan(pay_in_advance=True)
    scenario.subscribe(subscription_at="2026-01-10T09:00:00Z")
    assert scenario.subscription().status == "pending"
    scenario.move_to("2026-01-09T23:59:59")
    assert scenario.subscription().status == "pending"
    scenario.move_to("2026-01-10")
    assert scenario.subscription().status == "active"
    assert scenario.subscription().started_at == utc("2026-01-10T09:00")
    assert scenario.told() == ["MIL-0001-001-001 2026-01-10: subscription=8516 | 0 | 8516"]


def test_yearly_plan_with_monthly_charges_bills_usage_each_month(scenario: Scenario) -> None:
    """1,200.00 a year in advance from 1 January; usage of each month on the 1st of the next."""
    with scenario.catalog() as catalog:
        plan = catalog.plan(
            amount_cents=120_000, interval="yearly", pay_in_advance=True, bill_charges_monthly=True
        )
        catalog.charge(plan, catalog.metric("calls"))
    scenario.subscribe()
    for month in range(1, 13):
        scenario.usage.send("acme-1", "calls", utc(f"2026-{month:02d}-15"), times=month)
    scenario.move_to("2027-01-01")
    told = [line.split(": ")[1].split(" |")[0] for line in scenario.told()]
    assert told == [
        "subscription=120000",
        *(f"charge={10 * month}" for month in range(1, 12)),
        "subscription=120000 charge=120",
    ]


def test_two_years_bill_each_month_exactly_once(scenario: Scenario) -> None:
    """A clock moved by two years in one go makes 24 invoices whose periods join without gap or overlap."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    scenario.subscribe(billing_time="anniversary", subscription_at="2026-01-01T00:00:00Z")
    scenario.move_to("2028-01-01")
    periods = [invoice.billing_periods[0] for invoice in scenario.invoices()]
    assert len(periods) == 24
    assert [period.charges_from for period in periods[1:]] == [period.charges_to for period in periods[:-1]]
    assert (periods[0].charges_from, periods[-1].charges_to) == (utc("2026-01-01"), utc("2028-01-01"))
    assert [invoice.sequential_id for invoice in scenario.invoices()] == list(range(1, 25))


@pytest.mark.parametrize("seed", range(6))
def test_every_event_of_a_subscription_is_billed_exactly_once(scenario: Scenario, seed: int) -> None:
    """Random events over half a year, some on the very bounds: each within its life is on one invoice."""
    chance = Random(seed)
    zone, billing_time, interval = (
        chance.choice(["UTC", "America/New_York", "Asia/Tokyo", "Europe/Paris"]),
        chance.choice(["calendar", "anniversary"]),
        chance.choice(["weekly", "monthly", "quarterly"]),
    )
    with scenario.catalog() as catalog:
        catalog.customer(timezone=zone)
        plan = catalog.plan(interval=interval, pay_in_advance=chance.random() < 0.5)
        catalog.charge(plan, catalog.metric("calls"))
    scenario.subscribe(billing_time=billing_time)
    started, ended = utc("2026-01-01T12:00"), utc("2026-06-17T09:30")
    times = [started + (ended - started) * chance.random() for _ in range(300)]
    edges = [started, *(utc(f"2026-{month:02d}-01") for month in range(2, 7)), ended - timedelta(microseconds=1)]
    for at in [*times, *edges, started - timedelta(microseconds=1), ended]:
        scenario.usage.send("acme-1", "calls", at)
    scenario.move_to("2026-06-17T09:30")
    scenario.terminate()
    scenario.move_to("2026-08-01")
    fees = [fee for invoice in scenario.invoices() for fee in invoice.fees if fee.fee_type == "charge"]
    assert sum(fee.events_count or 0 for fee in fees) == len(times) + len(edges)
