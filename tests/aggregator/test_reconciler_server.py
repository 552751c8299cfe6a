"""The reconciler against a ClickHouse of its own process, after a worker that was thought dead has inserted."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from aggregator.clickhouse import ClickHouse, connect_server, create_tables
from aggregator.event_store import EventStore
from schemas.period import TimeRange
from schemas.reconciliation import AuditScope
from schemas.time_text import from_microseconds
from tests.aggregator.copies import Zombie, reconciler_of
from tests.aggregator.stream import NOON_US, Stream
from tests.services.clickhouse_source import ClickHouse as ClickHouseService

pytestmark = pytest.mark.cluster
SUBSCRIPTION = "acme's \\ plan"


@pytest.fixture
def server(clickhouse: ClickHouseService) -> Iterator[ClickHouse]:
    """A database of the server, with tables."""
    server = connect_server(f"{clickhouse.url}/rec_{uuid4().hex[:12]}")
    create_tables(server, durable=False)
    yield server
    server.close()


def test_rows_of_a_zombie_are_removed_and_the_period_is_proven(server: ClickHouse, tmp_path: Path) -> None:
    """The new owner of the partition counted ten events; the old one wakes up and inserts its batch of them."""
    stream = Stream(EventStore(server), tmp_path, organization_id="org")
    zombie = Zombie(server, stream.metric(), stream.partition)
    events = [stream.event(f"t{n}", subscription=SUBSCRIPTION, timestamp_us=NOON_US + n) for n in range(10)]
    stream.count(*events[:5])
    stream.count(*events[5:])
    zombie.insert(*events, offset=0)
    assert len(zombie.stored()) == 20
    reconciler = reconciler_of(server)
    day = TimeRange(from_microseconds(NOON_US), from_microseconds(NOON_US + 1_000_000))
    scope = AuditScope("org", SUBSCRIPTION, day)

    assert reconciler.verify([scope]) == {scope: 10}

    assert [transaction for _, transaction, *_ in zombie.stored()] == [f"t{n}" for n in range(10)]
    assert zombie.hourly_units(SUBSCRIPTION) == 10
    while reconciler.look():
        pass
    report = reconciler.report("org")
    assert (report.last and report.last.checked_events, report.difference) == (10, 0)
    assert report.duplicates_removed_total == 10
    stream.lose_index()
    stream.replay(*events)
    assert len(zombie.stored()) == 10
    stream.close()
