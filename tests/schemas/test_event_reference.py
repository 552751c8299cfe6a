"""The quick ways to read an event, held against the plain ones: the same event, or the same reason against it."""

import re
from decimal import Decimal
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import PoisonEvent
from schemas.events import (
    MAX_AMOUNT_DECIMALS,
    Event,
    EventLine,
    content_fingerprint,
    decode_line,
    decode_properties,
    event_identity,
    parse_quantity,
)
from schemas.metrics import (
    AggregationType,
    MetricDefinition,
    MetricEvaluator,
    number_of,
    numeric_value,
    property_text,
)
from schemas.time_text import parse_epoch_seconds

RECEIVED_US = 1_786_622_400_000_000


def plain_seconds(text: str) -> int | None:
    """Microseconds of seconds since the epoch, cut towards zero."""
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,20})?", text):
        return None
    return int(Decimal(text) * 1_000_000)


def plain_quantity(text: str, decimals: int) -> Decimal | None:
    """An exact decimal of at most 18 digits before the point, zeros at the ends not counted."""
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return None
    whole, _, fraction = text.removeprefix("-").partition(".")
    if len(whole.lstrip("0")) > 18 or len(fraction.rstrip("0")) > decimals:
        return None
    return Decimal(text)


def plain_identity(*parts: str) -> bytes:
    digest = blake2b(digest_size=16)
    for raw in (part.encode() for part in parts):
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.digest()


def plain_fingerprint(code: str, timestamp_us: int | None, properties: bytes, amount: Decimal | None) -> int:
    digest = blake2b(digest_size=8)
    for part in (code, "" if timestamp_us is None else str(timestamp_us), "" if amount is None else str(amount)):
        digest.update(part.encode() + b"\0")
    digest.update(properties)
    return int.from_bytes(digest.digest(), "big") >> 1


def plain_event(line: bytes) -> Event | str:
    """The event of a line, or the code of why it is none."""
    try:
        raw = msgspec.json.decode(line, type=EventLine)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "undecodable_event"
    if not (raw.organization_id and raw.transaction_id and raw.code):
        return "missing_field"
    timestamp_us = plain_seconds(raw.timestamp)
    ingested_at_us = plain_seconds(raw.ingested_at) if raw.ingested_at else RECEIVED_US
    if timestamp_us is None or ingested_at_us is None:
        return "invalid_timestamp"
    text = raw.precise_total_amount_cents
    amount = None if text is None else plain_quantity(text, MAX_AMOUNT_DECIMALS)
    if text is not None and amount is None:
        return "invalid_amount"
    said_us = None if timestamp_us == ingested_at_us else timestamp_us
    properties = bytes(raw.properties)
    return Event(
        organization_id=raw.organization_id,
        external_subscription_id=raw.external_subscription_id,
        transaction_id=raw.transaction_id,
        code=raw.code,
        timestamp_us=timestamp_us,
        properties_json=properties,
        precise_total_amount_cents=amount,
        ingested_at_us=ingested_at_us,
        event_id=plain_identity(raw.organization_id, raw.external_subscription_id, raw.transaction_id),
        fingerprint=plain_fingerprint(raw.code, said_us, properties, amount),
    )


def read_event(line: bytes) -> Event | str:
    try:
        return decode_line(line, received_at_us=RECEIVED_US)
    except PoisonEvent as error:
        return error.code


digits = st.text("0123456789", max_size=22)
odd_numbers = st.sampled_from(
    ["", ".", "-", "1.", ".5", "1.2.3", "1e5", "+1", " 1", "1\n", "1_0", "٣", "²", "1.٣", "-0.5"]
)
number_texts = st.one_of(
    odd_numbers,
    st.builds("{}{}".format, st.sampled_from(["", "-"]), digits),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits, digits),
)
instants = st.one_of(number_texts, st.just("1786622400"), st.just("1786622399.25"), st.just("1786622399.123456"))
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
documents = st.fixed_dictionaries(
    {"organization_id": names, "transaction_id": names, "code": names, "timestamp": instants},
    optional={
        "external_subscription_id": names,
        "ingested_at": st.one_of(st.none(), instants),
        "precise_total_amount_cents": st.one_of(st.none(), number_texts),
        "properties": st.dictionaries(
            names, st.one_of(names, st.integers(), st.booleans(), st.none()), max_size=3
        ),
        "unknown": st.integers(),
    },
)


