"""A customer that moves to another timezone: nothing that was billed in the old days is billed in the new ones."""

from invoicer.billing.billing_facts import load_account, load_facts
from invoicer.billing.current_usage import UsageSelection, read_current_usage
from invoicer.billing.subscription_changes import reschedule_customer
from invoicer.db import Invoice, Subscription
from invoicer.db.session import transaction
from tests.invoicer.billing.scenario import Scenario, utc


def subscribe_in(
    scenario: Scenario, timezone: str, *, at: str = "2026-01-01", pay_in_advance: bool = False
) -> None:
    """Team at USD 120 a month, calls at 0.10, for a customer in `timezone`."""
    scenario.clock.move_to(max(utc(at), scenario.clock.now()))
    with scenario.catalog() as catalog:
        catalog.customer(timezone=timezone)
        catalog.charge(catalog.plan(pay_in_advance=pay_in_advance), catalog.metric("calls"))
    scenario.subscribe(subscription_at=utc(at))


def move_customer(scenario: Scenario, timezone: str) -> None:
    """Change the customer's timezone, as an update of the customer does."""
    with transaction(scenario.context.sessions) as session:
        subscription = session.get_one(Subscription, scenario.subscription().id)
        subscription.customer.timezone = timezone
        reschedule_customer(session, subscription.customer)


def charges_periods(invoices: list[Invoice]) -> list[str]:
    """The stretches of usage that were billed, UTC."""
    periods = [each for invoice in invoices for each in invoice.billing_periods if each.bills_charges]
    return [f"{each.charges_from:%m-%dT%H:%M} {each.charges_to:%m-%dT%H:%M}" for each in periods]


def test_termination_before_the_old_boundary_comes_again_bills_no_month_twice(scenario: Scenario) -> None:
    """01:00 UTC of 1 February is 31 January in New York: January was billed, only the hours since are due.

    They are one begun day of a 31-day month, 120.00 / 31 = 3.87, and one call.
    """
    subscribe_in(scenario, "UTC")
    scenario.usage.send("acme-1", "calls", utc("2026-01-10"), times=10)
    scenario.move_to("2026-02-01T01:00")
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T00:30"))
    move_customer(scenario, "America/New_York")
    scenario.move_to("2026-02-01T02:00")
    scenario.terminate()
    scenario.move_to("2026-02-01T03:00")
    assert scenario.told() == [
        "MIL-0001-001-001 2026-02-01: subscription=12000 charge=100 | 0 | 12100",
        "MIL-0001-001-002 2026-01-31: subscription=387 charge=10 | 0 | 397",
    ]
    assert charges_periods(scenario.invoices())[1] == "02-01T00:00 02-01T02:00"


def test_termination_on_a_billing_day_that_was_served_under_another_timezone_bills_the_day(
    scenario: Scenario,
) -> None:
    """1 February begins again in New York at 05:00 UTC; a termination on it bills that day of 28, 4.29."""
    subscribe_in(scenario, "UTC")
    scenario.usage.send("acme-1", "calls", utc("2026-01-10"), times=10)
    scenario.move_to("2026-02-01T01:00")
    move_customer(scenario, "America/New_York")
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T00:30"))
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T09:00"))
    scenario.move_to("2026-02-01T10:00")
    scenario.terminate()
    scenario.move_to("2026-02-01T11:00")
    assert scenario.told() == [
        "MIL-0001-001-001 2026-02-01: subscription=12000 charge=100 | 0 | 12100",
        "MIL-0001-001-002 2026-02-01: subscription=429 charge=20 | 0 | 449",
    ]
    assert charges_periods(scenario.invoices())[1] == "02-01T00:00 02-01T10:00"


def test_month_paid_in_advance_is_not_invoiced_again_when_it_begins_again(scenario: Scenario) -> None:
    """February was invoiced at its start in UTC; moved to New York on the same day, the next fee is March's."""
    subscribe_in(scenario, "UTC", at="2026-02-01", pay_in_advance=True)
    scenario.move_to("2026-02-01T03:00")
    move_customer(scenario, "America/New_York")
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T04:00"))
    scenario.usage.send("acme-1", "calls", utc("2026-02-20"))
    scenario.move_to("2026-03-01T12:00")
    fees = [fee for invoice in scenario.invoices() for fee in invoice.fees]
    assert [fee.amount_cents for fee in fees if fee.fee_type == "subscription"] == [12_000, 12_000]
    assert sum(fee.amount_cents for fee in fees if fee.fee_type == "charge") == 20


def test_current_usage_shows_nothing_of_a_month_that_was_billed(scenario: Scenario) -> None:
    """It is January still in New York, but January's ten calls were invoiced at midnight of UTC."""
    subscribe_in(scenario, "UTC")
    scenario.usage.send("acme-1", "calls", utc("2026-01-10"), times=10)
    scenario.usage.send("acme-1", "calls", utc("2026-02-01T00:30"))
    scenario.move_to("2026-02-01T01:00")
    move_customer(scenario, "America/New_York")
    with transaction(scenario.context.sessions, reads_only=True) as session:
        subscription = session.get_one(Subscription, scenario.subscription().id)
        [facts] = load_facts(session, [subscription])
        account = load_account(session, subscription.customer_id)
        usage = read_current_usage(scenario.usage, account, facts, UsageSelection(), scenario.clock.now())
    assert usage.amount_cents == 10
