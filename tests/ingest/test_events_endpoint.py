"""The two event routes, as a caller sees them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ingest.endpoint import is_events_route
from schemas.events import Outcome
from tests.ingest.builders import (
    API_KEY,
    NOW_SECONDS,
    CatalogRow,
    Ingest,
    RecordingPublisher,
    make_ingest,
    metric,
    sent_event,
    single,
    snapshot,
)

pytestmark = pytest.mark.anyio
BATCH = "/api/v1/events/batch"
UNAUTHORIZED = {"status": 401, "error": "Unauthorized"}


async def test_single_event_is_answered_with_its_fields(ingest: Ingest) -> None:
    """Every field of the answer, for a whole event."""
    response = await ingest.post(single(timestamp="1787306399.1239", precise_total_amount_cents=12))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "event": {
            "lago_id": str(ingest.publisher.calls[0][0].uuid),
            "transaction_id": "tx-1",
            "lago_customer_id": None,
            "code": "tokens",
            "timestamp": "2026-08-21T09:59:59.123Z",
            "precise_total_amount_cents": "12.0",
            "properties": {"value": 12},
            "lago_subscription_id": None,
            "external_subscription_id": "sub-1",
            "created_at": "2026-08-21T10:00:00Z",
            "duplicate": False,
            "conflict": False,
        }
    }


async def test_event_with_nulls_is_answered_with_nulls(ingest: Ingest) -> None:
    """What was not given is null, the timestamp the reception time."""
    response = await ingest.post(
        single(external_subscription_id=None, timestamp=None, properties=None, precise_total_amount_cents=None)
    )
    event = response.json()["event"]
    assert (event["external_subscription_id"], event["precise_total_amount_cents"]) == (None, None)
    assert (event["timestamp"], event["properties"]) == ("2026-08-21T10:00:00.000Z", {})


async def test_published_event_carries_exact_numbers(ingest: Ingest) -> None:
    """A JSON number arrives digit by digit, and never through a binary float."""
    body = b'{"event":{"transaction_id":"t","code":"tokens","properties":{"value":0.100000000000000001}}}'
    assert (await ingest.post(body)).status_code == 200
    assert ingest.publisher.calls[0][0].properties_json == b'{"value":0.100000000000000001}'


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/events/"])
async def test_trailing_slash_makes_no_difference(ingest: Ingest, path: str) -> None:
    """Both spellings of the path are answered."""
    assert (await ingest.post(single(), path)).status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", API_KEY, "Bearer \u00e9".encode()])
async def test_missing_or_unknown_key_is_unauthorized(ingest: Ingest, authorization: str | bytes | None) -> None:
    """Without a key of an organization nothing is read or stored."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with ingest.client(api_key=None) as client:
        response = await client.post("/api/v1/events", json=single(), headers=headers)  # type: ignore[arg-type]
    assert (response.status_code, response.json()) == (401, UNAUTHORIZED)
    assert ingest.publisher.calls == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
async def test_scheme_of_the_header_is_not_checked(ingest: Ingest, scheme: str) -> None:
    """Only the second word matters."""
    async with ingest.client(api_key=None) as client:
        response = await client.post(
            "/api/v1/events", json=single(), headers={"Authorization": f"{scheme} {API_KEY}"}
        )
    assert response.status_code == 200


async def test_key_made_after_the_last_refresh_works_at_once(ingest: Ingest) -> None:
    """A miss looks at the catalog again before it refuses."""
    assert (await ingest.post(single(), api_key="new-key")).status_code == 401
    ingest.row.snapshot = snapshot(version=2, api_key="new-key")
    assert (await ingest.post(single(), api_key="new-key")).status_code == 200


async def test_unknown_key_without_a_catalog_is_told_to_come_back() -> None:
    """Whether the key exists is not known: 503, not 401."""
    ingest = make_ingest(row=CatalogRow(None))
    response = await ingest.post(single())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json() == {"status": 503, "error": "Service Unavailable", "code": "database_unavailable"}


