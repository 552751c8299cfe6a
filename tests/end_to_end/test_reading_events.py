"""The list of stored events, narrowed by each of its parameters, on the real store of each mode."""

from typing import Any

import httpx
import pytest

from tests.end_to_end.story import event, plan, send, standard_charge, subscribe, sum_metric, wait_for
from tests.services.millrace import Instance

START = 1_700_092_800
"""2023-11-16T00:00:00Z, when the subscriptions start."""
PAGE_OF_NONE = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}


def listed(instance: Instance, **query: str) -> list[str]:
    """The transaction ids a list shows, in its order."""
    response = instance.api.get("events", params=query)
    assert response.status_code == httpx.codes.OK, response.text
    return [each["transaction_id"] for each in response.json()["events"]]


@pytest.fixture(scope="module")
def stored(instance: Instance) -> Instance:
    """Four events of reader-1, the first from before its start, and one of reader-2."""
    metric = sum_metric(instance, "pages", "count")
    plan(instance, "reading", [standard_charge(metric, "0.01")])
    for number in (1, 2):
        subscribe(instance, f"reader{number}", "reading", f"reader-{number}")
    of_first: tuple[tuple[str, str, object], ...] = (
        ("early", "pages", START - 60),
        ("first", "pages", START),
        ("exact", "pages", f"{START + 60}.125"),
        ("other", "visits", START + 120),
    )
    events = [event("reader-1", code, name, {"count": 1}, timestamp=at) for name, code, at in of_first]
    events.append(event("reader-2", "pages", "second", {"count": 1}, timestamp=START + 180))
    send(instance, events)
    wait_for(lambda: len(listed(instance)) == len(events), "five stored events")
    return instance


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["second", "other", "exact", "first", "early"]),
        ({"code": "pages"}, ["second", "exact", "first", "early"]),
        ({"code": "unheard-of"}, []),
        ({"external_subscription_id": "reader-2"}, ["second"]),
        ({"external_subscription_id": "reader-1", "code": "visits"}, ["other"]),
        ({"timestamp_from": "2023-11-16T00:01:00.125Z"}, ["second", "other", "exact"]),
        ({"timestamp_from": "2023-11-16T00:01:00.126Z"}, ["second", "other"]),
        ({"timestamp_to": "2023-11-16T00:00:00Z"}, ["first", "early"]),
        ({"timestamp_from": "2023-11-16", "timestamp_to": "2023-11-16T01:01:00+01:00"}, ["first"]),
        (
            {"external_subscription_id": "reader-1", "timestamp_from_started_at": "true"},
            ["other", "exact", "first"],
        ),
        ({"per_page": "2", "page": "2"}, ["exact", "first"]),
    ],
)
def test_events_are_narrowed_by_each_parameter(
    stored: Instance, query: dict[str, str], expected: list[str]
) -> None:
    """Newest first; both bounds of time are inclusive; the start of a subscription may be the lower one."""
    assert listed(stored, **query) == expected


def test_events_that_nothing_matches_are_an_empty_page(stored: Instance) -> None:
    """Page 0 of 0."""
    answer: Any = stored.api.get("events", params={"code": "unheard-of"}).json()

    assert answer == {"events": [], "meta": PAGE_OF_NONE}


def test_stored_event_shows_what_the_acceptance_showed(stored: Instance) -> None:
    """The same object, with the subscription and customer it now belongs to."""
    sent = event("reader-1", "pages", "shown", {"count": "1.50", "deep": {"a": [1, None]}}, timestamp=START + 240)
    [accepted] = send(stored, [sent])
    wait_for(lambda: "shown" in listed(stored), "the event is stored")

    shown = stored.api.get("events/shown").json()["event"]

    subscription = stored.api.get("subscriptions/reader-1").json()["subscription"]
    owner = {
        "lago_subscription_id": subscription["lago_id"],
        "lago_customer_id": subscription["lago_customer_id"],
    }
    outcome = {"duplicate", "conflict"}
    assert shown == {key: value for key, value in accepted.items() if key not in outcome} | owner
