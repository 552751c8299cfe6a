"""Subscriptions through the API: what they answer, and what they refuse."""

from datetime import UTC, datetime

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.models import Subscription as LagoSubscription

from invoicer.context import Context
from invoicer.jobs.due_jobs import run_due
from tests.invoicer.api.billing_story import (
    get,
    invoices,
    make_calls_plan,
    make_plan,
    move_clock,
    subscribe,
)
from tests.invoicer.billing.recounted_usage import RecountedUsage
from tests.invoicer.fakes import FakeGate


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


def test_subscription_created_makes_its_customer_and_shows_its_plan(client: httpx.Client) -> None:
    """An unknown customer is created with the external id alone; its currency is the plan's."""
    plan = make_plan(client)
    created = subscribe(client, name="Acme team", billing_time="anniversary")
    assert created["plan"]["lago_id"] == plan["lago_id"]
    assert (created["status"], created["billing_time"]) == ("active", "anniversary")
    assert created["started_at"] == "2026-03-15T12:00:00.000Z"
    assert created["subscription_at"] == "2026-03-15T12:00:00Z"
    assert created["current_billing_period_started_at"] == "2026-03-15T12:00:00Z"
    assert created["current_billing_period_ending_at"] == "2026-04-14T23:59:59Z"
    customer = get(client, "customers/acme")["customer"]
    assert (customer["lago_id"], customer["currency"]) == (created["lago_customer_id"], "USD")


def test_subscription_in_advance_is_invoiced_in_the_same_request(client: httpx.Client) -> None:
    """15 March to the end of March on a calendar plan: 17 of 31 days of 120.00, 65.81."""
    make_plan(client, pay_in_advance=True)
    subscribe(client)
    [invoice] = invoices(client)
    assert (invoice["fees_amount_cents"], invoice["status"]) == (6581, "finalized")


def test_subscription_sent_again_is_the_same_and_bills_nothing_more(client: httpx.Client) -> None:
    """The same external id on the same plan answers the one that exists."""
    make_plan(client, pay_in_advance=True)
    first = subscribe(client, name="First")
    again = subscribe(client, name="Second")
    assert (again["lago_id"], again["name"]) == (first["lago_id"], "First")
    assert len(invoices(client)) == 1


@pytest.mark.parametrize(
    ("changes", "details"),
    [
        ({"plan_code": "other"}, {"plan_code": ["not_supported"]}),
        ({"external_customer_id": "globex"}, {"external_id": ["value_already_exist"]}),
        ({"external_id": "new", "ending_at": "2026-03-15T23:00:00Z"}, {"ending_at": ["invalid_date"]}),
        ({"external_id": "new", "subscription_at": "soon"}, {"subscription_at": ["invalid_date"]}),
        ({"external_id": "new", "billing_time": "lunar"}, {"billing_time": ["value_is_invalid"]}),
        ({"external_id": "  "}, {"external_id": ["value_is_mandatory"]}),
        ({"external_id": "new", "plan_overrides": {"amount_cents": 1}}, {"plan_overrides": ["not_supported"]}),
        (
            {"external_id": "new", "activation_rules": [{"type": "payment"}]},
            {"activation_rules": ["not_supported"]},
        ),
    ],
)
def test_subscription_that_cannot_be_made_is_refused(
    client: httpx.Client, changes: dict[str, object], details: dict[str, list[str]]
) -> None:
    """Each fault is named by its field."""
    make_plan(client)
    make_plan(client, "other")
    subscribe(client)
    wanted = {"external_customer_id": "acme", "external_id": "acme-1", "plan_code": "team"} | changes
    answer = client.post("/api/v1/subscriptions", json={"subscription": wanted})
    assert (answer.status_code, answer.json()["error_details"]) == (422, details)


def test_subscription_to_an_unknown_plan_is_not_found(client: httpx.Client) -> None:
    """404 plan_not_found."""
    wanted = {"external_customer_id": "acme", "external_id": "acme-1", "plan_code": "none"}
    answer = client.post("/api/v1/subscriptions", json={"subscription": wanted})
    assert (answer.status_code, answer.json()["code"]) == (404, "plan_not_found")