async def test_known_key_survives_a_catalog_that_went_away(ingest: Ingest) -> None:
    """Events go on while the catalog database is down; a code never met before is accepted unmeasured."""
    await ingest.post(single(transaction_id="before"))
    ingest.row.snapshot = None
    assert (await ingest.post(single(transaction_id="after", code="brand-new"))).status_code == 200
    assert ingest.publisher.transaction_ids == ["before", "after"]


async def test_metric_made_after_the_last_refresh_is_checked_at_once(ingest: Ingest) -> None:
    """The first event of a new metric is held against it already."""
    await ingest.post(single())
    ingest.row.snapshot = snapshot(2, [metric("storage", expression="event.properties.gb * 2")])
    response = await ingest.post(single(transaction_id="new", code="storage", properties={"gb": 3}))
    assert response.json()["event"]["properties"] == {"gb": 3, "value": "6"}


async def test_unknown_code_is_accepted_and_looked_up_once(ingest: Ingest) -> None:
    """A code nobody measures costs one look at the catalog, not one per event."""
    for number in range(5):
        response = await ingest.post(single(transaction_id=f"t{number}", code="nobody-measures-this"))
        assert response.status_code == 200
    assert ingest.row.loads == 2  # for the key, and for the code


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"event": NaN}', b"\xff\xfe"])
@pytest.mark.parametrize("path", ["/api/v1/events", BATCH])
async def test_malformed_json_is_a_bad_request(ingest: Ingest, body: bytes, path: str) -> None:
    """What is not JSON is answered 400 in the envelope of the API."""
    response = await ingest.post(body, path)
    assert response.status_code == 400
    assert response.json() == {"status": 400, "error": "BadRequest: the request body is not valid JSON"}


async def test_missing_root_is_a_bad_request(ingest: Ingest) -> None:
    """The event has to stand under its root key."""
    response = await ingest.post(sent_event())
    assert response.status_code == 400
    assert response.json()["error"] == "BadRequest: param is missing or the value is empty or invalid: event"


async def test_invalid_event_is_answered_with_every_issue(ingest: Ingest) -> None:
    """All wrong fields at once, nothing stored."""
    response = await ingest.post(single(transaction_id=None, code=7, timestamp="soon"))
    assert response.status_code == 422
    assert response.json() == {
        "status": 422,
        "error": "Unprocessable Entity",
        "code": "validation_errors",
        "error_details": {
            "transaction_id": ["value_is_mandatory"],
            "code": ["value_is_invalid"],
            "timestamp": ["invalid_format"],
        },
    }
    assert ingest.publisher.calls == []


async def test_batch_is_answered_in_order(ingest: Ingest) -> None:
    """Each event of a batch has its entry, in the order sent."""
    response = await ingest.post_batch(*[sent_event(transaction_id=f"t{i}") for i in range(3)])
    assert response.status_code == 200
    assert [event["transaction_id"] for event in response.json()["events"]] == ["t0", "t1", "t2"]
    assert ingest.publisher.transaction_ids == ["t0", "t1", "t2"]


async def test_batch_with_an_invalid_event_stores_nothing(ingest: Ingest) -> None:
    """Issues are keyed by the index as text; the valid events are not stored either."""
    response = await ingest.post_batch(sent_event(transaction_id=""), sent_event(), 5, sent_event(timestamp="x"))
    assert response.status_code == 422
    assert response.json()["error_details"] == {
        "0": {"transaction_id": ["value_is_mandatory"]},
        "2": {"event": ["value_is_invalid"]},
        "3": {"timestamp": ["invalid_format"]},
    }
    assert ingest.publisher.calls == []


async def test_partial_batch_stores_the_valid_events(ingest: Ingest) -> None:
    """Every event is told its status; only the invalid ones are left out."""
    await ingest.post(single(transaction_id="known"))
    response = await ingest.post_batch(
        sent_event(transaction_id="new"),
        sent_event(code=None),
        sent_event(transaction_id="known"),
        sent_event(transaction_id="known", code="requests"),
        query="?partial=true",
    )
    assert response.status_code == 200
    entries = response.json()["events"]
    assert [(e["index"], e["status"], e.get("conflict")) for e in entries] == [
        (0, "accepted", False),
        (1, "rejected", None),
        (2, "duplicate", False),
        (3, "duplicate", True),
    ]
    assert entries[1] == {"index": 1, "status": "rejected", "error_details": {"code": ["value_is_mandatory"]}}
    assert entries[0]["transaction_id"] == "new"
    assert ingest.publisher.transaction_ids == ["known", "new"]


