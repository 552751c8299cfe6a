"""What stands on an invoice: usage of every kind, minimums, taxes, numbers, drafts. Amounts are by hand."""

from decimal import Decimal

import pytest
from sqlalchemy import update

from invoicer.billing.invoice_building import check_totals
from invoicer.db import Customer, Organization
from invoicer.db.session import transaction
from schemas.errors import InvariantViolation
from tests.invoicer.billing.scenario import Scenario, told, utc


def test_filters_and_groups_make_a_fee_each(scenario: Scenario) -> None:
    """EU calls at 0.20 by region group, the rest at 0.10; the default bucket has one group without a value."""
    with scenario.catalog() as catalog:
        metric = catalog.metric("calls", filters={"zone": ["eu", "us"]})
        catalog.charge(
            catalog.plan(amount_cents=0),
            metric,
            properties={"amount": "0.1", "pricing_group_keys": ["team"]},
            filters=[({"zone": ["eu"]}, {"amount": "0.2"})],
        )
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-01-05"), times=10, zone="eu", team="red")
    scenario.usage.send("acme-1", "calls", utc("2026-01-05"), times=5, zone="eu", team="blue")
    scenario.usage.send("acme-1", "calls", utc("2026-01-05"), times=7)
    scenario.move_to("2026-02-01")
    [invoice] = scenario.invoices()
    assert [(fee.charge_filter_id is None, fee.grouped_by, fee.amount_cents) for fee in invoice.fees[1:]] == [
        (False, {"team": "blue"}, 100),
        (False, {"team": "red"}, 200),
        (True, {"team": None}, 70),
    ]


def test_recurring_sum_is_billed_again_each_month(scenario: Scenario) -> None:
    """Seats added in January are still there in February: 5 × 10.00, then 7 × 10.00."""
    with scenario.catalog() as catalog:
        seats = catalog.metric("seats", "sum_agg", recurring=True)
        catalog.charge(catalog.plan(amount_cents=0), seats, properties={"amount": "10"})
    scenario.subscribe()
    scenario.usage.send("acme-1", "seats", utc("2026-01-05"), 5)
    scenario.usage.send("acme-1", "seats", utc("2026-02-20"), 2)
    scenario.move_to("2026-03-01")
    assert [fee.amount_cents for invoice in scenario.invoices() for fee in invoice.fees[1:]] == [5_000, 7_000]


def test_prorated_seats_count_the_days_they_were_held(scenario: Scenario) -> None:
    """10 seats carried for 28 days and 14 added on 15 February (14 days of 28): 10 + 7 at 1.00; 24 are shown."""
    with scenario.catalog() as catalog:
        seats = catalog.metric("seats", "sum_agg", recurring=True)
        catalog.charge(catalog.plan(amount_cents=0), seats, properties={"amount": "1"}, prorated=True)
    scenario.subscribe()
    scenario.usage.send("acme-1", "seats", utc("2026-01-01T12:00"), 10)
    scenario.usage.send("acme-1", "seats", utc("2026-02-15T09:00"), 14)
    scenario.move_to("2026-03-01")
    fee = scenario.invoices()[-1].fees[1]
    assert (fee.units, fee.amount_cents) == (Decimal(24), 1_700)


def test_weighted_storage_carries_its_level_into_the_next_month(scenario: Scenario) -> None:
    """30 GB all of April are 30; in May 30 carried and 31 more for the last 10 of 31 days are 40 at 0.10."""
    with scenario.catalog() as catalog:
        storage = catalog.metric("storage", "weighted_sum_agg", recurring=True, weighted_interval="seconds")
        catalog.charge(catalog.plan(amount_cents=0), storage)
    scenario.move_to("2026-03-31")
    scenario.subscribe()
    scenario.usage.send("acme-1", "storage", utc("2026-04-01"), 30)
    scenario.usage.send("acme-1", "storage", utc("2026-05-22"), 31)
    scenario.move_to("2026-06-01")
    april, may = (invoice.fees[1] for invoice in scenario.invoices()[1:])
    assert (april.units, april.amount_cents) == (Decimal(30), 300)
    assert (may.units, may.amount_cents, may.total_aggregated_units) == (Decimal(40), 400, Decimal(61))


