"""The topic as ingest would have filled it, and the rate at which a worker counts it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from confluent_kafka import Producer

from schemas.events import encode_pack
from schemas.partitioning import partition_key, partition_of
from schemas.topics import record_headers, topics
from tests.bench.measurement import BenchmarkError
from tests.bench.processes import CpuWatch
from tests.bench.site import PARTITIONS, TOPIC, BenchSite
from tests.bench.usage_events import UsageEvents
from tests.services.kafka_admin import topic_creator

PACK_EVENTS = 100
"""Events a record; `ingest_batches` says what ingest really makes of batches of 100: 101 when this was chosen."""
POLL_SECONDS = 0.1
"""Each look costs ClickHouse two milliseconds: fifty a second were a tenth of what was measured."""
STALLED_SECONDS_MAX = 60
TOPIC_SECONDS_MAX = 20
FLUSH_SECONDS_MAX = 120
LEAD_IN_SHARE = 0.2
"""The part of the events that is counted before the rate is taken: joining, first inserts, cold caches."""


@dataclass(frozen=True)
class CountedRate:
    """Events a second between two inserts, and the CPU seconds of that time."""

    events: int
    seconds: float
    cpu_seconds: Mapping[str, float]

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds


class StreamFiller:
    """Writes packs straight into the topic, each of one partition, as ingest lays them."""

    def __init__(self, site: BenchSite, events: UsageEvents) -> None:
        self._organization_id = site.organization_id
        self._events = events
        self._random = Random(len(events.subscriptions))
        self._by_partition: list[list[str]] = [[] for _ in range(PARTITIONS)]
        for subscription in events.subscriptions:
            key = partition_key(self._organization_id, subscription)
            self._by_partition[partition_of(key, PARTITIONS)].append(subscription)
        servers = site.kafka.bootstrap_servers
        topic_creator(servers).create_missing(topics(TOPIC, f"{TOPIC}.dead", PARTITIONS), replication_factor=1)
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 20,
                "log_level": 0,
            }
        )

    def fill(self, count: int) -> None:
        """Write `count` events, a multiple of `PACK_EVENTS`, and wait for their acknowledgement.

        Raises: BenchmarkError when not all of them are acknowledged.
        """
        for number in range(count // PACK_EVENTS):
            partition = number % PARTITIONS
            self._send(partition, self.lines(partition, PACK_EVENTS))
        self._flush()

    def fill_subscription(self, subscription: str, count: int) -> None:
        """The same with events of one subscription."""
        partition = partition_of(partition_key(self._organization_id, subscription), PARTITIONS)
        for _ in range(count // PACK_EVENTS):
            lines = [self._events.line(self._organization_id, subscription) for _ in range(PACK_EVENTS)]
            self._send(partition, lines)
        self._flush()

    def _flush(self) -> None:
        if self._producer.flush(FLUSH_SECONDS_MAX):
            raise BenchmarkError("the broker did not acknowledge what was prepared for the worker")

    def lines(self, partition: int, count: int) -> list[bytes]:
        """Lines of new events of one partition."""
        subscriptions, random = self._by_partition[partition], self._random.random
        return [
            self._events.line(self._organization_id, subscriptions[int(random() * len(subscriptions))])
            for _ in range(count)
        ]

    def _send(self, partition: int, lines: Sequence[bytes]) -> None:
        value, headers = encode_pack(lines), record_headers(len(lines))
        while True:
            try:
                self._producer.produce(TOPIC, value=value, partition=partition, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return


def measure_counting(site: BenchSite, until: int, pids: Mapping[str, int]) -> CountedRate:
    """The rate at which a worker that has just been started counts what is in the topic, up to `until` events.

    Taken from the first insert behind the lead-in to the last one, so that it holds whole batches and no start.
    Raises: BenchmarkError when counting stands still.
    """
    before = site.counted_events()
    lead_in = before + int((until - before) * LEAD_IN_SHARE)
    first = _wait_for(site, lead_in)
    watch, started_at = CpuWatch(pids), time.perf_counter()
    last = _wait_for(site, until)
    return CountedRate(last - first, time.perf_counter() - started_at, watch.spent())


def _wait_for(site: BenchSite, events: int) -> int:
    counted, moved_at = -1, time.monotonic()
    while True:
        now_counted = site.counted_events()
        if now_counted >= events:
            return now_counted
        if now_counted != counted:
            counted, moved_at = now_counted, time.monotonic()
        elif time.monotonic() - moved_at > STALLED_SECONDS_MAX:
            raise BenchmarkError(f"nothing was counted for {STALLED_SECONDS_MAX} s, {events - counted} to go")
        time.sleep(POLL_SECONDS)
