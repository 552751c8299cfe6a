"""A stream under load with real workers, and everything that must hold of it afterwards."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from aggregator.clickhouse import ClickHouse
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.kafka import KafkaOffsets, TopicReader
from aggregator.usage import ClickHouseUsageReader
from aggregator.watermark import StreamWatermarkGate
from schemas.dead_letters import decode_dead_letter
from schemas.metrics import AggregationType, MetricDefinition
from schemas.period import TimeRange
from schemas.time_text import from_microseconds
from schemas.usage import UsageScope
from tests.aggregator.copies import reconciler_of
from tests.aggregator.stream import NOON_US
from tests.aggregator.worker import Cluster, wait_until
from tests.faults.load import CODE, FIELD, HOUR_US, ORGANIZATION, SUBSCRIPTIONS, Load
from tests.faults.oracle import Recount, read_shown, read_stored
from tests.faults.scenario import Scenario
from tests.services.ports import LOOPBACK
from tests.services.proxy import TcpProxy

METRIC = MetricDefinition(
    id="m1",
    organization_id=ORGANIZATION,
    code=CODE,
    aggregation_type=AggregationType.SUM,
    field_name=FIELD,
)
PERIOD = TimeRange(from_microseconds(NOON_US - HOUR_US), from_microseconds(NOON_US + 72 * HOUR_US))
"""All of the load lies in it."""
INSERT_OF_EVENTS = rb"INSERT(\+|%20| )INTO(\+|%20| )[^&]*events"
"""The request that stores events, as the driver writes it into the address."""


def wait_until_drained(cluster: Cluster) -> None:
    """Wait until everything that is in the stream now is committed."""
    gate = StreamWatermarkGate(KafkaOffsets(cluster.bootstrap_servers, cluster.topic, cluster.group))
    mark = gate.mark()
    wait_until(lambda: gate.has_passed(mark), lambda: [worker.log_tail() for worker in cluster.workers])


def assert_exactly_once(cluster: Cluster, load: Load, scenario: Scenario) -> None:
    """Nothing lost, nothing double, exact to the last digit, rebuilt equal to live, rejected lines findable.

    Waits until the stream is drained; at least one worker has to run.
    """
    wait_until_drained(cluster)
    clickhouse = cluster.clickhouse()
    try:
        recount = Recount(load.accepted, read_stored(clickhouse, SUBSCRIPTIONS), FIELD)
        recount.assert_exact(scenario, duplicates_sent=load.duplicates)
        expected = recount.totals()
        assert read_shown(clickhouse, SUBSCRIPTIONS) == expected, "the projection shows something else"
        assert read_usage(clickhouse) == expected, "usage is something else"
        assert_index_rebuilds(clickhouse, load)
        assert_reconciled(clickhouse)
        assert broken_lines(cluster) == load.broken, "a rejected line cannot be found, or is none"
    finally:
        clickhouse.close()


def through(proxy: TcpProxy, url: str) -> str:
    """The same address by way of the proxy."""
    parts = urlsplit(url)
    return url.replace(f"{parts.hostname}:{parts.port}", f"{LOOPBACK}:{proxy.port}")


def count_doubled(cluster: Cluster) -> int:
    """Rows beyond the first of their event, now."""
    clickhouse = cluster.clickhouse()
    try:
        return int(clickhouse.rows("SELECT count() - uniqExact(event_id) FROM events")[0][0])
    finally:
        clickhouse.close()


def read_usage(clickhouse: ClickHouse) -> dict[str, tuple[int, Decimal]]:
    """Events and units of each subscription, as invoices read them."""
    reader = ClickHouseUsageReader(clickhouse)
    found = {}
    for subscription in SUBSCRIPTIONS:
        for totals in reader.totals(UsageScope(ORGANIZATION, subscription, METRIC, PERIOD)):
            found[subscription] = (totals.events_count, totals.sum)
    return found


def assert_index_rebuilds(clickhouse: ClickHouse, load: Load) -> None:
    """An index made anew from ClickHouse knows every event, once, and nothing else."""
    partitions = [int(row[0]) for row in clickhouse.rows("SELECT DISTINCT kafka_partition FROM events")]
    ids = [bytes(row[0]) for row in clickhouse.rows("SELECT UUIDStringToNum(toString(event_id)) FROM events")]
    with tempfile.TemporaryDirectory(prefix="millrace-rebuilt-") as folder:
        index = DedupIndex(Path(folder))
        store = EventStore(clickhouse)
        fetched = sum(index.sync_from_store(partition, store.stored_since) for partition in partitions)
        known = len(index.lookup(ids))
        index.close()
    assert (fetched, known) == (len(load.accepted), len(load.accepted))


def assert_reconciled(clickhouse: ClickHouse) -> None:
    """The reconciler finds nothing to do, twice."""
    reconciler = reconciler_of(clickhouse)
    for _ in range(2):
        result = reconciler.check(ORGANIZATION)
        assert (result.duplicates_found, result.projection_difference) == (0, 0), result


def broken_lines(cluster: Cluster) -> set[bytes]:
    """The original bytes of every dead letter."""
    letters = TopicReader(cluster.bootstrap_servers, cluster.dead_letter_topic)
    return {decode_dead_letter(letter.value).original_bytes for letter in letters}
