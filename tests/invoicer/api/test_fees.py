"""Fees through the API."""

from datetime import UTC, datetime

import httpx
import pytest
from lago_python_client.client import Client as LagoClient

from tests.invoicer.api.billing_story import get, make_calls_plan, move_clock, subscribe
from tests.invoicer.billing.recounted_usage import RecountedUsage


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


def billed(client: httpx.Client, usage: RecountedUsage) -> None:
    """One invoice of 1 April: the plan, three calls, and what lacks to a minimum of 10.00 for 17 of 31 days."""
    make_calls_plan(client, charge={"min_amount_cents": 1_000, "invoice_display_name": "Phone"})
    subscribe(client)
    usage.send("acme-1", "calls", datetime(2026, 3, 20, tzinfo=UTC), times=3)
    move_clock(client, "2026-04-01T00:00:00Z")


def test_fees_are_listed_with_what_they_are_for(client: httpx.Client, usage: RecountedUsage) -> None:
    """548 of the minimum for the days billed, less 30 used, is a true-up of 518 that names its parent."""
    billed(client, usage)
    plan, calls, true_up = get(client, "fees")["fees"]
    assert [fee["amount_cents"] for fee in (plan, calls, true_up)] == [6_581, 30, 518]
    assert (plan["item"]["type"], plan["item"]["code"], plan["item"]["item_type"]) == (
        "subscription",
        "team",
        "Subscription",
    )
    assert plan["amount_details"] == {"plan_amount_cents": 12_000}
    assert (calls["item"]["invoice_display_name"], calls["item"]["lago_item_id"]) == (
        "Phone",
        get(client, "billable_metrics/calls")["billable_metric"]["lago_id"],
    )
    assert calls["lago_true_up_fee_id"] == true_up["lago_id"]
    assert true_up["lago_true_up_parent_fee_id"] == calls["lago_id"]


def test_fees_are_narrowed_by_each_filter(client: httpx.Client, usage: RecountedUsage) -> None:
    """Type, metric, customer, subscription, currency, payment status and times."""
    billed(client, usage)

    def count(**query: str) -> int:
        return int(get(client, "fees", **query)["meta"]["total_count"])

    assert (count(fee_type="charge"), count(billable_metric_code="calls"), count(fee_type="credit")) == (2, 2, 0)
    assert (count(external_customer_id="acme"), count(external_customer_id="globex")) == (3, 0)
    assert (count(external_subscription_id="acme-1"), count(currency="EUR")) == (3, 0)
    assert (count(payment_status="pending"), count(event_transaction_id="t1")) == (3, 0)
    assert count(created_at_from="2026-04-01T00:00:00Z", created_at_to="2026-04-01T00:00:00Z") == 3
    assert (count(created_at_from="2026-04-01T00:00:01Z"), count(succeeded_at_from="2026-01-01")) == (0, 0)


def test_fee_on_an_invoice_cannot_be_changed(client: httpx.Client, usage: RecountedUsage) -> None:
    """405 invoiced_fee; an unknown one is not found."""
    billed(client, usage)
    fee = get(client, "fees")["fees"][0]
    path = f"/api/v1/fees/{fee['lago_id']}"
    assert get(client, f"fees/{fee['lago_id']}")["fee"] == fee
    for answer in (client.put(path, json={"fee": {"payment_status": "failed"}}), client.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (405, "invoiced_fee")
    assert client.get("/api/v1/fees/none").json()["code"] == "fee_not_found"


def test_official_client_reads_fees(client: httpx.Client, lago: LagoClient, usage: RecountedUsage) -> None:
    """The official Python client reads every answer."""
    billed(client, usage)
    fees = lago.fees.find_all()["fees"]
    assert [fee.amount_cents for fee in fees] == [6_581, 30, 518]
    assert lago.fees.find(fees[1].lago_id).units == "3.0"
