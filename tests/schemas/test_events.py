"""What makes an event the same event, and how it travels."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import PoisonEvent
from schemas.events import (
    Event,
    EventLine,
    decode_line,
    decode_properties,
    encode_line,
    event_identity,
    make_event,
    parse_quantity,
)

NOON_US = 1_700_000_000_000_000


def an_event(**changes: object) -> Event:
    fields: dict[str, object] = {
        "organization_id": "org",
        "external_subscription_id": "sub",
        "transaction_id": "tx-1",
        "code": "calls",
        "timestamp_us": NOON_US,
        "properties_json": b'{"n":1.50}',
        "precise_total_amount_cents": None,
        "ingested_at_us": NOON_US + 5,
    }
    return make_event(**{**fields, **changes})  # type: ignore[arg-type]


def test_identity_of_shifted_parts_differs() -> None:
    """Parts are framed, so a hyphen more on one side and less on the other is another event."""
    assert event_identity("o", "a-b", "c") != event_identity("o", "a", "b-c")
    assert event_identity("o", "ab", "c") != event_identity("o", "a", "bc")


def test_identity_ignores_the_timestamp() -> None:
    """A retry without or with another timestamp is the same event."""
    assert an_event(timestamp_us=None).event_id == an_event().event_id == an_event(timestamp_us=1).event_id


@pytest.mark.parametrize(
    "change", [{"organization_id": "other"}, {"external_subscription_id": "other"}, {"transaction_id": "tx-2"}]
)
def test_identity_of_another_scope_differs(change: dict[str, object]) -> None:
    """The same transaction id under another subscription or organization is another event."""
    assert an_event(**change).event_id != an_event().event_id


@pytest.mark.parametrize(
    "change",
    [
        {"code": "other"},
        {"timestamp_us": NOON_US + 1},
        {"properties_json": b'{"n":2}'},
        {"precise_total_amount_cents": Decimal(5)},
    ],
)
def test_fingerprint_of_other_content_differs(change: dict[str, object]) -> None:
    """What the producer said is told apart, so a conflict can be reported."""
    assert an_event(**change).fingerprint != an_event().fingerprint


def test_fingerprint_without_timestamp_is_the_same_at_every_arrival() -> None:
    """A retry of an event without timestamp is a repeat, not a conflict."""
    first = an_event(timestamp_us=None, ingested_at_us=NOON_US)
    later = an_event(timestamp_us=None, ingested_at_us=NOON_US + 9_000_000)
    assert first.fingerprint == later.fingerprint
    assert (first.timestamp_us, later.timestamp_us) == (NOON_US, NOON_US + 9_000_000)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(
    texts, texts, texts, texts,
    st.one_of(st.none(), st.integers(0, 4_000_000_000_000_000)),
    st.one_of(st.none(), st.decimals(-(10**17), 10**17, places=15)),
)  # fmt: skip
def test_line_of_any_event_reads_back_as_the_event(
    organization: str,
    subscription: str,
    transaction: str,
    code: str,
    timestamp: int | None,
    amount: Decimal | None,
) -> None:
    """Nothing is lost on the way through the stream, identity and fingerprint included."""
    event = an_event(
        organization_id=organization,
        external_subscription_id=subscription,
        transaction_id=transaction,
        code=code,
        timestamp_us=timestamp,
        precise_total_amount_cents=None if amount is None else Decimal(format(amount, "f")),
    )
    line = encode_line(event)
    assert b"\n" not in line
    assert decode_line(line, received_at_us=0) == event
    assert msgspec.json.encode(msgspec.json.decode(line, type=EventLine)) == line


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "undecodable_event"),
        (b"{", "undecodable_event"),
        (b"[1]", "undecodable_event"),
        (b'{"organization_id":"\xff"}', "undecodable_event"),
        (b'{"organization_id":"o","transaction_id":"t","code":"c"}', "undecodable_event"),
        (b'{"organization_id":"o","transaction_id":"","code":"c","timestamp":"1"}', "missing_field"),
        (b'{"organization_id":"o","transaction_id":"t","code":"c","timestamp":"1e5"}', "invalid_timestamp"),
        (b'{"organization_id":"o","transaction_id":"t","code":"c","timestamp":1}', "undecodable_event"),
        (
            b'{"organization_id":"o","transaction_id":"t","code":"c","timestamp":"1","precise_total_amount_cents":"x"}',
            "invalid_amount",
        ),
    ],
)
def test_line_that_is_no_event_is_poison_with_a_stable_code(line: bytes, code: str) -> None:
    """Whatever a third party writes gets a reason, never a crash."""
    with pytest.raises(PoisonEvent) as caught:
        decode_line(line, received_at_us=0)
    assert caught.value.code == code


def test_properties_keep_their_numbers_exact() -> None:
    """Numbers are decimals from the first byte on."""
    properties = decode_properties(b'{"a":0.1,"b":12345678901234567890.123456789,"c":7}')
    assert properties == {"a": Decimal("0.1"), "b": Decimal("12345678901234567890.123456789"), "c": 7}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"), ("-12.50", "-12.50"), ("9" * 18, "9" * 18), ("0." + "1" * 18, "0." + "1" * 18),
        ("000000000000000000000001", "1"), ("1.100000000000000000000000", "1.100000000000000000000000"),
    ],
)  # fmt: skip
def test_quantity_within_the_bounds_is_exact(text: str, value: str) -> None:
    """18 digits on each side of the point, digit for digit."""
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["1" + "0" * 18, "0." + "0" * 18 + "1", "1e5", "+1", " 1", "1.", ".5", "", "-", "٣", "NaN"]
)
def test_quantity_out_of_bounds_or_no_number_is_refused(text: str) -> None:
    """Past the documented precision, or not plain decimal text."""
    assert parse_quantity(text) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"a":\xff}', b'{"a":1e99999999999999999999}', b'{"a":' * 2_000])
def test_properties_that_are_no_object_are_poison(raw: bytes) -> None:
    """Whatever stands there, the worker goes on."""
    with pytest.raises(PoisonEvent):
        decode_properties(raw)
