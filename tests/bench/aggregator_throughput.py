"""How many events a second one worker takes from Kafka until they are counted in ClickHouse."""

from __future__ import annotations

import time

from tests.bench.measurement import (
    BenchmarkError,
    Bound,
    Comparison,
    Figure,
    Measurement,
    Say,
    Target,
    faster,
)
from tests.bench.site import PARTITIONS, BenchSite
from tests.bench.sizes import Sizes
from tests.bench.stream import PACK_EVENTS, CountedRate, StreamFiller, measure_counting
from tests.bench.usage_events import UsageEvents

TARGET = Target(Bound.AT_LEAST, 80_000, aim=120_000)
PLAIN_TARGET = Target(Bound.AT_LEAST, 0.6)
INSERT_EVENTS = 50_000
"""Rows of a plain insert: as many as the worker inserts at once."""
LIVE_SECONDS = 3_600
BACKFILL_SECONDS = 30 * 86_400
PLAIN_TABLE = "plain_events"
CREATE_PLAIN = f"""
CREATE TABLE {PLAIN_TABLE}
(
    organization_id LowCardinality(String), external_subscription_id String, transaction_id String,
    code LowCardinality(String), timestamp DateTime64(6, 'UTC'), properties String,
    ingested_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp)
ORDER BY (organization_id, external_subscription_id, code, timestamp)
"""


def measure_aggregator_throughput(sizes: Sizes, say: Say) -> Measurement:
    """Measure a worker on live events, the plain insert of events like them, and a worker on a month of events."""
    count = sizes.aggregator_events
    say("live events")
    live, plain_rate = _count(LIVE_SECONDS, count, say, with_plain=True)
    say("a month of events")
    backfill, _ = _count(BACKFILL_SECONDS, count, say, with_plain=False)
    assert plain_rate is not None
    advantage = faster(live.events_per_second, plain_rate)
    return Measurement(
        "aggregator_throughput",
        "aggregator, one worker",
        f"`python -m aggregator` on a topic that holds {count:,} events of 1,000 subscriptions in records of "
        f"{PACK_EVENTS}, as ingest makes of batches of 100: decoding, exact dedup, evaluation of a sum metric, "
        "insert with projection, committed offsets. The plain insert is INSERT … FORMAT JSONEachRow of such "
        "lines, 50,000 at a time, in the same ClickHouse, into a table with the same order, without dedup and "
        "projection.",
        (
            Figure(
                "events counted",
                live.events_per_second,
                "events/s",
                TARGET,
                (Comparison("a plain insert of such lines", plain_rate, advantage, PLAIN_TARGET),),
                note="times within the last hour, as of live traffic; all found in ClickHouse once",
            ),
            Figure(
                "events counted of a backfill",
                backfill.events_per_second,
                "events/s",
                note="times spread evenly over 30 days: the projection's worst case",
            ),
        ),
        live.cpu_seconds,
    )


def _count(span_seconds: int, count: int, say: Say, *, with_plain: bool) -> tuple[CountedRate, float | None]:
    with BenchSite() as site:
        for process in (site.cluster.invoicer_process, site.cluster.ingest_process):
            process.stop()
        filler = StreamFiller(site, UsageEvents(span_seconds, int(time.time()), span_seconds))
        filler.fill(count)
        worker = site.cluster.add_worker()
        say("counting")
        pids = {
            "worker": worker.process.pid,
            "clickhouse": site.clickhouse.process.pid,
            "broker": site.kafka.process.pid,
        }
        rate = measure_counting(site, count, pids)
        site.check_counted_once(count)
        worker.stop()
        if not with_plain:
            return rate, None
        say("plain inserts")
        return rate, _plain_rate(site, filler, rate.events)


def _plain_rate(site: BenchSite, filler: StreamFiller, count: int) -> float:
    """Events a second of inserts from memory, one after the other; the first one warms up."""
    site.query(CREATE_PLAIN)
    inserts = max(count // INSERT_EVENTS, 1)
    bodies = [_insert_body(filler) for _ in range(1 + inserts)]
    statement = f"INSERT INTO {PLAIN_TABLE} FORMAT JSONEachRow"
    site.query(statement, bodies[0])
    started_at = time.perf_counter()
    for body in bodies[1:]:
        site.query(statement, body)
    seconds = time.perf_counter() - started_at
    sent = sum(body.count(b"\n") + 1 for body in bodies)
    stored = int(site.query(f"SELECT count() FROM {PLAIN_TABLE}"))
    if stored != sent:
        raise BenchmarkError(f"{sent} events were inserted plainly, {stored} are there")
    return sent * inserts / (1 + inserts) / seconds


def _insert_body(filler: StreamFiller) -> bytes:
    return b"\n".join(
        line for each in range(PARTITIONS) for line in filler.lines(each, INSERT_EVENTS // PARTITIONS)
    )
