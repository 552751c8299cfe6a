"""How long the current usage of one subscription takes with millions of events stored, while more come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from urllib.parse import urlsplit

from sqlalchemy import create_engine

from aggregator.clickhouse import ClickHouse, connect_server
from aggregator.usage import ClickHouseUsageReader
from ingest.catalog_source import snapshot_loader
from schemas.metrics import MetricDefinition
from schemas.usage import UsageScope
from tests.bench.catalog import create_plan, current_period, current_units, subscribe, usage_request
from tests.bench.latency import median, percentile
from tests.bench.load import LoadGenerator
from tests.bench.measurement import BenchmarkError, Bound, Comparison, Figure, Measurement, Say, Target, sooner
from tests.bench.site import BenchSite
from tests.bench.sizes import Sizes
from tests.bench.stream import StreamFiller
from tests.bench.usage_events import CODE, UsageEvents
from tests.services.millrace import API_KEY

LARGE_SHARE = 0.1
"""The part of all events that the large subscription has; the other 999 share the rest evenly."""
DAYS = 20
"""How far the events go back."""
MONTHS_BEFORE = 3
"""How long before its current period a subscription began that is in a later one."""
LAST_COMMON_DAY = 28
"""The last day of a month that every month has: on a later one, billing days would shift."""
INGESTED_PER_SECOND = 5_000
BATCH_EVENTS = 100
QUERIES_PER_SECOND = 20
CONNECTIONS = 8
QUERIES_BETWEEN_DEDUP = 10
"""Dedup at read is asked less often: each takes so much longer."""
COUNT_SECONDS_MAX = 900.0
SETTLE_SECONDS_MAX = 60.0
API_TARGET = Target(Bound.BELOW, 50)
QUERY_TARGET = Target(Bound.BELOW, 10)
DEDUP_TARGET = Target(Bound.AT_LEAST, 10)
COPY = "events_replacing"
CREATE_COPY = f"""
CREATE TABLE {COPY}
(
    organization_id LowCardinality(String), external_subscription_id String, code LowCardinality(String),
    timestamp DateTime64(6, 'UTC'), transaction_id String, value Nullable(Decimal(38, 18)),
    ingested_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at) PARTITION BY toYYYYMM(timestamp)
