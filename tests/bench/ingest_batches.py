"""How many events a second one ingest process takes in batches of 100, acknowledged by Apache Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg

from tests.bench.comparison_server import serve_comparison
from tests.bench.comparisons import ComparisonName
from tests.bench.comparisons.postgres_unique import CREATE, TABLE
from tests.bench.load import Load, LoadGenerator
from tests.bench.machine import REDIS_SERVERS, find_redis_server
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
from tests.bench.processes import CpuWatch
from tests.bench.redis import RedisServer
from tests.bench.site import TOPIC, BenchSite
from tests.bench.sizes import Sizes
from tests.bench.usage_events import UsageEvents
from tests.services.millrace import API_KEY
from tests.services.postgres import as_libpq

BATCH_EVENTS = 100
CONNECTIONS = 32
"""Requests in flight: enough to keep the process busy while packs wait for their acknowledgement."""
EVENTS_PER_SECOND_MAX = 150_000
"""How many are prepared for each second of load; a faster process would end the load early, not spoil it."""
SPAN_SECONDS = 60
TARGET = Target(Bound.AT_LEAST, 60_000, aim=100_000)


@dataclass(frozen=True)
class BatchLoad:
    """The batches of one load; the warm-up takes its own."""

    warm_up: list[bytes]
    measured: list[bytes]


@dataclass(frozen=True)
class BatchResult:
    """A load, the events it had acknowledged (warm-up included), and what it cost."""

    load: Load
    events: int
    cpu_seconds: Mapping[str, float]

    @property
    def events_per_second(self) -> float:
        return self.load.per_second * BATCH_EVENTS


def measure_ingest_batches(sizes: Sizes, say: Say) -> Measurement:
    """Measure ingest, then each comparison with batches of the same kind on the same services."""
    with BenchSite() as site:
        site.cluster.invoicer_process.stop()
        say("ingest")
        pids = {"ingest": site.cluster.ingest_process.process.pid, "broker": site.kafka.process.pid}
        load = _prepare(1, sizes.warm_up_seconds, sizes.load_seconds)
        result = _run(site.generator(CONNECTIONS), load, sizes.load_seconds, pids)
        del load  # hundreds of megabytes
        events_per_record = site.check_published(TOPIC, result.events)
        site.cluster.ingest_process.stop()
        comparisons = _compare(site, result, sizes, say)
    figure = Figure(
        "events acknowledged",
        result.events_per_second,
        "events/s",
        TARGET,
        comparisons,
        note=f"{events_per_record:.0f} events a Kafka record; every acknowledged event found in the topic",
    )
    return Measurement(
        "ingest_batches",
        "ingest, batches of 100",
        f"One `python -m ingest`, {CONNECTIONS} connections, acks=all, every event new, one broker; "
        "the comparisons are served by the same server with the same parsing and answers.",
        (figure,),
        result.cpu_seconds,
    )


def _prepare(seed: int, warm_up_seconds: float, seconds: float) -> BatchLoad:
    events = UsageEvents(seed, int(time.time()), SPAN_SECONDS)
    counts = [int(each * EVENTS_PER_SECOND_MAX / BATCH_EVENTS) for each in (warm_up_seconds, seconds)]
    warm_up, measured = [list(events.batch_requests(API_KEY, count, BATCH_EVENTS)) for count in counts]
    return BatchLoad(warm_up, measured)


def _run(generator: LoadGenerator, load: BatchLoad, seconds: float, pids: Mapping[str, int]) -> BatchResult:
    """Warm up with as many seconds as were prepared, then measure."""
    warm_up_seconds = seconds * len(load.warm_up) / len(load.measured)
    with generator:
        warm_up = generator.as_fast_as_answered(iter(load.warm_up), warm_up_seconds)
        watch = CpuWatch(pids)
        measured = generator.as_fast_as_answered(iter(load.measured), seconds)
        spent = watch.spent()
    return BatchResult(measured, (warm_up.requests + measured.requests) * BATCH_EVENTS, spent)


def _compare(site: BenchSite, ours: BatchResult, sizes: Sizes, say: Say) -> tuple[Comparison, ...]:
    load = _prepare(2, sizes.warm_up_seconds / 2, sizes.comparison_seconds)
    return (
        *_compare_redis(site, ours, load, sizes, say),
        *_compare_postgres(site, ours, load, sizes, say),
    )


def _compare_redis(
    site: BenchSite, ours: BatchResult, load: BatchLoad, sizes: Sizes, say: Say
) -> Iterator[Comparison]:
    named = {
        ComparisonName.REDIS_ONE_BY_ONE: "Redis SET NX an event, then Kafka",
        ComparisonName.REDIS_PIPELINED: "Redis SET NX in a pipeline, then Kafka",
    }
    program = find_redis_server()
    for name, label in named.items():
        if program is None:
            yield Comparison(label, note=f"not measured: no {' or '.join(REDIS_SERVERS)}")
            continue
        say(label)
        with RedisServer(program) as redis, serve_comparison(site, name, redis.port) as server:
            pids = {"server": server.pid, "redis": redis.process.pid}
            result = _run(server.generator(CONNECTIONS), load, sizes.comparison_seconds, pids)
            site.check_published(name, result.events)
        yield _comparison(label, ours, result)


def _compare_postgres(
    site: BenchSite, ours: BatchResult, load: BatchLoad, sizes: Sizes, say: Say
) -> Iterator[Comparison]:
    named = {
        ComparisonName.POSTGRES_ONE_BY_ONE: "PostgreSQL unique index, a statement an event",
        ComparisonName.POSTGRES_BATCH: "PostgreSQL unique index, a statement a batch",
    }
    for name, label in named.items():
        say(label)
        with psycopg.connect(as_libpq(site.database_url), autocommit=True) as session:
            session.execute(f"DROP TABLE IF EXISTS {TABLE}")
            for statement in CREATE:
                session.execute(statement)
            with serve_comparison(site, name) as server:
                pids = {"server": server.pid, "postgres": site.postgres.process.pid}
                result = _run(server.generator(CONNECTIONS), load, sizes.comparison_seconds, pids)
            found = session.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
        if found != (result.events,):
            raise BenchmarkError(f"{result.events} events were answered, PostgreSQL holds {found}")
        yield _comparison(label, ours, result)


def _comparison(label: str, ours: BatchResult, theirs: BatchResult) -> Comparison:
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in theirs.cpu_seconds.items())
    advantage = faster(ours.events_per_second, theirs.events_per_second)
    return Comparison(label, theirs.events_per_second, advantage, note=f"CPU seconds: {spent}")