def test_unique_users_removed_are_not_billed(scenario: Scenario) -> None:
    """ann, bob and again ann, then bob removed: one user at 5.00."""
    with scenario.catalog() as catalog:
        catalog.charge(
            catalog.plan(amount_cents=0), catalog.metric("users", "unique_count_agg"), properties={"amount": "5"}
        )
    scenario.subscribe()
    for day, identity, value in ((2, "ann", 1), (3, "bob", 1), (4, "ann", 1), (5, "bob", -1)):
        scenario.usage.send("acme-1", "users", utc(f"2026-01-{day:02d}"), value, identity=identity)
    scenario.move_to("2026-02-01")
    fee = scenario.invoices()[0].fees[1]
    assert (fee.units, fee.events_count, fee.amount_cents) == (Decimal(1), 1, 500)


@pytest.mark.parametrize(
    ("properties", "values", "amount_cents"),
    [
        ({"rate": "1", "fixed_amount": "5", "free_units_per_events": 3}, [10, 10, 10, 10], 510),
        (
            {
                "rate": "1",
                "fixed_amount": "1",
                "per_transaction_min_amount": "1.75",
                "per_transaction_max_amount": "12",
            },
            [100, 1_000, 10_000],
            2_500,
        ),
    ],
)
def test_percentage_charges_price_single_payments(
    scenario: Scenario, properties: dict[str, object], values: list[int], amount_cents: int
) -> None:
    """Free events are the first ones; with bounds each payment is priced alone."""
    with scenario.catalog() as catalog:
        payments = catalog.metric("payments", "sum_agg")
        catalog.charge(catalog.plan(amount_cents=0), payments, "percentage", properties=properties)
    scenario.subscribe()
    for value in values:
        scenario.usage.send("acme-1", "payments", utc("2026-01-20"), value)
    scenario.move_to("2026-02-01")
    assert scenario.invoices()[0].fees[1].amount_cents == amount_cents


def test_dynamic_charge_adds_up_what_the_events_carry_in_yen(scenario: Scenario) -> None:
    """300.4 and 200.2 yen are 500.6, rounded to 501: the yen has no minor unit."""
    with scenario.catalog() as catalog:
        catalog.charge(
            catalog.plan(amount_cents=0, currency="JPY"),
            catalog.metric("llm", "sum_agg"),
            "dynamic",
            properties={},
        )
    scenario.subscribe()
    scenario.usage.send("acme-1", "llm", utc("2026-01-20"), 1, amount="300.4")
    scenario.usage.send("acme-1", "llm", utc("2026-01-20"), 1, amount="200.2")
    scenario.move_to("2026-02-01")
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=0 charge=501 | 0 | 501"]


def test_units_are_rounded_as_the_metric_asks(scenario: Scenario) -> None:
    """2.4 GB rounded up are 3 units at 0.10."""
    with scenario.catalog() as catalog:
        traffic = catalog.metric("traffic", "sum_agg", rounding_function="ceil")
        catalog.charge(catalog.plan(amount_cents=0), traffic)
    scenario.subscribe()
    scenario.usage.send("acme-1", "traffic", utc("2026-01-20"), "2.4")
    scenario.move_to("2026-02-01")
    fee = scenario.invoices()[0].fees[1]
    assert (fee.units, fee.amount_cents) == (Decimal(3), 30)


def test_minimum_not_reached_is_trued_up_for_the_days_billed(scenario: Scenario) -> None:
    """Ended on 25 February: 10.00 over 25 of 28 days is 8.93; 8.00 used leave 0.93, with 20 % tax 0.19."""
    with scenario.catalog() as catalog:
        plan = catalog.plan(amount_cents=0, pay_in_advance=True)
        plan.taxes = [catalog.tax("vat", "20")]
        catalog.charge(plan, catalog.metric("calls"), min_amount_cents=1_000)
    scenario.move_to("2026-02-01")
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-02-03"), times=80)
    scenario.move_to("2026-02-25T12:00")
    scenario.terminate()
    scenario.move_to("2026-02-26")
    invoice = scenario.invoices()[-1]
    used, missing = invoice.fees
    assert (used.amount_cents, missing.amount_cents, missing.units) == (800, 93, Decimal(1))
    assert missing.true_up_parent_fee_id == used.id
    assert (missing.taxes_amount_cents, invoice.taxes_amount_cents, invoice.total_amount_cents) == (19, 179, 1_072)


