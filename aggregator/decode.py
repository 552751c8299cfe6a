"""From a Kafka record to events: each line on its own, so that a bad one takes none of its neighbours along."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aggregator.dead_letters import DeadLetter
from schemas.errors import PoisonEvent
from schemas.events import MAX_IDENTIFIER_CHARS, Event, Position, PositionedEvent, decode_line
from schemas.topics import MAX_RECORD_BYTES

MAX_LINE_BYTES = MAX_RECORD_BYTES
"""A line is never longer than a record that a broker nobody tuned would accept."""
OLDEST_TIMESTAMP_US = 946_684_800_000_000
"""2000-01-01T00:00:00Z."""
FUTURE_US_MAX = 24 * 3600 * 1_000_000
"""How far ahead of its arrival an event may lie."""


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record; `received_at_us` is when the broker took it, in microseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    value: bytes
    received_at_us: int


@dataclass(slots=True)
class Decoded:
    """The events of some records in their order, and the lines that are none."""

    events: list[PositionedEvent] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


def decode_records(records: Iterable[Record]) -> Decoded:
    """Read the lines of several packs, in their order."""
    decoded = Decoded()
    for record in records:
        decode_record(record, decoded)
    return decoded


def decode_record(record: Record, into: Decoded) -> None:
    """Read the lines of a pack; a line that is not an event becomes a dead letter, the others count.

    Bounds: a line of at most `MAX_LINE_BYTES`; ids and codes of at most `MAX_IDENTIFIER_CHARS`; times from 2000
    on and at most a day after the arrival. A record without any line is a dead letter too: nobody sends it on
    purpose.
    """
    lines = record.value.split(b"\n")
    found = False
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        found = True
        position = Position(record.partition, record.offset, number)
        try:
            into.events.append(PositionedEvent(position, decode_checked(line, record.received_at_us)))
        except PoisonEvent as error:
            into.dead_letters.append(DeadLetter(line, record.topic, position, error.code, error.reason))
    if not found:
        position = Position(record.partition, record.offset, 0)
        into.dead_letters.append(
            DeadLetter(record.value, record.topic, position, "empty_record", "the record holds no line")
        )


def decode_checked(line: bytes, received_at_us: int) -> Event:
    """One line as an event that the store can hold; producers other than ingest check less than it does.

    Raises: PoisonEvent for anything else.
    """
    if len(line) > MAX_LINE_BYTES:
        raise PoisonEvent("line_too_large", f"{len(line)} bytes, {MAX_LINE_BYTES} are allowed")
    event = decode_line(line, received_at_us=received_at_us)
    _check_identifiers(event)
    _check_instants(event, received_at_us)
    if not event.properties_json.startswith(b"{"):
        raise PoisonEvent("undecodable_properties", "properties are not a JSON object")
    return event


def original_line(value: bytes, line: int) -> bytes:
    """The bytes of a line of a pack, as `Position.line` counts them."""
    return value.split(b"\n")[line]


def _check_identifiers(event: Event) -> None:
    if (
        len(event.organization_id) > MAX_IDENTIFIER_CHARS
        or len(event.external_subscription_id) > MAX_IDENTIFIER_CHARS
        or len(event.transaction_id) > MAX_IDENTIFIER_CHARS
        or len(event.code) > MAX_IDENTIFIER_CHARS
    ):
        raise PoisonEvent("identifier_too_long", f"an id or code has more than {MAX_IDENTIFIER_CHARS} characters")


def _check_instants(event: Event, received_at_us: int) -> None:
    latest_us = received_at_us + FUTURE_US_MAX
    if not OLDEST_TIMESTAMP_US <= event.timestamp_us <= latest_us:
        raise _out_of_range(event.timestamp_us)
    if not OLDEST_TIMESTAMP_US <= event.ingested_at_us <= latest_us:
        raise _out_of_range(event.ingested_at_us)


def _out_of_range(instant_us: int) -> PoisonEvent:
    reason = f"{instant_us} µs lies before 2000 or over a day ahead of its arrival"
    return PoisonEvent("timestamp_out_of_range", reason)