@given(number_texts)
@example("1786622400.1234567")
@example("1786622400.000001")
@example("999999999999999")
@example("1000000000000000")
def test_parse_epoch_seconds_of_any_text_is_that_of_the_plain_way(text: str) -> None:
    """Digit by digit, whatever stands there."""
    assert parse_epoch_seconds(text) == plain_seconds(text)


@given(number_texts, st.sampled_from([15, 18]))
def test_parse_quantity_of_any_text_is_that_of_the_plain_way(text: str, decimals: int) -> None:
    """The same digits, the zeros at the end included, or none."""
    assert str(parse_quantity(text, decimals=decimals)) == str(plain_quantity(text, decimals))


@given(names, names, names)
def test_event_identity_is_the_hash_of_framed_parts(
    organization: str, subscription: str, transaction: str
) -> None:
    """Stored ids stay findable."""
    parts = (organization, subscription, transaction)
    assert event_identity(*parts) == plain_identity(*parts)


def test_event_identity_and_fingerprint_are_those_of_stored_events() -> None:
    """Written down once; another value would count stored events again."""
    assert event_identity("org", "sub-1", "tx-1").hex() == "47091f4752e53c8a31ec2363b18c56b5"
    assert event_identity("org", "", "é" * 200).hex() == "883ac007783d3e38ee1bf5a2b619bc64"
    assert content_fingerprint("calls", 1_700_000_000_000_000, b'{"n":1}', None) == 5319402949507027163
    assert content_fingerprint("é", None, b"{}", Decimal("12.50")) == 7014537751893881133


@given(documents)
def test_decode_line_of_any_document_is_that_of_the_plain_way(document: dict[str, object]) -> None:
    """The same event to the last bit, or the same code."""
    line = msgspec.json.encode(document)
    assert read_event(line) == plain_event(line)


@given(documents, st.data())
def test_decode_line_of_damaged_bytes_is_that_of_the_plain_way(
    document: dict[str, object], data: st.DataObject
) -> None:
    """A byte replaced, or the end cut off."""
    line = bytearray(msgspec.json.encode(document))
    line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(line[: data.draw(st.integers(0, len(line)))])
    assert read_event(damaged) == plain_event(damaged)


property_values = st.one_of(
    number_texts,
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=2),
)


def number_or_code(value: object, *, plain: bool) -> str:
    try:
        return str(numeric_value(property_text(value)) if plain else number_of(value))
    except PoisonEvent as error:
        return error.code


@given(property_values)
@example(10**18 - 1)
@example(10**18)
@example(-(10**18))
@example(Decimal("1E+17"))
def test_number_of_any_value_is_that_of_its_text(value: object) -> None:
    """A number that skips its text is the same number."""
    assert number_or_code(value, plain=False) == number_or_code(value, plain=True)


@pytest.mark.parametrize("text", ["1" + "0" * 18, "0." + "0" * 18 + "1", "-" + "9" * 30])
def test_numeric_value_of_a_number_past_the_bounds_is_poison(text: str) -> None:
    """A number is never taken for a text that does not count."""
    with pytest.raises(PoisonEvent, match="value_out_of_range"):
        numeric_value(text)


@given(st.dictionaries(st.sampled_from(["n", "region", "other"]), property_values))
def test_evaluate_plain_field_is_the_number_of_its_text(properties: dict[str, object]) -> None:
    """The short way of a metric that takes a property as it is."""
    line = msgspec.json.Encoder(decimal_format="number").encode(
        {"organization_id": "o", "transaction_id": "t", "code": "c", "timestamp": "1", "properties": properties}
    )
    event = decode_line(line, received_at_us=RECEIVED_US)
    as_sent = decode_properties(event.properties_json)
    metric = MetricDefinition(
        id="m", organization_id="o", code="c", aggregation_type=AggregationType.SUM, field_name="n"
    )
    try:
        value = str(MetricEvaluator(metric).evaluate(event).value)
    except PoisonEvent as error:
        value = error.code
    assert value == number_or_code(as_sent.get("n"), plain=True)
