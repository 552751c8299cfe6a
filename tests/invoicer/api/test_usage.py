"""Current and past usage through the API: what the next invoice will say, and what the last ones said."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from lago_python_client.client import Client as LagoClient

from tests.invoicer.api.billing_story import (
    get,
    invoices,
    make_calls_plan,
    make_metric,
    make_plan,
    move_clock,
    post,
    subscribe,
)
from tests.invoicer.billing.recounted_usage import RecountedUsage


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


def current(client: httpx.Client, **query: str) -> Any:
    """The current usage of acme-1."""
    return get(client, "customers/acme/current_usage", external_subscription_id="acme-1", **query)[
        "customer_usage"
    ]


def regional_calls(client: httpx.Client, usage: RecountedUsage) -> None:
    """Calls at 0.10, in the EU at 0.20, grouped by team; 20 % tax; EU red 2, EU blue 1, elsewhere red 4."""
    post(client, "taxes", "tax", name="VAT", code="vat", rate=20, applied_to_organization=True)
    metric = make_metric(client, filters=[{"key": "zone", "values": ["eu", "us"]}])
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "0.1", "pricing_group_keys": ["team"]},
        "filters": [
            {"values": {"zone": ["eu"]}, "properties": {"amount": "0.2"}, "invoice_display_name": "Europe"}
        ],
    }
    make_plan(client, charges=[charge])
    subscribe(client)
    at = datetime(2026, 3, 15, 13, tzinfo=UTC)
    usage.send("acme-1", "calls", at, times=2, zone="eu", team="red")
    usage.send("acme-1", "calls", at, times=1, zone="eu", team="blue")
    usage.send("acme-1", "calls", at, times=4, team="red")


def test_current_usage_sums_lines_by_filter_and_group(client: httpx.Client, usage: RecountedUsage) -> None:
    """EU 0.60 and elsewhere 0.40 are 1.00, with 20 % tax 1.20; period and issuing date are those in progress."""
    regional_calls(client, usage)
    shown = current(client)
    assert (shown["amount_cents"], shown["taxes_amount_cents"], shown["total_amount_cents"]) == (100, 20, 120)
    assert (shown["from_datetime"], shown["to_datetime"]) == ("2026-03-15T12:00:00Z", "2026-03-31T23:59:59Z")
    assert (shown["issuing_date"], shown["lago_invoice_id"]) == ("2026-03-31", None)
    [calls] = shown["charges_usage"]
    assert (calls["units"], calls["events_count"], calls["amount_currency"]) == ("7.0", 7, "USD")
    assert [(each["values"], each["units"], each["amount_cents"]) for each in calls["filters"]] == [
        ({"zone": ["eu"]}, "3.0", 60),
        (None, "4.0", 40),
    ]
    groups = {each["grouped_by"]["team"]: (each["units"], each["amount_cents"]) for each in calls["grouped_usage"]}
    assert groups == {"red": ("6.0", 80), "blue": ("1.0", 20)}


def test_current_usage_is_narrowed_by_its_filters(client: httpx.Client, usage: RecountedUsage) -> None:
    """Taxes off, one group, no groups, one charge, another metric."""
    regional_calls(client, usage)
    charge = current(client)["charges_usage"][0]["charge"]
    assert current(client, apply_taxes="false")["total_amount_cents"] == 100
    assert current(client, **{"group[team]": "red"})["amount_cents"] == 80
    assert current(client, filter_by_group='{"team": "blue"}')["amount_cents"] == 20
    ungrouped = current(client, skip_grouping="true")["charges_usage"][0]
    assert (ungrouped["grouped_usage"], ungrouped["amount_cents"]) == ([], 100)
    assert current(client, charge_id=charge["lago_id"])["amount_cents"] == 100
    assert current(client, charge_code=charge["code"])["amount_cents"] == 100
    assert current(client, billable_metric_code="other")["charges_usage"] == []


def test_current_usage_without_events_shows_each_charge_at_zero(client: httpx.Client) -> None:
    """A charge is there before its first event."""
    make_calls_plan(client)
    subscribe(client)
    [calls] = current(client)["charges_usage"]
    assert (calls["units"], calls["amount_cents"], calls["filters"], calls["grouped_usage"]) == ("0.0", 0, [], [])


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("none/current_usage", {"external_subscription_id": "acme-1"}, 404, "customer_not_found"),
        ("acme/current_usage", {"external_subscription_id": "none"}, 405, "no_active_subscription"),
        ("acme/current_usage", {}, 405, "no_active_subscription"),
        (
            "acme/current_usage",
            {"external_subscription_id": "acme-1", "full_usage": "true"},
            422,
            "validation_errors",
        ),
        ("acme/past_usage", {}, 422, "validation_errors"),
        ("acme/past_usage", {"external_subscription_id": "none"}, 404, "subscription_not_found"),
        (
            "acme/past_usage",
            {"external_subscription_id": "acme-1", "billable_metric_code": "none"},
            404,
            "billable_metric_not_found",
        ),
    ],
)
def test_usage_that_cannot_be_shown_is_refused(
    client: httpx.Client, path: str, query: dict[str, str], status: int, code: str
) -> None:
    """Each with its code."""
    make_calls_plan(client)
    subscribe(client)
    answer = client.get(f"/api/v1/customers/{path}", params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_current_usage_just_before_the_end_is_what_is_then_invoiced(
    client: httpx.Client, usage: RecountedUsage
) -> None:
    """One second before April the usage, its taxes and its period are those of the invoice of 1 April."""
    regional_calls(client, usage)
    move_clock(client, "2026-03-31T23:59:59Z")
    before = current(client)
    move_clock(client, "2026-04-01T00:00:00Z")
    [listed] = invoices(client)
    fees = get(client, f"invoices/{listed['lago_id']}")["invoice"]["fees"]
    charges = [fee for fee in fees if fee["item"]["type"] == "charge"]
    assert sum(fee["amount_cents"] for fee in charges) == before["amount_cents"]
    assert {(fee["from_date"], fee["to_date"]) for fee in charges} == {
        (before["from_datetime"], before["to_datetime"])
    }
    assert current(client)["amount_cents"] == 0


def test_past_usage_shows_invoiced_periods_newest_first(client: httpx.Client, usage: RecountedUsage) -> None:
    """March with 7 calls and April with none; the amount is that of the whole invoice."""
    regional_calls(client, usage)
    move_clock(client, "2026-05-01T00:00:00Z")
    body = get(client, "customers/acme/past_usage", external_subscription_id="acme-1")
    april, march = body["usage_periods"]
    assert (april["from_datetime"], april["amount_cents"], april["charges_usage"]) == (
        "2026-04-01T00:00:00Z",
        12_000,
        [],
    )
    assert (march["to_datetime"], march["amount_cents"]) == ("2026-03-31T23:59:59Z", 6_681)
    assert [each["units"] for each in march["charges_usage"]] == ["7.0"]
    assert march["lago_invoice_id"] in {invoice["lago_id"] for invoice in invoices(client)}
    newest = get(client, "customers/acme/past_usage", external_subscription_id="acme-1", periods_count="1")
    assert (newest["usage_periods"], newest["meta"]["total_count"]) == ([april], 1)


def test_official_client_reads_usage(client: httpx.Client, lago: LagoClient, usage: RecountedUsage) -> None:
    """The official Python client reads current and past usage."""
    regional_calls(client, usage)
    assert lago.customers.current_usage("acme", "acme-1").amount_cents == 100
    move_clock(client, "2026-04-01T00:00:00Z")
    [march] = lago.customers.past_usage("acme", "acme-1")["usage_periods"]
    assert march.amount_cents == 6_681


def test_usage_with_the_store_away_is_answered_for_a_later_try(
    client: httpx.Client, usage: RecountedUsage
) -> None:
    """503 with the time to try again."""
    make_calls_plan(client)
    subscribe(client)
    usage.is_away = True
    answer = client.get("/api/v1/customers/acme/current_usage", params={"external_subscription_id": "acme-1"})
    assert (answer.status_code, answer.json()["code"]) == (503, "clickhouse_unavailable")
    assert "retry-after" in answer.headers
