"""One customer with everything an answer can show, billed once, for tests of what answers look like."""

from datetime import UTC, datetime
from typing import Any

import httpx

from tests.invoicer.api.billing_story import make_metric, make_plan, move_clock, post, subscribe
from tests.invoicer.billing.recounted_usage import RecountedUsage

MARCH = datetime(2026, 3, 20, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, 6, tzinfo=UTC)


def bill_once(client: httpx.Client, usage: RecountedUsage) -> None:
    """Acme on the plan team since 15 March, invoiced on 1 April: 12.5 % tax, calls by zone and team."""
    post(client, "taxes", "tax", name="Sales", code="sales", rate=12.5, applied_to_organization=True)
    post(
        client,
        "customers",
        "customer",
        external_id="acme",
        name="Acme",
        metadata=[{"key": "crm", "value": "7", "display_in_invoice": True}],
        tax_codes=["sales"],
    )
    metric = make_metric(client, filters=[{"key": "zone", "values": ["eu", "us"]}])
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "0.1", "pricing_group_keys": ["team"]},
        "filters": [{"values": {"zone": ["eu"]}, "properties": {"amount": "0.2"}}],
        "tax_codes": ["sales"],
        "min_amount_cents": 1_000,
    }
    make_plan(client, charges=[charge], tax_codes=["sales"])
    subscribe(client)
    for zone, team in (("eu", "red"), ("eu", "blue"), ("us", "red"), ("us", "")):
        usage.send("acme-1", "calls", MARCH, times=2, zone=zone, team=team)
        usage.send("acme-1", "calls", APRIL, zone=zone, team=team)
    move_clock(client, "2026-04-02T00:00:00Z")
    [invoice] = client.get("/api/v1/invoices").json()["invoices"]
    changes = {"invoice": {"metadata": [{"key": "batch", "value": "7"}]}}
    client.put(f"/api/v1/invoices/{invoice['lago_id']}", json=changes)


def the_invoice(client: httpx.Client) -> Any:
    """The only invoice, in full."""
    [listed] = client.get("/api/v1/invoices").json()["invoices"]
    return client.get(f"/api/v1/invoices/{listed['lago_id']}").json()["invoice"]


def give_back(client: httpx.Client) -> None:
    """A credit note of 1.00 over the plan's fee of the only invoice, and what its taxes are."""
    invoice = the_invoice(client)
    fee = next(fee for fee in invoice["fees"] if fee["item"]["type"] == "subscription")
    items = [{"fee_id": fee["lago_id"], "amount_cents": 100}]
    amount = 100 + round(fee["taxes_rate"])
    post(
        client,
        "credit_notes",
        "credit_note",
        invoice_id=invoice["lago_id"],
        items=items,
        credit_amount_cents=amount,
    )