def test_subscription_ended_is_invoiced_for_what_it_used(client: httpx.Client, usage: RecountedUsage) -> None:
    """Ended on 20 March: 6 of 31 days are 23.23, and 3 calls 0.30; events of the same instant are not in it."""
    make_calls_plan(client)
    subscribe(client)
    usage.send("acme-1", "calls", datetime(2026, 3, 16, tzinfo=UTC), times=3)
    usage.send("acme-1", "calls", datetime(2026, 3, 20, 8, tzinfo=UTC), times=40)
    move_clock(client, "2026-03-20T08:00:00Z")
    ended = client.delete("/api/v1/subscriptions/acme-1").json()["subscription"]
    assert (ended["status"], ended["terminated_at"]) == ("terminated", "2026-03-20T08:00:00Z")
    [listed] = invoices(client)
    invoice = get(client, f"invoices/{listed['lago_id']}")["invoice"]
    assert [(fee["item"]["type"], fee["amount_cents"]) for fee in invoice["fees"]] == [
        ("subscription", 2323),
        ("charge", 30),
    ]
    [period] = invoice["billing_periods"]
    assert period["invoicing_reason"] == "subscription_terminating"
    assert period["charges_from_datetime"] == "2026-03-15T12:00:00Z"
    assert period["charges_to_datetime"] == "2026-03-20T08:00:00Z"


def test_subscription_in_advance_ended_is_credited_and_not_refunded(client: httpx.Client) -> None:
    """17 of 31 days of 120.00 were paid, the 15th is used: 61.94 are credited; `refund` is refused."""
    make_plan(client, pay_in_advance=True)
    subscribe(client)
    refused = client.delete("/api/v1/subscriptions/acme-1", params={"on_termination_credit_note": "refund"})
    assert refused.json()["error_details"] == {"on_termination_credit_note": ["not_supported"]}
    ended = client.delete("/api/v1/subscriptions/acme-1").json()["subscription"]
    assert ended["on_termination_credit_note"] == "credit"
    [note] = client.get("/api/v1/credit_notes").json()["credit_notes"]
    assert (note["reason"], note["credit_amount_cents"], note["credit_status"]) == (
        "order_cancellation",
        6_194,
        "available",
    )


def test_subscription_whose_id_holds_a_slash_is_shown_changed_and_ended(client: httpx.Client) -> None:
    """It would be billed for ever if it could not be named."""
    make_plan(client)
    subscribe(client, external_id="acme/1")
    path = "/api/v1/subscriptions/acme%2F1"
    assert client.get(path).json()["subscription"]["external_id"] == "acme/1"
    assert client.put(path, json={"subscription": {"name": "One"}}).json()["subscription"]["name"] == "One"
    assert client.delete(path).json()["subscription"]["status"] == "terminated"


def test_pending_subscription_is_canceled_and_never_starts(client: httpx.Client) -> None:
    """`status=pending` cancels it; its day then passes without an invoice."""
    make_plan(client, pay_in_advance=True)
    subscribe(client, subscription_at="2026-04-01T00:00:00Z")
    canceled = client.delete("/api/v1/subscriptions/acme-1", params={"status": "pending"}).json()["subscription"]
    move_clock(client, "2026-05-01T00:00:00Z")
    assert (canceled["status"], invoices(client)) == ("canceled", [])


def test_pending_subscription_moved_into_the_past_starts_at_once(client: httpx.Client) -> None:
    """It starts as of the new day, and being backdated is not invoiced for the time gone by."""
    make_plan(client, pay_in_advance=True)
    subscribe(client, subscription_at="2026-04-01T00:00:00Z")
    changes = {"subscription": {"subscription_at": "2026-03-01T00:00:00Z", "name": "Moved"}}
    moved = client.put("/api/v1/subscriptions/acme-1", json=changes).json()["subscription"]
    assert (moved["status"], moved["started_at"], moved["name"]) == ("active", "2026-03-01T00:00:00.000Z", "Moved")
    assert invoices(client) == []


def test_subscription_given_an_end_ends_then(client: httpx.Client) -> None:
    """`ending_at` set later is carried out when its instant comes."""
    make_plan(client)
    subscribe(client)
    client.put("/api/v1/subscriptions/acme-1", json={"subscription": {"ending_at": "2026-03-25T10:00:00Z"}})
    move_clock(client, "2026-03-25T10:00:00Z")
    ended = get(client, "subscriptions/acme-1", status="terminated")["subscription"]
    assert ended["terminated_at"] == "2026-03-25T10:00:00Z"


def test_subscription_change_may_name_the_plan_it_has_and_no_other(client: httpx.Client) -> None:
    """A client that sends back what it read changes nothing; another plan is refused, not ignored."""
    make_plan(client)
    created = subscribe(client)
    path = f"/api/v1/subscriptions/{created['external_id']}"
    same = client.put(path, json={"subscription": {"name": "Renamed", "plan_code": created["plan_code"]}})
    assert (same.status_code, same.json()["subscription"]["name"]) == (200, "Renamed")
    other = client.put(path, json={"subscription": {"plan_code": "another"}})
    assert (other.status_code, other.json()["error_details"]) == (422, {"plan_code": ["not_supported"]})