ORDER BY (organization_id, external_subscription_id, code, timestamp, transaction_id)
"""
_COPIED = """
SELECT organization_id, external_subscription_id, code, timestamp, transaction_id, value, ingested_at FROM events
"""
FILL_COPY = f"INSERT INTO {COPY} {_COPIED}"
FEED_COPY = f"CREATE MATERIALIZED VIEW {COPY}_feed TO {COPY} AS {_COPIED}"
"""What comes in while we ask goes into both tables, in as many parts."""
_SUBJECT = """
organization_id = {organization:String} AND external_subscription_id = {subscription:String}
AND code = {code:String}
AND timestamp >= {start:DateTime64(6, 'UTC')} AND timestamp < {end:DateTime64(6, 'UTC')}
"""
DEDUP_AT_READ = {
    "FINAL": f"SELECT count(), sum(value) FROM {COPY} FINAL WHERE {_SUBJECT}",
    "argMax": f"""SELECT count(), sum(newest) FROM (
SELECT argMax(value, ingested_at) AS newest FROM {COPY} WHERE {_SUBJECT} GROUP BY timestamp, transaction_id)""",
    "LIMIT 1 BY": f"""SELECT count(), sum(value) FROM (
SELECT value FROM {COPY} WHERE {_SUBJECT} ORDER BY ingested_at DESC LIMIT 1 BY timestamp, transaction_id)""",
}


@dataclass(frozen=True)
class Subject:
    """A subscription whose current usage is asked for, over the period that the API itself says it is in."""

    subscription: str
    scope: UsageScope
    label: str
    dedup_target: Target | None


def measure_usage_query(sizes: Sizes, say: Say) -> Measurement:
    """Store the events through the worker, ask while ingesting; then copy them and compare with dedup at read."""
    with BenchSite() as site:
        now = datetime.now(UTC).replace(microsecond=0)
        events = UsageEvents(1, int(now.timestamp()), DAYS * 86_400 - 3_600)
        large, average, first = events.subscriptions[:3]
        create_plan(site.cluster, site.metric)
        for subscription in (large, average):
            subscribe(site.cluster, subscription, began_before(now))
        subscribe(site.cluster, first, now - timedelta(days=DAYS))
        say(f"storing {sizes.stored_events:,} events")
        _store(site, events, large, sizes.stored_events)
        clickhouse = connect_server(site.clickhouse_url)
        metric = _metric(site)
        subjects = (
            _subject(site, clickhouse, metric, large, "", DEDUP_TARGET),
            _subject(site, clickhouse, metric, average, "", None),
            _subject(site, clickhouse, metric, first, ", a first one, begun inside a day", None),
        )
        with _ingesting(site, sizes):
            say(f"ingesting, until the broker has compiled its code: {sizes.settle_seconds} s")
            time.sleep(sizes.settle_seconds)
            alone = [tuple(_ask(site, clickhouse, each, sizes.usage_queries, say)) for each in subjects]
            say("copying for dedup at read")
            for statement in (CREATE_COPY, FEED_COPY, FILL_COPY):
                site.query(statement, max_partitions_per_insert_block="0")
            compared = [_compare(clickhouse, each, sizes.usage_queries, say) for each in subjects]
        for subject in subjects:
            _check_same(site, clickhouse, subject)
        clickhouse.close()
    figures = tuple(figure for ours, beside in zip(alone, compared, strict=True) for figure in (*ours, beside))
    return Measurement(
        "usage_query",
        "current usage of one subscription",
        f"{sizes.stored_events:,} events of {DAYS} days stored, a tenth of them of one large subscription, the "
        f"rest spread over 999; {INGESTED_PER_SECOND:,} events/s come in meanwhile. Each is asked for over its "
        "current month, from midnight to midnight; a first month begins with the subscription. Over the API "
        f"{QUERIES_PER_SECOND} requests a second on a fixed schedule; then the query alone, one after the other. "
        "Beside dedup at read, in turn with it: that sums the same events of the same period out of a "
        "ReplacingMergeTree in the same ClickHouse, which takes in what comes in as well. All of them were seen "
        "to give the same sum afterwards.",
        figures,
    )


def began_before(now: datetime) -> datetime:
    """When a subscription began that has been for at least `DAYS` in a later period of its own."""
    day = now - timedelta(days=DAYS)
    months = day.year * 12 + day.month - 1 - MONTHS_BEFORE
    return day.replace(year=months // 12, month=months % 12 + 1, day=min(day.day, LAST_COMMON_DAY))


def _store(site: BenchSite, events: UsageEvents, large: str, count: int) -> None:
    filler = StreamFiller(site, events)
    worker = site.cluster.add_worker()
    filler.fill_subscription(large, int(count * LARGE_SHARE))
    filler.fill(count - int(count * LARGE_SHARE))
    site.wait_until_counted(count, COUNT_SECONDS_MAX)
    assert worker.process.is_running


def _metric(site: BenchSite) -> MetricDefinition:
    engine = create_engine(site.database_url)
    snapshot = snapshot_loader(engine)(0)
    engine.dispose()
    assert snapshot is not None
    [metric] = [each for each in snapshot.metrics if each.code == CODE]
    return metric


def _subject(
    site: BenchSite,
    clickhouse: ClickHouse,
    metric: MetricDefinition,
    subscription: str,
    remark: str,
    dedup_target: Target | None,
) -> Subject:
    scope = UsageScope(site.organization_id, subscription, metric, current_period(site.cluster, subscription))
    [totals] = ClickHouseUsageReader(clickhouse).totals(scope)
    return Subject(subscription, scope, f"{totals.events_count:,} events in the period{remark}", dedup_target)


def _check_same(site: BenchSite, clickhouse: ClickHouse, subject: Subject) -> None:
    """Raises: BenchmarkError unless API, usage query and every dedup at read give the same units."""
    [totals] = ClickHouseUsageReader(clickhouse).totals(subject.scope)
    expected = (totals.events_count, totals.sum)
    for name, sql in DEDUP_AT_READ.items():
        [(count, units)] = clickhouse.rows(sql, _parameters(subject.scope))
        if (count, Decimal(units)) != expected:
            raise BenchmarkError(f"{name} gives {count} events and {units} units, the usage query {expected}")
    shown = current_units(site.cluster, subject.subscription)
    if shown != totals.sum:
        raise BenchmarkError(f"the API shows {shown} units, the usage query {totals.sum}")


def _ask(site: BenchSite, clickhouse: ClickHouse, subject: Subject, count: int, say: Say) -> Iterator[Figure]:
    reader, label = ClickHouseUsageReader(clickhouse), subject.label
    say(f"over the API, {label}")
    api = _ask_api(site, subject.subscription, count)
    yield Figure(f"API p99, {label}", percentile(api, 99) * 1000, "ms", API_TARGET, note=_median(api))
    say(f"the query, {label}")
    query = [_seconds_of(partial(reader.totals, subject.scope)) for _ in range(count)]
    yield Figure(f"query p99, {label}", percentile(query, 99) * 1000, "ms", QUERY_TARGET, note=_median(query))


def _compare(clickhouse: ClickHouse, subject: Subject, count: int, say: Say) -> Figure:
    reader, label = ClickHouseUsageReader(clickhouse), subject.label
    say(f"beside dedup at read, {label}")
    asks = {name: partial(clickhouse.rows, sql, _parameters(subject.scope)) for name, sql in DEDUP_AT_READ.items()}
    query, theirs = _ask_in_turn(partial(reader.totals, subject.scope), asks, count)
    comparisons = [
        Comparison(
            f"dedup at read: {name}",
            median(seconds) * 1000,
            sooner(median(query), median(seconds)),
            subject.dedup_target,
        )
        for name, seconds in theirs.items()
    ]
    return Figure(
        f"query median beside dedup at read, {label}", median(query) * 1000, "ms", None, tuple(comparisons)
    )


def _ask_api(site: BenchSite, subscription: str, count: int) -> Sequence[float]:
    address = urlsplit(site.cluster.api_url)
    assert address.hostname is not None
    assert address.port is not None
    with LoadGenerator(address.hostname, address.port, CONNECTIONS) as generator:
        return generator.at_rate([usage_request(API_KEY, subscription)] * count, QUERIES_PER_SECOND).latencies


def _ask_in_turn(
    ours: Callable[[], object], theirs: Mapping[str, Callable[[], object]], count: int
) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds of `count` calls of ours, and of theirs in between, so that all of them meet the same load."""
    our_seconds: list[float] = []
    their_seconds: dict[str, list[float]] = {name: [] for name in theirs}
    for number in range(count):
        our_seconds.append(_seconds_of(ours))
        if number % QUERIES_BETWEEN_DEDUP == 0:
            for name, ask in theirs.items():
                their_seconds[name].append(_seconds_of(ask))
    return our_seconds, their_seconds


