"""A record becomes events and dead letters, line by line."""

import pytest

from aggregator.dead_letters import DeadLetter, encode_dead_letter
from aggregator.decode import Decoded, Record, decode_record, original_line
from schemas.dead_letters import decode_dead_letter
from schemas.events import Position
from schemas.topics import DEAD_LETTER_BYTES_MAX
from tests.aggregator.stream import NOON_US

GOOD = b'{"organization_id":"o","transaction_id":"t%d","code":"c","timestamp":"1786622400","properties":{"a":1}}'


def decode(value: bytes) -> Decoded:
    decoded = Decoded()
    decode_record(Record("usage", 3, 41, value, NOON_US), decoded)
    return decoded


def test_decode_record_of_one_event_takes_arrival_as_ingestion_time() -> None:
    """Plain JSON of a third party is a pack of one."""
    (positioned,) = decode(GOOD % 1).events
    assert positioned.position == Position(3, 41, 0)
    assert (positioned.event.transaction_id, positioned.event.ingested_at_us) == ("t1", NOON_US)


def test_decode_record_bad_line_keeps_neighbours_and_line_numbers() -> None:
    """The bad line alone is a dead letter; blank lines count as lines."""
    decoded = decode(b"\n".join([GOOD % 1, b"", b"\xff{", GOOD % 2, b""]))
    assert [item.position.line for item in decoded.events] == [0, 3]
    (letter,) = decoded.dead_letters
    assert (letter.position, letter.code, letter.original) == (Position(3, 41, 2), "undecodable_event", b"\xff{")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((b"1786622400", b"946684799.999999"), "timestamp_out_of_range"),
        ((b"1786622400", b"1786708800.000001"), "timestamp_out_of_range"),
        ((b"1786622400", b"1e9"), "invalid_timestamp"),
        ((b'"code":"c"', b'"code":"' + b"c" * 256 + b'"'), "identifier_too_long"),
        ((b'"t1"', b'"' + b"t" * 256 + b'"'), "identifier_too_long"),
        ((b'{"a":1}', b"[1]"), "undecodable_properties"),
        ((b'"t1"', b'""'), "missing_field"),
        ((b'{"a":1}', b'{"a":"' + b"x" * 1_000_000 + b'"}'), "line_too_large"),
        ((b'"code"', b'"ingested_at":"1","code"'), "timestamp_out_of_range"),
    ],
)
def test_decode_record_line_that_cannot_be_stored_is_a_dead_letter(change: tuple[bytes, bytes], code: str) -> None:
    """Producers other than ingest are held to the same bounds."""
    line = (GOOD % 1).replace(*change)
    decoded = decode(line)
    assert decoded.events == []
    assert [(letter.code, letter.original) for letter in decoded.dead_letters] == [(code, line)]


@pytest.mark.parametrize("timestamp", [b"946684800", b"1786708800"])
def test_decode_record_time_on_the_bounds_is_an_event(timestamp: bytes) -> None:
    """The first instant of 2000 and exactly a day ahead are in."""
    assert len(decode((GOOD % 1).replace(b"1786622400", timestamp)).events) == 1


@pytest.mark.parametrize("value", [b"", b"\n \n"])
def test_decode_record_without_lines_is_a_dead_letter(value: bytes) -> None:
    """An empty record is somebody's mistake and is kept."""
    assert [letter.code for letter in decode(value).dead_letters] == ["empty_record"]


def test_original_line_is_counted_as_positions_are() -> None:
    """Line 2 of a pack with a blank line."""
    assert original_line(b"a\n\nb\nc", 2) == b"b"


def test_encode_dead_letter_of_text_and_of_bytes_keeps_the_original() -> None:
    """Text stays readable; other bytes come in base64."""
    text = encode_dead_letter(DeadLetter(b'{"a"', "usage", Position(1, 2, 3), "code", "why"))
    assert text == (
        b'{"original":"{\\"a\\"","original_encoding":"utf-8","topic":"usage","partition":1,"offset":2,"line":3,'
        b'"code":"code","reason":"why"}'
    )
    raw = encode_dead_letter(DeadLetter(b"\xff\x00", "usage", Position(1, 2, 3), "code", "why"))
    assert b'"original":"/wA=","original_encoding":"base64"' in raw


@pytest.mark.parametrize("line", [b"\x01" * 2_000_000, b"\xff" * 2_000_000])
def test_encode_dead_letter_of_the_longest_line_fits_its_topic(line: bytes) -> None:
    """Control characters take six bytes each in JSON: a line that could not be kept would end every worker."""
    record = encode_dead_letter(DeadLetter(line, "usage", Position(1, 2, 3), "code", "why"))

    assert len(record) < DEAD_LETTER_BYTES_MAX
    assert decode_dead_letter(record).original_bytes == line
