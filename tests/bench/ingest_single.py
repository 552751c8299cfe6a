"""How many single events a second one ingest process takes, and how long they wait at half that rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.bench.comparison_server import serve_comparison
from tests.bench.comparisons import ComparisonName
from tests.bench.latency import median, percentile
from tests.bench.load import Load, LoadGenerator
from tests.bench.measurement import Bound, Comparison, Figure, Measurement, Say, Target, faster
from tests.bench.processes import CpuWatch
from tests.bench.site import TOPIC, BenchSite
from tests.bench.sizes import Sizes
from tests.bench.usage_events import UsageEvents
from tests.services.millrace import API_KEY

CONNECTIONS = 128
"""Requests in flight while the highest rate is looked for; each waits some 10 ms for its acknowledgement."""
CONNECTIONS_AT_RATE = 512
"""So many that a request hardly ever waits for a free one: its wait would count all the same."""
REQUESTS_PER_SECOND_MAX = 20_000
SPAN_SECONDS = 60
RATE_TARGET = Target(Bound.AT_LEAST, 6_000)
LATENCY_TARGET = Target(Bound.BELOW, 100)
Connect = Callable[[int], LoadGenerator]


@dataclass(frozen=True)
class RateResult:
    """The closed loop, what it cost, and the events sent for it, warm-up included."""

    load: Load
    cpu_seconds: Mapping[str, float]
    events: int


def measure_ingest_single(sizes: Sizes, say: Say) -> Measurement:
    """Measure ingest, then the same route as an ordinary FastAPI handler."""
    with BenchSite() as site:
        site.cluster.invoicer_process.stop()
        pids = {"ingest": site.cluster.ingest_process.process.pid, "broker": site.kafka.process.pid}
        events = UsageEvents(1, int(time.time()), SPAN_SECONDS)
        say("ingest")
        ours = _highest_rate(site.generator, events, sizes.warm_up_seconds, sizes.load_seconds, pids)
        say("ingest at half that rate")
        at_half = _at_rate(site.generator, events, ours.load.per_second / 2, sizes.load_seconds)
        site.check_published(TOPIC, ours.events + at_half.requests)
        site.cluster.ingest_process.stop()
        say("FastAPI handler")
        events = UsageEvents(2, int(time.time()), SPAN_SECONDS)
        with serve_comparison(site, ComparisonName.FASTAPI) as server:
            theirs = _highest_rate(
                server.generator, events, sizes.warm_up_seconds, sizes.comparison_seconds, {"server": server.pid}
            )
            site.check_published(ComparisonName.FASTAPI, theirs.events)
    return _measurement(ours, at_half, theirs)


def _highest_rate(
    connect: Connect, events: UsageEvents, warm_up_seconds: float, seconds: float, pids: Mapping[str, int]
) -> RateResult:
    prepared = list(events.single_requests(API_KEY, int((warm_up_seconds + seconds) * REQUESTS_PER_SECOND_MAX)))
    requests = iter(prepared)
    with connect(CONNECTIONS) as generator:
        warm_up = generator.as_fast_as_answered(requests, warm_up_seconds)
        watch = CpuWatch(pids)
        load = generator.as_fast_as_answered(requests, seconds)
        spent = watch.spent()
    return RateResult(load, spent, warm_up.requests + load.requests)


def _at_rate(connect: Connect, events: UsageEvents, per_second: float, seconds: float) -> Load:
    scheduled = list(events.single_requests(API_KEY, int(seconds * per_second)))
    with connect(CONNECTIONS_AT_RATE) as generator:
        return generator.at_rate(scheduled, per_second)


def _measurement(ours: RateResult, at_half: Load, theirs: RateResult) -> Measurement:
    rate, other_rate = ours.load.per_second, theirs.load.per_second
    answered = Figure(
        "requests answered",
        rate,
        "req/s",
        RATE_TARGET,
        (Comparison("an ordinary FastAPI handler", other_rate, faster(rate, other_rate)),),
    )
    latency = Figure(
        f"p99 at {rate / 2:,.0f} req/s",
        percentile(at_half.latencies, 99) * 1000,
        "ms",
        LATENCY_TARGET,
        note=f"median {median(at_half.latencies) * 1000:.1f} ms, counted from when a request was due",
    )
    return Measurement(
        "ingest_single",
        "ingest, single events",
        f"One `python -m ingest`, acks=all, every event new; {CONNECTIONS} connections that send their next "
        "request when they are answered, then half that rate on a fixed schedule. The FastAPI handler validates "
        "with pydantic, looks for no repeats, and has the same publisher and server.",
        (answered, latency),
        ours.cpu_seconds,
    )
