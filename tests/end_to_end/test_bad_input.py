"""Bad input gets a clear error and changes nothing; the same in both modes."""

import httpx
import pytest

from tests.end_to_end import story
from tests.services.millrace import Instance

GOOD = {"transaction_id": "good", "external_subscription_id": "s", "code": "c", "properties": {"n": 1}}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": ""}])
@pytest.mark.parametrize("path", ["events", "invoices", "customers/x"])
def test_missing_or_unknown_key_is_401_everywhere(instance: Instance, headers: dict[str, str], path: str) -> None:
    """The same body on the hot path and on the rest of the API."""
    for method, base in (("GET", instance.api_url), ("POST", instance.ingest_url)):
        if method == "POST" and path != "events":
            continue
        response = httpx.request(method, f"{base}/api/v1/{path}", headers=headers)
        assert (response.status_code, response.json()) == (401, {"status": 401, "error": "Unauthorized"})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timestamp": "2024-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": 946_684_799}, "timestamp"),
        ({"timestamp": 9_999_999_999}, "timestamp"),
        ({"transaction_id": None}, "transaction_id"),
        ({"transaction_id": "x" * 10_000}, "transaction_id"),
        ({"transaction_id": "a\0b"}, "transaction_id"),
        ({"code": ""}, "code"),
        ({"properties": "text"}, "properties"),
        ({"properties": {"a": "\0"}}, "properties"),
        ({"precise_total_amount_cents": "x"}, "precise_total_amount_cents"),
    ],
)
def test_invalid_event_is_422_naming_its_field(instance: Instance, changes: story.Json, field: str) -> None:
    """Every issue is named, nothing is stored."""
    response = instance.ingest.post("events", json={"event": GOOD | changes})
    assert response.status_code == 422, response.text
    assert any(key.split(".")[0] == field for key in response.json()["error_details"])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"event": null}', b'{"event": [1]}', b'{"events": {}}',
        b'{"event": {"timestamp": NaN}}',
        b'{"event": {"timestamp": 1e999999999}}', b'{"event": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        b'{"event": {"transaction_id": "t", "code": "c", "properties": ' + b'{"a":' * 1_000 + b"1" + b"}" * 1_002,
        b'{"event": {"transaction_id": "\\ud800", "code": "c"}}', b"\xff\xfe", b'{"event": {"transaction_id": 7}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["events", "events/batch"])
def test_hostile_body_is_a_client_error(instance: Instance, body: bytes, path: str) -> None:
    """Never a 500, and the next request works."""
    response = instance.ingest.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.json()["status"] == response.status_code


def test_batch_with_an_invalid_event_stores_nothing(instance: Instance) -> None:
    """Errors are keyed by the index; the good neighbours are not stored either."""
    events = [
        GOOD | {"transaction_id": "nb-0"},
        {"code": "c"},
        GOOD | {"transaction_id": "nb-2", "timestamp": "soon"},
    ]
    response = instance.ingest.post("events/batch", json={"events": events})
    assert response.status_code == 422
    details = response.json()["error_details"]
    assert details["1"] == {"transaction_id": ["value_is_mandatory"]}
    assert details["2"] == {"timestamp": ["invalid_format"]}
    assert instance.api.get("events/nb-0").status_code == 404


def test_partial_batch_stores_the_valid_events(instance: Instance) -> None:
    """With ?partial=true each event has a status of its own."""
    events = [GOOD | {"transaction_id": "part-0"}, {"code": "c"}]
    response = instance.ingest.post("events/batch", params={"partial": "true"}, json={"events": events})
    assert response.status_code == 200
    assert [each["status"] for each in response.json()["events"]] == ["accepted", "rejected"]
    story.wait_for(lambda: instance.api.get("events/part-0").status_code == 200, "the valid event in the list")


def test_batch_over_the_limits_stores_nothing(instance: Instance) -> None:
    """10,000 events and 8 MB are the bounds."""
    too_many = [GOOD | {"transaction_id": f"many-{i}"} for i in range(10_001)]
    response = instance.ingest.post("events/batch", json={"events": too_many})
    assert (response.status_code, response.json()["error_details"]) == (422, {"events": ["too_many_events"]})
    too_large = [GOOD | {"transaction_id": "large", "properties": {"text": "x" * 8_000_000}}]
    assert instance.ingest.post("events/batch", json={"events": too_large}).status_code == 413
    assert instance.api.get("events/many-0").status_code == 404


def test_unknown_code_and_subscription_are_accepted_and_listed(instance: Instance) -> None:
    """Nothing that was accepted is invisible."""
    body = {"event": GOOD | {"transaction_id": "unknown-1", "code": "nobody-knows"}}
    assert instance.ingest.post("events", json=body).status_code == 200
    story.wait_for(lambda: instance.api.get("events/unknown-1").status_code == 200, "the event can be found")
    found = instance.api.get("events/unknown-1").json()["event"]
    assert (found["code"], found["external_subscription_id"]) == ("nobody-knows", "s")