def test_subscription_under_another_billing_entity_is_refused(client: httpx.Client) -> None:
    """An organization is its only billing entity; naming another one is not ignored."""
    plan = make_plan(client)
    body = {"external_customer_id": "c", "external_id": "s", "plan_code": plan["code"], "billing_entity_code": "x"}
    answer = client.post("/api/v1/subscriptions", json={"subscription": body})
    assert (answer.status_code, answer.json()["code"]) == (404, "billing_entity_not_found")


def test_subscription_unknown_is_not_found(client: httpx.Client) -> None:
    """404 subscription_not_found, for each method."""
    for answer in (
        client.get("/api/v1/subscriptions/none"),
        client.put("/api/v1/subscriptions/none", json={"subscription": {"name": "x"}}),
        client.delete("/api/v1/subscriptions/none"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "subscription_not_found")


def test_subscriptions_are_listed_by_what_they_have_in_common(client: httpx.Client) -> None:
    """Active ones by default; filters narrow by customer, plan, status and external id."""
    make_plan(client)
    make_plan(client, "other", amount_currency="EUR")
    subscribe(client)
    subscribe(client, external_id="acme-2", plan_code="other")
    subscribe(client, external_id="globex-1", external_customer_id="globex")
    client.delete("/api/v1/subscriptions/globex-1")

    def listed(path: str = "subscriptions", **query: str) -> list[str]:
        return sorted(each["external_id"] for each in get(client, path, **query)["subscriptions"])

    assert listed() == ["acme-1", "acme-2"]
    assert listed(**{"status[]": "terminated"}) == ["globex-1"]
    assert listed(plan_code="other") == listed(currency="EUR") == listed(external_id="acme-2") == ["acme-2"]
    assert listed(external_customer_id="globex") == []
    assert listed("customers/acme/subscriptions") == ["acme-1", "acme-2"]


def test_official_client_creates_reads_changes_and_ends_a_subscription(
    client: httpx.Client, lago: LagoClient
) -> None:
    """The official Python client reads every answer."""
    make_calls_plan(client)
    wanted = LagoSubscription(external_customer_id="acme", external_id="acme-1", plan_code="team")
    created = lago.subscriptions.create(wanted)
    assert created.status == "active"
    assert lago.subscriptions.find("acme-1").lago_id == created.lago_id
    assert lago.subscriptions.update(LagoSubscription(name="Renamed"), "acme-1").name == "Renamed"
    assert [each.external_id for each in lago.subscriptions.find_all()["subscriptions"]] == ["acme-1"]
    assert lago.subscriptions.destroy("acme-1").status == "terminated"


def test_subscription_ended_while_events_are_counted_is_invoiced_later(
    client: httpx.Client, context: Context, usage: RecountedUsage, gate: FakeGate
) -> None:
    """The request ends it at once; the invoice waits for the stream and then says the same."""
    make_calls_plan(client)
    subscribe(client)
    move_clock(client, "2026-03-20T08:00:00Z")
    gate.is_open = False
    assert client.delete("/api/v1/subscriptions/acme-1").json()["subscription"]["status"] == "terminated"
    assert invoices(client) == []
    usage.send("acme-1", "calls", datetime(2026, 3, 19, tzinfo=UTC), times=3)
    gate.is_open = True
    run_due(context, context.clock.now())
    [invoice] = invoices(client)
    assert (invoice["fees_amount_cents"], invoice["issuing_date"]) == (2323 + 30, "2026-03-20")


@pytest.mark.parametrize("path", ["customers/acme", "plans/team"])
def test_deleting_a_customer_or_a_plan_bills_what_was_used(
    client: httpx.Client, usage: RecountedUsage, path: str
) -> None:
    """Their subscriptions end then: 6 of 31 days of 120.00 and 3 calls."""
    make_calls_plan(client)
    subscribe(client)
    usage.send("acme-1", "calls", datetime(2026, 3, 19, tzinfo=UTC), times=3)
    move_clock(client, "2026-03-20T08:00:00Z")
    assert client.delete(f"/api/v1/{path}").status_code == 200
    move_clock(client, "2026-06-01T00:00:00Z")
    [invoice] = invoices(client)
    assert (invoice["fees_amount_cents"], invoice["customer"]["external_id"]) == (2353, "acme")