def test_minimum_without_usage_keeps_the_empty_fee_it_belongs_to(scenario: Scenario) -> None:
    """Nothing used in January: a fee of 0 and a true-up of the whole 10.00."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(amount_cents=0), catalog.metric("calls"), min_amount_cents=1_000)
    scenario.subscribe(billing_time="anniversary", subscription_at="2026-01-01T00:00:00Z")
    scenario.move_to("2026-02-01")
    assert scenario.told() == ["MIL-0001-001-001 2026-02-01: subscription=0 charge=0 charge=1000 | 0 | 1000"]


def test_taxes_come_from_the_first_level_that_has_any(scenario: Scenario) -> None:
    """The charge's 12 % for usage, the customer's 10 % for the plan; the organization's 5 % for neither."""
    with scenario.catalog() as catalog:
        plan = catalog.plan(amount_cents=1_000)
        charge = catalog.charge(plan, catalog.metric("calls"))
        charge.taxes = [catalog.tax("charge", "12")]
        catalog.customer().taxes = [catalog.tax("customer", "10")]
        catalog.tax("organization", "5", applied_to_organization=True)
    scenario.subscribe(billing_time="anniversary", subscription_at="2026-01-01T00:00:00Z")
    scenario.usage.send("acme-1", "calls", utc("2026-01-03"), times=100)
    scenario.move_to("2026-02-01")
    [invoice] = scenario.invoices()
    assert [fee.taxes_amount_cents for fee in invoice.fees] == [100, 120]
    assert {tax.tax_code: (tax.fees_amount_cents, tax.amount_cents) for tax in invoice.applied_taxes} == {
        "customer": (1_000, 100),
        "charge": (1_000, 120),
    }
    assert (invoice.taxes_amount_cents, invoice.taxes_rate) == (220, Decimal(11))


def test_subscriptions_of_one_instant_share_an_invoice_unless_told_otherwise(scenario: Scenario) -> None:
    """Two consolidate; another currency, another purchase order and a loner have invoices of their own."""
    with scenario.catalog() as catalog:
        catalog.plan()
        catalog.plan("euro", currency="EUR")
    scenario.subscribe(external_id="a")
    scenario.subscribe(external_id="b")
    scenario.subscribe(external_id="loner", consolidate_invoice=False)
    scenario.subscribe(external_id="order", purchase_order_number="PO-7")
    scenario.subscribe(external_id="euro", plan_code="euro")
    scenario.move_to("2026-02-01")
    shared = [
        (invoice.currency, invoice.purchase_order_number, len(invoice.billing_periods), invoice.total_amount_cents)
        for invoice in scenario.invoices()
    ]
    assert sorted(shared, key=str) == [
        ("EUR", None, 1, 12_000),
        ("USD", "PO-7", 1, 12_000),
        ("USD", None, 1, 12_000),
        ("USD", None, 2, 24_000),
    ]


@pytest.mark.parametrize(
    ("customer", "issues_zero", "expected"),
    [
        ("inherit", True, "finalized"),
        ("inherit", False, "closed"),
        ("skip", True, "closed"),
        ("finalize", False, "finalized"),
    ],
)
def test_invoice_of_nothing_is_issued_or_closed_as_configured(
    scenario: Scenario, customer: str, issues_zero: bool, expected: str
) -> None:
    """Closed means no number is spent; either way the period is done."""
    with scenario.catalog() as catalog:
        catalog.organization.finalize_zero_amount_invoice = issues_zero
        catalog.customer(finalize_zero_amount_invoice=customer)
        catalog.plan(amount_cents=0)
    scenario.subscribe()
    scenario.move_to("2026-02-01")
    [invoice] = scenario.invoices()
    assert (invoice.status, invoice.number is None) == (expected, expected == "closed")
    assert invoice.payment_status == ("succeeded" if expected == "finalized" else "pending")


