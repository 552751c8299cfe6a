"""The event: its identity, its place in the stream, and its line in a pack.

A record of the topic `usage.events` is a *pack*: one or more events of one partition, one JSON object a line.
Everything that makes an event *the same* event is decided here and nowhere else.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from uuid import UUID

import msgspec

from schemas.errors import PoisonEvent
from schemas.time_text import format_epoch_seconds, parse_epoch_seconds

PropertyValue = str | int | Decimal | bool | None | list[object] | dict[str, object]
Properties = dict[str, PropertyValue]

MAX_IDENTIFIER_CHARS = 255
"""Bound of `transaction_id`, `external_subscription_id` and `code`."""
MAX_VALUE_INTEGER_DIGITS = 18
MAX_VALUE_DECIMALS = 18
"""A quantity is below 10^18 and has at most 18 decimals: what the store keeps exactly, with room to sum."""
MAX_AMOUNT_DECIMALS = 15
"""Decimals of `precise_total_amount_cents`."""
ARRIVALS_KEPT = 64
"""Arrival times whose reading is remembered: the events of a request share theirs, and stand close together."""
SUBSCRIPTIONS_KEPT = 16_384
CODES_KEPT = 1_024
"""Subscriptions and codes whose part of a line is remembered, 10 MB at most."""
_length = Struct(">I").pack
_whole_number = int.from_bytes

# Copied for each event, never written to: setting up a hash takes half as long again as copying one.
_IDENTITY_HASH = blake2b(digest_size=16)
_CONTENT_HASH = blake2b(digest_size=8)

# The values an event passes through are Structs outside of garbage collection: none can be in a cycle, and they
# are made by the hundred thousand a second. A frozen dataclass took seven times as long to make, and looking for
# cycles among them a quarter of the throughput.


class EventLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One line of a pack, as any producer may write it.

    `timestamp` and `ingested_at` are seconds since the epoch in decimal text; cut at the microsecond. An event
    that was sent without a timestamp has both equal. `external_subscription_id` is "" when it was not given.
    """

    organization_id: str
    external_subscription_id: str = ""
    transaction_id: str
    code: str
    timestamp: str
    properties: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    precise_total_amount_cents: str | None = None
    ingested_at: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """An accepted event, ready to be published or counted; `make_event` builds one.

    Units: `timestamp_us` and `ingested_at_us` are microseconds since the epoch, UTC.
    `properties_json` is a JSON object with sorted keys and plain numbers, as ingest writes it.
    `fingerprint` tells whether a repeat of `event_id` carries the same content.
    """

    organization_id: str
    external_subscription_id: str
    transaction_id: str
    code: str
    timestamp_us: int
    properties_json: bytes
    precise_total_amount_cents: Decimal | None
    ingested_at_us: int
    event_id: bytes
    fingerprint: int

    @property
    def uuid(self) -> UUID:
        """The event's public id: its identity hash."""
        return UUID(bytes=self.event_id)


class Outcome(StrEnum):
    """What became of a published event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """A duplicate whose content differs from the first one; the first one stands."""
    DEAD_LETTER = "dead_letter"
    """Kept, with the reason why it cannot be counted; sent again when that is gone, it is."""


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where an event stands in the stream: `line` counts from 0 inside the record at `offset`."""

    partition: int
    offset: int
    line: int


class PositionedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event and where it stands."""

    position: Position
    event: Event


def event_identity(organization_id: str, external_subscription_id: str, transaction_id: str) -> bytes:
    """The 16 bytes that make an event the same event; never its timestamp, so a retry cannot bill twice.

    Each part is framed by its length: "a-b" + "c" differs from "a" + "b-c".
    """
    organization = organization_id.encode()
    subscription = external_subscription_id.encode()
    transaction = transaction_id.encode()
    framed = b"".join(
        (
            _length(len(organization)), organization,
            _length(len(subscription)), subscription,
            _length(len(transaction)), transaction,
        )
    )  # fmt: skip
    digest = _IDENTITY_HASH.copy()
    digest.update(framed)
    return digest.digest()


def content_fingerprint(
    code: str, timestamp_us: int | None, properties_json: bytes, precise_total_amount_cents: Decimal | None
) -> int:
    """63 bits over what the producer said; `timestamp_us` is None when it gave no timestamp."""
    amount = "" if precise_total_amount_cents is None else str(precise_total_amount_cents)
    stamp = "" if timestamp_us is None else timestamp_us
    digest = _CONTENT_HASH.copy()
    digest.update(f"{code}\0{stamp}\0{amount}\0".encode() + properties_json)
    return _whole_number(digest.digest(), "big") >> 1


def make_event(
    organization_id: str,
    external_subscription_id: str,
    transaction_id: str,
    code: str,
    timestamp_us: int | None,
    properties_json: bytes,
    precise_total_amount_cents: Decimal | None,
    ingested_at_us: int,
) -> Event:
    """Build an event with its identity and fingerprint; without `timestamp_us` it happened when it arrived."""
    # By place, not by name, here and in `decode_line`: names cost a tenth of reading a line.
    return Event(
        organization_id,
        external_subscription_id,
        transaction_id,
        code,
        ingested_at_us if timestamp_us is None else timestamp_us,
        properties_json,
        precise_total_amount_cents,
        ingested_at_us,
        event_identity(organization_id, external_subscription_id, transaction_id),
        content_fingerprint(code, timestamp_us, properties_json, precise_total_amount_cents),
    )


_encode_text = msgspec.json.Encoder().encode
_read_line = msgspec.json.Decoder(EventLine).decode
_read_properties = msgspec.json.Decoder(dict[str, object], float_hook=Decimal).decode
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)
"""What the decoder raises: no JSON, no UTF-8, nested past the stack, an exponent no Decimal can have."""


def encode_line(event: Event) -> bytes:
    """The event as one JSON object, without a line break: an `EventLine`, written in a third of the time.

    What stays the same from event to event of a subscription, a code or a request is not written anew.
    """
    amount = event.precise_total_amount_cents
    return b"".join(
        (
            _line_start(event.organization_id, event.external_subscription_id),
            _encode_text(event.transaction_id),
            _line_code(event.code),
            format_epoch_seconds(event.timestamp_us).encode(),
            b'","properties":',
            event.properties_json,
            b"" if amount is None else f',"precise_total_amount_cents":"{amount:f}"'.encode(),
            _line_end(event.ingested_at_us),
        )
    )


@lru_cache(SUBSCRIPTIONS_KEPT)
def _line_start(organization_id: str, external_subscription_id: str) -> bytes:
    organization, subscription = _encode_text(organization_id), _encode_text(external_subscription_id)
    given = b'"external_subscription_id":' + subscription + b"," if external_subscription_id else b""
    return b'{"organization_id":' + organization + b"," + given + b'"transaction_id":'


@lru_cache(CODES_KEPT)
def _line_code(code: str) -> bytes:
    return b',"code":' + _encode_text(code) + b',"timestamp":"'


@lru_cache(ARRIVALS_KEPT)
def _line_end(ingested_at_us: int) -> bytes:
    return b',"ingested_at":"' + format_epoch_seconds(ingested_at_us).encode() + b'"}'


def encode_pack(lines: Iterable[bytes]) -> bytes:
    """A record value: the lines, newline-delimited."""
    return b"\n".join(lines)


def decode_line(line: bytes, *, received_at_us: int) -> Event:
    """Read one line of a pack, whoever produced it; `received_at_us` stands in for a missing `ingested_at`.

    Raises: PoisonEvent for a line that is not an event.
    """
    try:
        raw = _read_line(line)
    except _NOT_JSON as error:
        raise PoisonEvent("undecodable_event", str(error)) from error
    organization_id, transaction_id, code = raw.organization_id, raw.transaction_id, raw.code
    if not (organization_id and transaction_id and code):
        raise PoisonEvent("missing_field", "organization_id, transaction_id and code must not be empty")
    timestamp_us = _microseconds("timestamp", raw.timestamp)
    arrival, amount = raw.ingested_at, raw.precise_total_amount_cents
    ingested_at_us = _arrival_microseconds(arrival) if arrival else received_at_us
    return make_event(
        organization_id,
        raw.external_subscription_id,
        transaction_id,
        code,
        None if timestamp_us == ingested_at_us else timestamp_us,
        bytes(raw.properties),
        None if amount is None else _amount(amount),
        ingested_at_us,
    )


def decode_properties(properties_json: bytes) -> dict[str, object]:
    """The properties with exact numbers (`Decimal`, never a float).

    Raises: PoisonEvent when they are not a JSON object.
    """
    try:
        return _read_properties(properties_json)
    except _NOT_JSON as error:
        raise PoisonEvent("undecodable_properties", str(error)) from error


def _microseconds(field: str, text: str) -> int:
    micros = parse_epoch_seconds(text)
    if micros is None:
        raise PoisonEvent("invalid_timestamp", f"{field} {text[:40]!r} is not seconds since the epoch")
    return micros


@lru_cache(ARRIVALS_KEPT)
def _arrival_microseconds(text: str) -> int:
    return _microseconds("ingested_at", text)


def _amount(text: str) -> Decimal:
    amount = parse_quantity(text, decimals=MAX_AMOUNT_DECIMALS)
    if amount is None:
        raise PoisonEvent("invalid_amount", f"precise_total_amount_cents {text[:40]!r}")
    return amount


def parse_quantity(text: str, *, decimals: int = MAX_VALUE_DECIMALS) -> Decimal | None:
    """The exact decimal of plain text like `-12.5`, or None when it is none or passes the documented bounds."""
    body = text[1:] if text.startswith("-") else text
    whole, point, fraction = body.partition(".")
    if not (whole.isdigit() and body.isascii()):
        return None
    if point and not fraction.isdigit():
        return None
    if len(whole) > MAX_VALUE_INTEGER_DIGITS and len(whole.lstrip("0")) > MAX_VALUE_INTEGER_DIGITS:
        return None
    if len(fraction) > decimals and len(fraction.rstrip("0")) > decimals:
        return None
    return Decimal(text)
