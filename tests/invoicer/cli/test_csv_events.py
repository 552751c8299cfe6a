"""Rows of a file as events."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from invoicer.cli.csv_events import CsvEvent, CsvMapping, UnreadableRowError, epoch_text, events_of_rows

MAPPING = CsvMapping(
    code="tokens",
    subscription="sub-1",
    timestamp="at",
    properties=("context",),
    transaction_id=None,
    timezone=ZoneInfo("UTC"),
)
ROW = {"at": "2023-11-16 18:17:03.9799600", "context": "4808", "account": "acme"}


def payloads(rows: list[dict[str, str]], mapping: CsvMapping = MAPPING) -> list[dict[str, object]]:
    return [event.payload for event in events_of_rows(rows, mapping) if isinstance(event, CsvEvent)]


def test_row_becomes_an_event_with_exact_time() -> None:
    """Seven decimals are cut at the microsecond; quantities stay text."""
    (payload,) = payloads([ROW])
    assert payload["timestamp"] == "1700158623.97996"
    assert payload["properties"] == {"context": "4808"}
    assert payload["external_subscription_id"] == "sub-1"


def test_subscription_that_is_a_column_is_read_from_the_row() -> None:
    """The same option names a column where there is one."""
    (payload,) = payloads([ROW], replace(MAPPING, subscription="account"))
    assert payload["external_subscription_id"] == "acme"


def test_derived_ids_repeat_for_the_same_rows_and_differ_inside_a_file() -> None:
    """A second run repeats every id; two equal rows of one file stay two events."""
    first = [payload["transaction_id"] for payload in payloads([ROW, ROW, {**ROW, "context": "1"}])]
    assert len(set(first)) == 3
    assert first == [payload["transaction_id"] for payload in payloads([ROW, ROW, {**ROW, "context": "1"}])]


def test_derived_ids_differ_for_another_code_or_subscription() -> None:
    """One file may be measured in two ways."""
    ids = {
        payloads([ROW], mapping)[0]["transaction_id"]
        for mapping in (MAPPING, replace(MAPPING, code="other"), replace(MAPPING, subscription="sub-2"))
    }
    assert len(ids) == 3


def test_own_transaction_id_column_is_used() -> None:
    """A file with ids of its own keeps them."""
    (payload,) = payloads([{**ROW, "id": "tx-9"}], replace(MAPPING, transaction_id="id"))
    assert payload["transaction_id"] == "tx-9"


def test_unreadable_row_yields_its_reason_and_the_next_row_goes_on() -> None:
    """A bad row never hides its neighbours."""
    results = list(events_of_rows([{**ROW, "at": "soon"}, ROW], MAPPING))
    assert isinstance(results[0], UnreadableRowError)
    assert str(results[0]) == "row 1: 'soon' is no timestamp"
    assert isinstance(results[1], CsvEvent)
    assert results[1].row_number == 2


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("1700158623.5", "UTC", "1700158623.5"),
        ("2023-11-16T18:17:03Z", "America/New_York", "1700158623"),
        ("2023-11-16T13:17:03", "America/New_York", "1700158623"),
    ],
)
def test_time_without_zone_is_in_the_given_one(text: str, zone: str, expected: str) -> None:
    """A written zone wins."""
    assert epoch_text(text, ZoneInfo(zone)) == expected


def test_missing_columns_are_named() -> None:
    """All at once, so that one look mends the command."""
    mapping = replace(MAPPING, timestamp="when", properties=("context", "generated"))
    assert mapping.missing_columns(["at", "context"]) == ["when", "generated"]
