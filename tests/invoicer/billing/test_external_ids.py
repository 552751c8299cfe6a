"""An external id that is used again: events are known by it alone, and are billed once all the same."""

from tests.invoicer.billing.scenario import Scenario, utc


def test_backdated_subscription_of_another_customer_bills_nothing_that_was_billed(scenario: Scenario) -> None:
    """Acme ends acme-1 on 20 January; globex takes the id from the 5th on: its usage begins where acme's ended."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(amount_cents=0), catalog.metric("calls"))
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-01-10"), times=10)
    scenario.move_to("2026-01-20T12:00")
    scenario.terminate()
    scenario.move_to("2026-01-20T13:00")
    scenario.subscribe(external_customer_id="globex", subscription_at=utc("2026-01-05"))
    scenario.usage.send("acme-1", "calls", utc("2026-01-20T12:30"))
    scenario.move_to("2026-02-01T12:00")
    assert [fee.amount_cents for invoice in scenario.invoices() for fee in invoice.fees] == [0, 100, 0, 10]


def test_backdated_subscription_after_one_ended_without_invoice_bills_only_what_was_not_billed(
    scenario: Scenario,
) -> None:
    """January was invoiced; the month after was ended without an invoice, so a quarter may still bill it."""
    with scenario.catalog() as catalog:
        calls = catalog.metric("calls")
        catalog.charge(catalog.plan(amount_cents=0), calls)
        catalog.charge(catalog.plan("quarter", 0, interval="quarterly"), calls)
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-01-10"), times=10)
    scenario.move_to("2026-02-10T12:00")
    scenario.usage.send("acme-1", "calls", utc("2026-02-05"))
    scenario.terminate(invoice="skip")
    scenario.subscribe(plan_code="quarter", subscription_at=utc("2026-01-01"))
    scenario.move_to("2026-04-01T12:00")
    charged = [fee for invoice in scenario.invoices() for fee in invoice.fees if fee.fee_type == "charge"]
    assert [fee.amount_cents for fee in charged] == [100, 10]