async def test_partial_batch_without_a_valid_event_stores_nothing(ingest: Ingest) -> None:
    """All rejected is still an answer."""
    response = await ingest.post_batch({}, None, query="?partial=true")
    assert [entry["status"] for entry in response.json()["events"]] == ["rejected", "rejected"]
    assert ingest.publisher.transaction_ids == []


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 200), (3, 200), (4, 422)])
async def test_batch_size_is_bounded(count: int, status: int) -> None:
    """One event to the limit, no more and no fewer."""
    ingest = make_ingest(batch_events_max=3)
    response = await ingest.post_batch(*[sent_event(transaction_id=f"t{i}") for i in range(count)])
    assert response.status_code == status
    if status == 422:
        code = "too_many_events" if count else "no_events"
        assert response.json()["error_details"] == {"events": [code]}


async def test_body_over_the_limit_is_refused_whether_announced_or_not() -> None:
    """The announced length is believed when it is too large, and counted anyway."""
    ingest = make_ingest(body_bytes_max=1024)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100

    async with ingest.client() as client:
        announced = await client.post("/api/v1/events", content=b" " * 1025)
        counted = await client.post("/api/v1/events", content=chunks())
        huge = await client.post("/api/v1/events", content=b"", headers={"Content-Length": "9" * 5000})
    for response in (announced, counted, huge):
        assert response.status_code == 413
        assert response.json()["code"] == "payload_too_large"


async def test_body_at_the_limit_is_read() -> None:
    """Exactly the limit is not too much."""
    ingest = make_ingest(body_bytes_max=1024)
    body = b'{"event":{"transaction_id":"t","code":"tokens"}}'
    assert (await ingest.post(body.ljust(1024))).status_code == 200


async def test_repeat_is_answered_as_duplicate(ingest: Ingest) -> None:
    """A repeat is a success that says so; other content says conflict too."""
    first, repeat = await ingest.post(single()), await ingest.post(single())
    other = await ingest.post(single(properties={"value": 13}))
    flags = [
        (r.status_code, r.json()["event"]["duplicate"], r.json()["event"]["conflict"])
        for r in (first, repeat, other)
    ]
    assert flags == [(200, False, False), (200, True, False), (200, True, True)]
    assert first.json()["event"]["lago_id"] == repeat.json()["event"]["lago_id"]
    assert len(ingest.publisher.calls) == 1


async def test_repeat_without_timestamp_is_the_same_event(ingest: Ingest) -> None:
    """A retry a minute later is no second event and no conflict."""
    await ingest.post(single(timestamp=None))
    ingest.clock.move_to(ingest.clock.now().replace(minute=1))
    event = (await ingest.post(single(timestamp=None))).json()["event"]
    assert (event["duplicate"], event["conflict"]) == (True, False)


async def test_event_sent_a_thousand_times_is_published_once(ingest: Ingest) -> None:
    """However often a producer repeats itself."""
    async with ingest.client() as client:
        responses = [await client.post("/api/v1/events", json=single()) for _ in range(1000)]
    assert {response.status_code for response in responses} == {200}
    assert sum(not response.json()["event"]["duplicate"] for response in responses) == 1
    assert ingest.publisher.transaction_ids == ["tx-1"]


async def test_event_sent_by_64_callers_at_once_is_published_once() -> None:
    """Concurrent repeats wait for the first and are duplicates of it."""
    publisher = RecordingPublisher(gate=asyncio.Event())
    ingest = make_ingest(publisher=publisher)
    requests = [asyncio.create_task(ingest.post(single())) for _ in range(64)]
    await asyncio.sleep(0.05)
    assert publisher.gate is not None
    publisher.gate.set()
    responses = await asyncio.gather(*requests)
    assert {response.status_code for response in responses} == {200}
    assert sum(not response.json()["event"]["duplicate"] for response in responses) == 1
    assert publisher.transaction_ids == ["tx-1"]


