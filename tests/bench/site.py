"""The services and processes a measurement runs on: its own, started for it and stopped with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from confluent_kafka import Consumer, TopicPartition

from tests.bench.catalog import create_metric, unwrap
from tests.bench.load import LoadGenerator
from tests.bench.measurement import BenchmarkError
from tests.services.clickhouse import EmbeddedClickHouse
from tests.services.kafka_source import apache_kafka
from tests.services.millrace import ClusterInstance
from tests.services.postgres_source import postgres_server

DATABASE = "bench"
TOPIC = "usage.events"
PARTITIONS = 12
"""The default of a new topic."""
QUERY_SECONDS_MAX = 120
READ_SECONDS_MAX = 30.0
RECORDS_READ_MAX = 1_000


class BenchSite:
    """Apache Kafka, PostgreSQL, ClickHouse and a cluster without workers, with the metric of the events.

    The processes have their default settings, as in production; workers are added by the measurement.
    """

    def __init__(self, **settings: object) -> None:
        self._stack = ExitStack()
        self._settings = settings
        self.kafka = apache_kafka(os.environ)
        self.postgres = postgres_server()
        self.clickhouse = EmbeddedClickHouse()

    def __enter__(self) -> Self:
        try:
            for service in (self.kafka, self.postgres, self.clickhouse):
                self._stack.enter_context(service)
            self.database_url = self.postgres.create_database(DATABASE)
            self.cluster = self._stack.enter_context(self._cluster())
            self.metric = create_metric(self.cluster)
            organization = unwrap(self.cluster.api.get("organizations"), "organization")
            self.organization_id = str(organization["lago_id"])
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _cluster(self) -> ClusterInstance:
        return ClusterInstance(
            kafka=self.kafka.bootstrap_servers,
            database_url=self.database_url,
            clickhouse_url=self.clickhouse_url,
            topic=TOPIC,
            workers=0,
            partitions=PARTITIONS,
            log_level="warning",
            **self._settings,
        )

    @property
    def clickhouse_url(self) -> str:
        return f"{self.clickhouse.url}/{DATABASE}"

    def generator(self, connections: int) -> LoadGenerator:
        """A load generator on the ingest process."""
        address = urlsplit(self.cluster.ingest_url)
        assert address.hostname is not None
        assert address.port is not None
        return LoadGenerator(address.hostname, address.port, connections)

    def query(self, sql: str, body: bytes = b"", **settings: str) -> bytes:
        """Ask ClickHouse itself; `body` is the data of an insert."""
        account = {"user": self.clickhouse.user, "password": self.clickhouse.password, "database": DATABASE}
        statement = {"query": sql} if body else {}
        url = f"http://{self.clickhouse.host}:{self.clickhouse.port}/?{urlencode(account | statement | settings)}"
        with urlopen(url, body or sql.encode(), timeout=QUERY_SECONDS_MAX) as answer:
            return bytes(answer.read())

    def counted_events(self) -> int:
        """Rows of `events`; 0 before there is a table."""
        return int(self.query("SELECT sum(rows) FROM system.parts WHERE active AND table = 'events'"))

    def wait_until_counted(self, events: int, seconds_max: float) -> None:
        """Wait until ClickHouse holds exactly `events`.

        Raises: BenchmarkError when it holds more, or fewer after `seconds_max`.
        """
        self.wait_until_at_least(events, seconds_max)
        self.check_counted_once(events)

    def wait_until_at_least(self, events: int, seconds_max: float) -> None:
        """Raises: BenchmarkError when ClickHouse holds fewer after `seconds_max`."""
        wait_until(lambda: self.counted_events() >= events, seconds_max, f"{events} events are counted")

    def check_counted_once(self, events: int) -> None:
        """Raises: BenchmarkError unless `events` holds that many rows of as many different events."""
        rows, different = map(int, self.query("SELECT count(), uniqExact(event_id) FROM events").split())
        if (rows, different) != (events, events):
            raise BenchmarkError(f"{events} events were sent, {different} of them counted in {rows} rows")

    def check_published(self, topic: str, events: int) -> float:
        """Events a record on average.

        Raises: BenchmarkError unless the topic holds exactly `events` lines.
        """
        lines, records = count_lines(self.kafka.bootstrap_servers, topic)
        if lines != events:
            raise BenchmarkError(f"{events} events were acknowledged, the topic {topic} holds {lines}")
        return lines / records


def wait_until(condition: Callable[[], bool], seconds_max: float, what: str) -> None:
    """Raises: BenchmarkError when `condition` does not hold within `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"not within {seconds_max:g} s: {what}")
        time.sleep(0.02)


def count_lines(bootstrap_servers: str, topic: str) -> tuple[int, int]:
    """The lines and the records that a topic holds, read from its start to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "bench-count",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        return _read_all(consumer, topic)
    finally:
        consumer.close()


def _read_all(consumer: Consumer, topic: str) -> tuple[int, int]:
    ends = {}
    for partition in consumer.list_topics(topic, timeout=READ_SECONDS_MAX).topics[topic].partitions:
        _, ends[partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    lines, records, expected = 0, 0, sum(ends.values())
    while records < expected:
        read = consumer.consume(min(RECORDS_READ_MAX, expected - records), timeout=READ_SECONDS_MAX)
        if not read:
            raise BenchmarkError(f"the topic {topic} gave {records} of {expected} records")
        for record in read:
            if record.error() is not None:
                raise BenchmarkError(str(record.error()))
            lines += record.value().count(b"\n") + 1
        records += len(read)
    return lines, records
