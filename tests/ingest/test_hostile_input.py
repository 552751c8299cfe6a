"""Hostile bodies: refused or accepted, never a 500 and never long in the making."""

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.builders import make_ingest

PATHS = ("/api/v1/events", "/api/v1/events/batch")
EXPECTED = {200, 400, 413, 422}


def post(body: bytes, path: str) -> int:
    """The status that a fresh application answers."""
    return asyncio.run(make_ingest().post(body, path)).status_code


def around(properties: bytes, *, batch: bool = False) -> bytes:
    """A valid event around raw `properties`."""
    event = b'{"transaction_id":"t","code":"tokens","properties":' + properties + b"}"
    return b'{"events":[' + event + b"]}" if batch else b'{"event":' + event + b"}"


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("properties", "status"),
    [
        (b'{"value":NaN}', 400),
        (b'{"value":Infinity}', 400),
        (b'{"value":-Infinity}', 400),
        (b'{"value":"NaN"}', 200),
        (b'{"value":"Infinity"}', 200),
        (b'{"value":1e999999999}', 422),
        (b'{"value":-1e-999999999}', 422),
        (b'{"value":1e99999999999999999999999}', 400),
        (b'{"value":' + b"9" * 4000 + b"}", 422),
        (b'{"value":' + b"9" * 1_000_000 + b"}", 400),
        (b'{"value":0.' + b"9" * 1_000_000 + b"}", 422),
        (b'{"value":"' + b"9" * 40_000 + b'"}', 422),
        (b'{"value":"\\u0000"}', 422),
        (b'{"a\\u0000":1}', 422),
        (b'{"value":"\\ud800"}', 400),
        (b'{"value":"\\udc00\\ud800"}', 400),
        (b'{"value":"\xed\xa0\x80"}', 400),
        (b'{"value":"' + b"x" * 10_000 + b'"}', 200),
        (b'{"value":1,"value":2}', 200),
        (b'{"":1,"value":2}', 200),
        (b'{"value":' + b"[" * 1000 + b"]" * 1000 + b"}", 400),
        (b'{"value":' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}", 422),
        (b'{"value":' + b"[" * 100_000, 400),
        (b"[" * 11 + b"]" * 11, 422),
        (b'{"value":[' + b"1," * 200_000 + b"1]}", 422),
    ],
)
def test_hostile_properties_are_answered_quickly(properties: bytes, status: int, batch: bool) -> None:
    """Each trick has its status, within a second."""
    began_at = time.perf_counter()
    assert post(around(properties, batch=batch), PATHS[batch]) == status
    assert time.perf_counter() - began_at < 1


@pytest.mark.parametrize("name", ["transaction_id", "code", "external_subscription_id"])
@pytest.mark.parametrize("value", ["x" * 10_000, "\0", "\0" * 300, [], {}, 10**300, True])
def test_hostile_identifier_is_refused(name: str, value: object) -> None:
    """Identifiers are short texts without NUL, or the event is not stored."""
    event = {"transaction_id": "t", "code": "tokens", name: value}
    assert post(json.dumps({"event": event}).encode(), PATHS[0]) == 422


def test_last_of_equal_keys_wins() -> None:
    """A repeated key is read as most JSON readers do."""
    ingest = make_ingest()
    asyncio.run(ingest.post(around(b'{"value":1,"value":2}')))
    assert ingest.publisher.calls[0][0].properties_json == b'{"value":2}'


_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)
_fields = st.sampled_from(
    ["transaction_id", "external_subscription_id", "code", "timestamp", "properties", "precise_total_amount_cents"]
)
_codes = st.sampled_from(["tokens", "requests", "users", "megabytes"])
_events = st.dictionaries(_fields, _values | _codes, max_size=6) | _values
_bodies = (
    st.fixed_dictionaries({"event": _events}) | st.fixed_dictionaries({"events": st.lists(_events)}) | _values
)


@given(_bodies, st.sampled_from([*PATHS, PATHS[1] + "?partial=true"]))
def test_any_json_is_answered(body: object, path: str) -> None:
    """Whatever JSON comes in, the answer is one of four statuses."""
    assert post(json.dumps(body).encode(), path) in EXPECTED


@given(st.binary(max_size=200) | _bodies.map(lambda body: json.dumps(body).encode()[:-1]), st.sampled_from(PATHS))
def test_any_bytes_are_answered(body: bytes, path: str) -> None:
    """Whatever bytes come in, too."""
    assert post(body, path) in EXPECTED