async def test_refused_event_is_accepted_when_it_is_sent_again() -> None:
    """503 with Retry-After stores nothing, and the retry is a first."""
    ingest = make_ingest(publisher=RecordingPublisher(refusals=1))
    refused, retried = await ingest.post(single()), await ingest.post(single())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.json() == {"status": 503, "error": "Service Unavailable", "code": "kafka_unavailable"}
    assert (retried.status_code, retried.json()["event"]["duplicate"]) == (200, False)
    assert ingest.publisher.transaction_ids == ["tx-1"]


async def test_ids_are_framed(ingest: Ingest) -> None:
    """ "a-b" with "c" is another event than "a" with "b-c"; so is one of another subscription."""
    for subscription, transaction in [("a-b", "c"), ("a", "b-c"), ("a-bc", ""), ("", "a-bc"), (None, "c")]:
        await ingest.post(single(external_subscription_id=subscription, transaction_id=transaction or "c"))
    identities = {event.event_id for events in ingest.publisher.calls for event in events}
    assert len(identities) == len(ingest.publisher.calls) == 5


async def test_outcome_of_the_publisher_is_answered(ingest: Ingest) -> None:
    """Where the publisher knows the duplicates, its word is the answer."""
    ingest.publisher.outcomes = {"tx-1": Outcome.CONFLICT}
    event = (await ingest.post(single())).json()["event"]
    assert (event["duplicate"], event["conflict"]) == (True, True)


async def test_dead_letter_is_answered_as_accepted_until_it_is_counted(ingest: Ingest) -> None:
    """It is kept; sent again it is no repeat, since it was not counted."""
    ingest.publisher.outcomes = {"tx-1": Outcome.DEAD_LETTER}
    answers = [(await ingest.post(single())).json()["event"] for _ in range(2)]
    assert [(event["duplicate"], event["conflict"]) for event in answers] == [(False, False)] * 2
    assert ingest.publisher.transaction_ids == ["tx-1", "tx-1"]


async def test_unexpected_exception_is_a_json_500() -> None:
    """Whatever breaks inside, the caller gets a whole JSON answer and may retry."""

    class Broken(RecordingPublisher):
        async def publish(self, events: object) -> list[Outcome]:
            raise ZeroDivisionError

    ingest = make_ingest(publisher=Broken())
    response = await ingest.post(single())
    assert response.status_code == 500
    assert response.json() == {"status": 500, "error": "Internal Server Error"}


async def test_caller_that_hangs_up_is_not_answered(ingest: Ingest) -> None:
    """A body that ends in the middle is dropped, not stored."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"event":', "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[object] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: object) -> None:
        answers.append(message)

    headers = [(b"authorization", f"Bearer {API_KEY}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/events", "query_string": b"", "headers": headers}
    await ingest.app(scope, receive, send)
    assert answers == []
    assert ingest.publisher.calls == []


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/v1/events", True),
        ("POST", "/api/v1/events/batch/", True),
        ("GET", "/api/v1/events", False),
        ("POST", "/api/v1/events/estimate_fees", False),
        ("POST", "/api/v1/eventsbatch", False),
        ("POST", "/api/v1/events//", False),
    ],
)
def test_events_route_is_exactly_the_two_posts(method: str, path: str, expected: bool) -> None:
    """The embedded process sends these here and everything else to the billing API."""
    assert is_events_route({"type": "http", "method": method, "path": path}) is expected


async def test_timestamp_of_the_answer_has_milliseconds(ingest: Ingest) -> None:
    """Whole seconds are written with three zeros."""
    event = (await ingest.post(single(timestamp=NOW_SECONDS))).json()["event"]
    assert event["timestamp"] == "2026-08-21T10:00:00.000Z"