def _seconds_of(ask: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    ask()
    return time.perf_counter() - started_at


@contextmanager
def _ingesting(site: BenchSite, sizes: Sizes) -> Iterator[None]:
    """Send events on a fixed schedule for as long as the block runs, second by second.

    Raises: BenchmarkError when one of them was not acknowledged, or is not counted once afterwards.
    """
    stopping = threading.Event()
    sent = [0]

    def send() -> None:
        events = UsageEvents(2, int(time.time()), 60)
        with site.generator(CONNECTIONS) as generator:
            while not stopping.is_set():
                requests = list(events.batch_requests(API_KEY, INGESTED_PER_SECOND // BATCH_EVENTS, BATCH_EVENTS))
                sent[0] += generator.at_rate(requests, INGESTED_PER_SECOND / BATCH_EVENTS).requests * BATCH_EVENTS

    thread = threading.Thread(target=send, name="ingesting")
    thread.start()
    try:
        yield
    finally:
        failed = not thread.is_alive()
        stopping.set()
        thread.join()
    if failed:
        raise BenchmarkError("ingesting ended before the queries did")
    site.wait_until_counted(sizes.stored_events + sent[0], SETTLE_SECONDS_MAX)


def _parameters(scope: UsageScope) -> dict[str, object]:
    return {
        "organization": scope.organization_id,
        "subscription": scope.external_subscription_id,
        "code": scope.metric.code,
        "start": scope.period.start,
        "end": scope.period.end,
    }


def _median(seconds: Sequence[float]) -> str:
    return f"median {median(seconds) * 1000:.1f} ms of {len(seconds)}"