def test_numbers_counted_per_organization_run_on_over_months_and_customers(scenario: Scenario) -> None:
    """The counter is one for all customers and is not reset; the month is that of the organization."""
    with scenario.catalog() as catalog:
        catalog.organization.document_numbering = "per_organization"
        catalog.plan()
    scenario.subscribe(external_id="a", external_customer_id="acme")
    scenario.subscribe(external_id="g", external_customer_id="globex")
    scenario.move_to("2026-03-01")
    assert sorted(invoice.number or "" for invoice in scenario.invoices()) == [
        "MIL-0001-202602-001",
        "MIL-0001-202602-002",
        "MIL-0001-202603-003",
        "MIL-0001-202603-004",
    ]
    with transaction(scenario.context.sessions) as session:
        session.execute(update(Organization).values(document_numbering="per_customer"))
    scenario.move_to("2026-04-01")
    assert {invoice.number for invoice in scenario.invoices()[-2:]} == {"MIL-0001-001-003", "MIL-0001-002-003"}


def test_grace_period_makes_a_draft_that_counts_late_usage_when_it_is_final(scenario: Scenario) -> None:
    """Billed on 1 February, drafted for 3 days, final on the 4th with the calls that came in between."""
    with scenario.catalog() as catalog:
        catalog.customer(invoice_grace_period=3, net_payment_term=10)
        catalog.charge(catalog.plan(amount_cents=0), catalog.metric("calls"))
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-01-20"), times=10)
    scenario.move_to("2026-02-01")
    assert scenario.told() == ["draft 2026-02-04: subscription=0 charge=100 | 0 | 100"]
    scenario.usage.send("acme-1", "calls", utc("2026-01-31T23:00"), times=5)
    scenario.usage.send("acme-1", "calls", utc("2026-02-02"), times=50)
    scenario.move_to("2026-02-04")
    [invoice] = scenario.invoices()
    assert scenario.told() == ["MIL-0001-001-001 2026-02-04: subscription=0 charge=150 | 0 | 150"]
    assert invoice.payment_due_date.isoformat() == "2026-02-14"


def test_invoice_unpaid_becomes_overdue_the_day_after_it_was_due(scenario: Scenario) -> None:
    """Due on 11 February: overdue as the 12th begins, not before."""
    with scenario.catalog() as catalog:
        catalog.customer(net_payment_term=10)
        catalog.plan()
    scenario.subscribe()
    scenario.move_to("2026-02-11T23:59:59")
    assert not scenario.invoices()[0].payment_overdue
    scenario.move_to("2026-02-12")
    assert scenario.invoices()[0].payment_overdue


def test_customer_moving_west_is_not_billed_twice_for_a_month(scenario: Scenario) -> None:
    """From UTC to New York after 1 February: the next invoice is that of 1 March, without hole or overlap."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    scenario.subscribe(billing_time="calendar", subscription_at="2026-01-01T00:00:00Z")
    scenario.move_to("2026-02-01T00:00:01")
    with transaction(scenario.context.sessions) as session:
        session.execute(update(Customer).values(timezone="America/New_York"))
    scenario.move_to("2026-03-05")
    periods = [invoice.billing_periods[0] for invoice in scenario.invoices()]
    assert [(period.charges_from, period.charges_to) for period in periods] == [
        (utc("2026-01-01"), utc("2026-02-01")),
        (utc("2026-02-01"), utc("2026-03-01T05:00")),
    ]


def test_invoice_that_does_not_add_up_is_not_saved(scenario: Scenario) -> None:
    """The safety bound names what is wrong."""
    with scenario.catalog() as catalog:
        catalog.plan()
    scenario.subscribe()
    scenario.move_to("2026-02-01")
    [invoice] = scenario.invoices()
    check_totals(invoice)
    invoice.total_amount_cents += 1
    with pytest.raises(InvariantViolation, match="the total is fees and taxes"):
        check_totals(invoice)


def test_subscription_that_cannot_be_priced_is_parked_and_the_others_go_on(scenario: Scenario) -> None:
    """A broken price parks its subscription; its neighbour is billed alone, and no number is lost."""
    with scenario.catalog() as catalog:
        catalog.plan()
        broken = catalog.plan("broken")
        catalog.charge(broken, catalog.metric("calls"), properties={"amount": "many"})
    scenario.subscribe(external_id="a")
    scenario.subscribe(external_id="b", plan_code="broken")
    scenario.move_to("2026-03-01")
    assert [told(invoice).split(" ")[0] for invoice in scenario.invoices()] == [
        "MIL-0001-001-001",
        "MIL-0001-001-002",
    ]
    assert "invalid_amount" in (scenario.subscription("b").parked_reason or "")
    assert scenario.subscription("a").parked_reason is None
