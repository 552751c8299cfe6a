"""What became of an event, through the API."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from invoicer.db import Organization
from schemas.events import Position
from schemas.metrics import UNEVALUATED
from schemas.usage import KeptDeadLetter, PlacedEvent, StoredEvent
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
from tests.invoicer.fakes import FakeEvents

MARCH = datetime(2026, 3, 20, 8, 30, tzinfo=UTC)
LATE = datetime(2026, 4, 2, tzinfo=UTC)
Send = Callable[..., None]


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


@pytest.fixture
def send(organization: Organization, events: FakeEvents, usage: RecountedUsage) -> Send:
    """Puts an event into both stores, not evaluated yet."""

    def put(
        transaction_id: str = "t1",
        *,
        subscription: str = "acme-1",
        code: str = "calls",
        at: datetime = MARCH,
        arrived_at: datetime | None = None,
        **properties: Any,
    ) -> None:
        arrived = arrived_at or at
        event = StoredEvent(
            event_id="11111111-2222-3333-4444-555555555555",
            organization_id=str(organization.id),
            external_subscription_id=subscription,
            transaction_id=transaction_id,
            code=code,
            timestamp=at,
            properties=properties,
            precise_total_amount_cents=None,
            ingested_at=arrived,
        )
        events.placed.append(PlacedEvent(event, Position(3, 1_000, 2), UNEVALUATED, arrived))
        usage.send(subscription, code, at, arrived_at=arrived, **properties)

    return put


def trace(client: httpx.Client, transaction_id: str = "t1") -> dict[str, Any]:
    """The only event of that id."""
    [event] = get(client, f"events/{transaction_id}/trace")["event_trace"]["events"]
    found: dict[str, Any] = event
    return found


def billing(client: httpx.Client, transaction_id: str = "t1") -> dict[str, Any]:
    """What became of the event under its only charge."""
    [charge] = [
        charge
        for subscription in trace(client, transaction_id)["subscriptions"]
        for charge in subscription["charges"]
    ]
    found: dict[str, Any] = charge["billing"]
    return found


def test_trace_tells_place_value_and_period(client: httpx.Client, send: Send) -> None:
    """Everything about one counted event of the period in progress."""
    make_calls_plan(client)
    subscription = subscribe(client)
    send(n=Decimal("12345678901234567.890123456789"))
    answer = client.get("/api/v1/events/t1/trace")
    assert '"n":12345678901234567.890123456789' in answer.text
    event = trace(client)
    assert (event["counts"], event["reason"]) == (True, None)
    assert event["acceptance"] == {
        "accepted_at": "2026-03-20T08:30:00.000Z",
        "stored_at": "2026-03-20T08:30:00.000Z",
        "partition": 3,
        "offset": 1_000,
        "line": 2,
    }
    assert (event["evaluation"]["value"], event["evaluation"]["aggregation_type"]) == ("1.0", "count_agg")
    [owner] = event["subscriptions"]
    assert (owner["lago_id"], owner["covers_event"], owner["plan_code"]) == (subscription["lago_id"], True, "team")
    [charge] = owner["charges"]
    assert (charge["from_datetime"], charge["to_datetime"]) == (
        "2026-03-15T12:00:00.000Z",
        "2026-03-31T23:59:59.000Z",
    )
    assert (charge["filter"], charge["grouped_by"]) == (None, {})
    assert charge["billing"] == {
        "state": "current_usage",
        "lago_invoice_id": None,
        "invoice_number": None,
        "invoice_status": None,
        "lago_fee_id": None,
        "late_event": None,
    }


def test_trace_names_invoice_and_fee_or_that_it_came_too_late(client: httpx.Client, send: Send) -> None:
    """One was there on 1 April, one arrived the day after."""
    make_calls_plan(client)
    subscribe(client)
    send()
    move_clock(client, "2026-04-02T00:00:00Z")
    send("t2", arrived_at=LATE)
    [invoice] = invoices(client)
    [fee] = get(client, "fees", fee_type="charge")["fees"]
    assert billing(client) == {
        "state": "billed",
        "lago_invoice_id": invoice["lago_id"],
        "invoice_number": invoice["number"],
        "invoice_status": "finalized",
        "lago_fee_id": fee["lago_id"],
        "late_event": None,
    }
    missed = billing(client, "t2")
    assert (missed["state"], missed["lago_invoice_id"], missed["lago_fee_id"]) == (
        "late",
        invoice["lago_id"],
        None,
    )


def test_trace_of_a_draft_takes_late_events_until_it_is_final(client: httpx.Client, send: Send) -> None:
    """Three days of grace: what arrives on the second is billed on the third."""
    make_calls_plan(client)
    customer = {"external_id": "acme", "billing_configuration": {"invoice_grace_period": 3}}
    post(client, "customers", "customer", **customer)
    subscribe(client)
    send()
    move_clock(client, "2026-04-02T00:00:00Z")
    send("t2", arrived_at=LATE)
    assert [billing(client, each)["state"] for each in ("t1", "t2")] == ["on_draft", "on_draft"]
    move_clock(client, "2026-04-05T00:00:00Z")
    assert [billing(client, each)["state"] for each in ("t1", "t2")] == ["billed", "billed"]


def test_trace_finds_filter_and_group(client: httpx.Client, send: Send) -> None:
    """The filter takes the event; its group is by team."""
    metric = make_metric(client, filters=[{"key": "region", "values": ["eu", "us"]}])
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "1", "pricing_group_keys": ["team"]},
        "filters": [{"values": {"region": ["eu"]}, "properties": {"amount": "2"}}],
    }
    make_plan(client, charges=[charge])
    subscribe(client)
    send(region="eu", team="red")
    [place] = trace(client)["subscriptions"][0]["charges"]
    assert (place["filter"]["values"], place["grouped_by"]) == ({"region": ["eu"]}, {"team": "red"})
    move_clock(client, "2026-04-02T00:00:00Z")
    [fee] = get(client, "fees", fee_type="charge")["fees"]
    assert billing(client)["lago_fee_id"] == fee["lago_id"]


def test_trace_still_finds_the_fee_when_filter_and_groups_have_changed(client: httpx.Client, send: Send) -> None:
    """The invoice was priced by what the charge said then."""
    metric = make_metric(client, filters=[{"key": "region", "values": ["eu", "us"]}])
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "1", "pricing_group_keys": ["team"]},
        "filters": [{"values": {"region": ["eu"]}, "properties": {"amount": "2"}}],
    }
    plan = make_plan(client, charges=[charge])
    subscribe(client)
    send(region="eu", team="red")
    move_clock(client, "2026-04-02T00:00:00Z")
    [fee] = get(client, "fees", fee_type="charge")["fees"]
    changes = {"charge": {"properties": {"amount": "1"}, "filters": []}}
    answer = client.put(f"/api/v1/plans/team/charges/{plan['charges'][0]['code']}", json=changes)
    assert answer.status_code == 200, answer.text
    assert billing(client)["lago_fee_id"] == fee["lago_id"]
    [place] = trace(client)["subscriptions"][0]["charges"]
    assert (place["filter"]["values"], place["grouped_by"]) == ({"region": ["eu"]}, {"team": "red"})
    assert get(client, f"fees/{fee['lago_id']}/events")["recount"]["matches_fee"] is True


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"code": "nobody-knows"}, "no_metric"),
        ({"code": "unsold"}, "no_charge"),
        ({"at": datetime(2026, 3, 15, 11, tzinfo=UTC)}, "outside_subscription"),
        ({"subscription": "nobody"}, "subscription_not_found"),
        ({"code": "sums"}, "property_missing"),
        ({"code": "sums", "n": "many"}, "property_not_numeric"),
    ],
)
def test_trace_of_what_counts_in_nothing_names_the_reason(
    client: httpx.Client, send: Send, sent: dict[str, Any], reason: str
) -> None:
    """Each is stored, and none is billed."""
    make_metric(client, "unsold")
    sums = make_metric(client, "sums", aggregation_type="sum_agg", field_name="n")
    price = {"billable_metric_id": sums["lago_id"], "charge_model": "standard", "properties": {"amount": "1"}}
    make_calls_plan(client)
    answer = client.post("/api/v1/plans/team/charges", json={"charge": price})
    assert answer.status_code == 200, answer.text
    subscribe(client)
    send(**sent)
    event = trace(client)
    assert (event["counts"], event["reason"]) == (False, reason)


def test_trace_before_a_subscription_was_entered_is_never_invoiced(client: httpx.Client, send: Send) -> None:
    """A subscription of 15 March that begins in January: January is not billed in retrospect."""
    make_calls_plan(client)
    subscribe(client, subscription_at="2026-01-10T00:00:00Z")
    send(at=datetime(2026, 1, 20, tzinfo=UTC))
    assert billing(client)["state"] == "never_invoiced"


def test_trace_lists_every_subscription_that_shares_the_id_unless_one_is_named(
    client: httpx.Client, send: Send
) -> None:
    """The id is only unique within an external subscription id."""
    make_calls_plan(client)
    subscribe(client)
    send()
    send(subscription="other")
    found = get(client, "events/t1/trace")["event_trace"]["events"]
    assert [event["external_subscription_id"] for event in found] == ["acme-1", "other"]
    [named] = get(client, "events/t1/trace", external_subscription_id="other")["event_trace"]["events"]
    assert named["reason"] == "subscription_not_found"
    assert client.get("/api/v1/events/t1/trace", params={"external_subscription_id": "x"}).status_code == 404


def test_trace_of_a_dead_letter_tells_why_it_is_not_counted(client: httpx.Client, events: FakeEvents) -> None:
    """It was accepted, and is in no list of events."""
    letter = KeptDeadLetter("acme-1", Position(0, 4, 1), "value_out_of_range", "too many digits", MARCH)
    events.dead.append(("t1", letter))
    found = get(client, "events/t1/trace")["event_trace"]
    assert found["events"] == []
    assert found["dead_letters"] == [
        {
            "external_subscription_id": "acme-1",
            "code": "value_out_of_range",
            "reason": "too many digits",
            "stored_at": "2026-03-20T08:30:00.000Z",
            "partition": 0,
            "offset": 4,
            "line": 1,
        }
    ]


def test_trace_of_an_unknown_id_is_not_found(client: httpx.Client) -> None:
    """404 event_not_found."""
    answer = client.get("/api/v1/events/none/trace")
    assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")


def test_event_whose_id_ends_in_trace_is_told_by_its_encoded_slash(
    client: httpx.Client, send: Send, events: FakeEvents
) -> None:
    """`a%2Ftrace` is an event, `a/trace` the trace of another, and both can be traced."""
    send("a/trace")
    send("a")
    events.stored.extend(placed.event for placed in events.placed)
    assert get(client, "events/a%2Ftrace")["event"]["transaction_id"] == "a/trace"
    assert get(client, "events/a/trace")["event_trace"]["transaction_id"] == "a"
    assert get(client, "events/a%2Ftrace/trace")["event_trace"]["transaction_id"] == "a/trace"
