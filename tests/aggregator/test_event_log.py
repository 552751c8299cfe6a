"""Stored events as the API lists them."""

from decimal import Decimal
from uuid import UUID

import pytest

from aggregator.clickhouse import ClickHouse
from aggregator.dead_letters import DeadLetter
from aggregator.event_log import ClickHouseEventReader
from aggregator.event_store import EventStore
from schemas.events import Position, encode_line
from schemas.metrics import Evaluation
from schemas.time_text import from_microseconds
from schemas.usage import EventFilter
from tests.aggregator.stream import NOON_US, SUBSCRIPTION, Stream

SECOND = 1_000_000


@pytest.fixture
def reader(embedded_clickhouse: ClickHouse) -> ClickHouseEventReader:
    return ClickHouseEventReader(embedded_clickhouse)


def test_find_gives_the_event_as_sent(reader: ClickHouseEventReader, stream: Stream) -> None:
    """Every field comes back, numbers exact."""
    event = stream.event(
        "a", "12", timestamp_us=NOON_US + 1, amount_cents=Decimal("0.000000000000001"), properties={"gb": 0.1}
    )
    stream.count(event)
    found = reader.find(stream.organization_id, "a")
    assert found is not None
    assert found.event_id == str(UUID(bytes=event.event_id))
    assert (found.external_subscription_id, found.code) == (SUBSCRIPTION, "api_calls")
    assert found.timestamp == from_microseconds(NOON_US + 1)
    assert found.ingested_at == from_microseconds(NOON_US)
    assert found.properties == {"units": "12", "gb": Decimal("0.1")}
    assert found.precise_total_amount_cents == Decimal("0.000000000000001")


def test_find_id_of_several_subscriptions_gives_the_newest(reader: ClickHouseEventReader, stream: Stream) -> None:
    """The id is only unique within a subscription."""
    stream.count(
        stream.event("a", timestamp_us=NOON_US + SECOND, subscription="newest"),
        stream.event("a", timestamp_us=NOON_US, subscription="older"),
    )
    found = reader.find(stream.organization_id, "a")
    assert found is not None
    assert found.external_subscription_id == "newest"


def test_find_id_of_another_organization_is_none(reader: ClickHouseEventReader, stream: Stream) -> None:
    """Organizations do not see each other."""
    stream.count(stream.event("a"))
    assert reader.find("somebody-else", "a") is None


def test_list_pages_newest_first_within_inclusive_bounds(reader: ClickHouseEventReader, stream: Stream) -> None:
    """Both bounds are in; the count is of all pages."""
    stream.count(*(stream.event(f"t{n}", timestamp_us=NOON_US + n * SECOND) for n in range(6)))
    wanted = EventFilter(
        stream.organization_id,
        timestamp_from=from_microseconds(NOON_US + SECOND),
        timestamp_to=from_microseconds(NOON_US + 4 * SECOND),
    )
    page, count = reader.list(wanted, limit=2, offset=1)
    assert ([event.transaction_id for event in page], count) == (["t3", "t2"], 4)


@pytest.mark.parametrize(
    ("narrow", "ids"),
    [
        ({}, ["c", "b", "a"]),
        ({"code": "storage"}, ["c"]),
        ({"external_subscription_id": "sub-2"}, ["b"]),
        ({"external_subscription_id": "' OR 1 = 1 --"}, []),
    ],
)
def test_list_narrows_by_what_is_given(
    reader: ClickHouseEventReader, stream: Stream, narrow: dict[str, str], ids: list[str]
) -> None:
    """Texts of users are values, never SQL."""
    stream.count(
        stream.event("a", timestamp_us=NOON_US),
        stream.event("b", timestamp_us=NOON_US + 1, subscription="sub-2"),
        stream.event("c", timestamp_us=NOON_US + 2, code="storage"),
    )
    wanted = EventFilter(
        stream.organization_id,
        external_subscription_id=narrow.get("external_subscription_id"),
        code=narrow.get("code"),
    )
    page, count = reader.list(wanted, limit=10, offset=0)
    assert ([event.transaction_id for event in page], count) == (ids, len(ids))


def test_places_tell_position_and_evaluation_of_every_subscription(
    reader: ClickHouseEventReader, stream: Stream
) -> None:
    """The id is only unique within a subscription: all are found, newest first, unless one is named."""
    metric = stream.metric(dimensions=("region",))
    stream.count(stream.event("other"), stream.event("a", "2.5", properties={"region": "eu"}))
    stream.count(stream.event("a", "many", timestamp_us=NOON_US + SECOND, subscription="sub-2"))
    newest, oldest = reader.places(stream.organization_id, "a")
    assert (oldest.position, newest.position) == (
        Position(stream.partition, 0, 1),
        Position(stream.partition, 1, 0),
    )
    assert oldest.evaluation == Evaluation(metric.evaluation, Decimal("2.5"), "", {"region": "eu"})
    assert (newest.evaluation.value, newest.event.external_subscription_id) == (None, "sub-2")
    assert newest.event == reader.find(stream.organization_id, "a")
    assert oldest.inserted_at <= newest.inserted_at
    assert reader.places(stream.organization_id, "a", SUBSCRIPTION) == [oldest]
    assert reader.places("somebody-else", "a") == []


def test_dead_letters_are_found_by_the_ids_in_their_lines(
    reader: ClickHouseEventReader, stream: Stream, event_store: EventStore
) -> None:
    """Lines of others, and bytes that are no JSON at all, are passed over."""
    poison = encode_line(stream.event("a", "1e30"))
    lines = (b"\xff no event", encode_line(stream.event("b")), poison)
    event_store.insert_dead_letters(
        [
            DeadLetter(line, "", Position(stream.partition, 7, n), "value_out_of_range", f"line {n}")
            for n, line in enumerate(lines)
        ]
    )
    [found] = reader.dead_letters(stream.organization_id, "a")
    assert (found.position, found.code, found.reason) == (
        Position(stream.partition, 7, 2),
        "value_out_of_range",
        "line 2",
    )
    assert reader.dead_letters(stream.organization_id, "a", SUBSCRIPTION) == [found]
    assert reader.dead_letters(stream.organization_id, "a", "sub-2") == []
    assert reader.dead_letters("somebody-else", "a") == []
