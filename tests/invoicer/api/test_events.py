"""Reading stored events through the API."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from lago_python_client.client import Client as LagoClient

from invoicer.db import Organization
from schemas.usage import EventFilter, StoredEvent
from tests.invoicer.api.billing_story import get, make_plan, subscribe
from tests.invoicer.fakes import FakeEvents

SENT = datetime(2026, 3, 16, 8, 30, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def stored_event(client: httpx.Client, organization: Organization, events: FakeEvents) -> StoredEvent:
    """An event of acme-1, with a quantity no float can hold."""
    make_plan(client)
    subscribe(client)
    event = StoredEvent(
        event_id="11111111-2222-3333-4444-555555555555",
        organization_id=str(organization.id),
        external_subscription_id="acme-1",
        transaction_id="order/7",
        code="calls",
        timestamp=SENT,
        properties={"value": Decimal("12345678901234567.890123456789"), "region": "eu"},
        precise_total_amount_cents=Decimal("12.50"),
        ingested_at=SENT,
    )
    events.stored.append(event)
    return event


def test_event_shows_its_subscription_and_exact_numbers(client: httpx.Client, stored_event: StoredEvent) -> None:
    """Numbers come back with every digit, the timestamp with its milliseconds."""
    answer = client.get("/api/v1/events/order/7")
    assert answer.status_code == 200
    assert '"value":12345678901234567.890123456789' in answer.text
    event = answer.json()["event"]
    subscription = get(client, "subscriptions/acme-1")["subscription"]
    assert (event["lago_subscription_id"], event["lago_customer_id"]) == (
        subscription["lago_id"],
        subscription["lago_customer_id"],
    )
    assert (event["timestamp"], event["created_at"]) == ("2026-03-16T08:30:00.123Z", "2026-03-16T08:30:00Z")
    assert event["precise_total_amount_cents"] == "12.5"


def test_event_before_its_subscription_began_belongs_to_none(
    client: httpx.Client, stored_event: StoredEvent, events: FakeEvents
) -> None:
    """The subscription started at noon of the 15th."""
    events.stored[:] = [replace(stored_event, timestamp=datetime(2026, 3, 15, 11, tzinfo=UTC))]
    assert get(client, "events/order/7")["event"]["lago_subscription_id"] is None


def test_event_unknown_is_not_found(client: httpx.Client) -> None:
    """404 event_not_found."""
    answer = client.get("/api/v1/events/none")
    assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")


def test_events_are_listed_as_the_filters_say(
    client: httpx.Client, stored_event: StoredEvent, events: FakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filters reach the store; `timestamp_from_started_at` becomes the subscription's start, ended or not."""
    wanted: list[EventFilter] = []
    original = events.list

    def recording(filters: EventFilter, *, limit: int, offset: int) -> object:
        wanted.append(filters)
        return original(filters, limit=limit, offset=offset)

    monkeypatch.setattr(events, "list", recording)
    body = get(client, "events", code="calls", timestamp_from="2026-03-01", timestamp_to="2026-03-31T12:00:00Z")
    assert ([each["transaction_id"] for each in body["events"]], body["meta"]["total_count"]) == (["order/7"], 1)
    get(client, "events", external_subscription_id="acme-1", timestamp_from_started_at="true")
    assert (wanted[0].code, wanted[0].timestamp_from) == ("calls", datetime(2026, 3, 1, tzinfo=UTC))
    client.delete("/api/v1/subscriptions/acme-1")
    get(client, "events", external_subscription_id="acme-1", timestamp_from_started_at="true")
    assert [each.timestamp_from for each in wanted[1:]] == [datetime(2026, 3, 15, 12, tzinfo=UTC)] * 2


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ({"timestamp_from": "yesterday"}, {"timestamp_from": ["invalid_date"]}),
        ({"timestamp_from_started_at": "true"}, {"external_subscription_id": ["value_is_mandatory"]}),
        (
            {
                "timestamp_from_started_at": "true",
                "timestamp_from": "2026-03-01",
                "external_subscription_id": "acme-1",
            },
            {"timestamp_from": ["value_must_be_blank"]},
        ),
    ],
)
def test_events_asked_for_wrongly_are_refused(
    client: httpx.Client, query: dict[str, str], details: dict[str, list[str]]
) -> None:
    """Each fault is named by its parameter."""
    answer = client.get("/api/v1/events", params=query)
    assert (answer.status_code, answer.json()["error_details"]) == (422, details)


def test_official_client_finds_an_event(client: httpx.Client, lago: LagoClient, stored_event: StoredEvent) -> None:
    """The official Python client reads it."""
    assert lago.events.find("order/7").code == "calls"
