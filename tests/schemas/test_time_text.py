"""Instants as text."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.time_text import (
    format_epoch_seconds,
    from_microseconds,
    iso_milliseconds,
    iso_milliseconds_at,
    iso_seconds,
    iso_seconds_at,
    parse_epoch_seconds,
    parse_iso,
    to_microseconds,
)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("1700158623", 1_700_158_623_000_000),
        ("1700158623.97996", 1_700_158_623_979_960),
        ("1700158623.9999999", 1_700_158_623_999_999),
        ("-1.5", -1_500_000),
        ("-0.5", -500_000),
    ],
)
def test_epoch_text_becomes_whole_microseconds(text: str, micros: int) -> None:
    """Digits past the microsecond are cut, not rounded into the next instant."""
    assert parse_epoch_seconds(text) == micros


@pytest.mark.parametrize("text", ["", "1e9", "abc", "1.", ".5", "+1", "1" * 16, "2023-11-16", "NaN", " 1", "1\n"])
def test_epoch_text_that_is_none_is_refused(text: str) -> None:
    """Only plain decimal text of bounded length."""
    assert parse_epoch_seconds(text) is None


@given(st.integers(0, 10**17))
def test_epoch_text_reads_back(micros: int) -> None:
    """Writing and reading are inverses."""
    assert parse_epoch_seconds(format_epoch_seconds(micros)) == micros


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_read_back(instant: datetime) -> None:
    """No instant is moved by the way it is counted."""
    assert from_microseconds(to_microseconds(instant)) == instant


def test_iso_forms_are_utc_with_a_zone_letter() -> None:
    """Seconds for most instants, milliseconds for events."""
    instant = datetime(2026, 8, 21, 10, 0, 0, 123_456, tzinfo=UTC)
    assert iso_seconds(instant) == "2026-08-21T10:00:00Z"
    assert iso_milliseconds(instant) == "2026-08-21T10:00:00.123Z"


def test_iso_text_without_zone_is_utc() -> None:
    """A zone that is not written is UTC; one that is written is honoured."""
    assert parse_iso("2026-08-21T10:00:00") == datetime(2026, 8, 21, 10, tzinfo=UTC)
    assert parse_iso("2026-08-21T10:00:00+02:00") == datetime(2026, 8, 21, 8, tzinfo=UTC)
    assert parse_iso("soon") is None


@given(st.integers(-62_135_000_000_000_000, 253_402_000_000_000_000))
def test_iso_form_of_counted_microseconds_is_that_of_the_instant(micros: int) -> None:
    """The quick form and the plain one write the same text."""
    assert iso_milliseconds_at(micros) == iso_milliseconds(from_microseconds(micros))
    assert iso_seconds_at(micros)[-10:] == (iso_seconds(from_microseconds(micros)) or "")[-10:]
