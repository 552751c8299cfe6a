"""Whether a worker counts as fast, and in as little memory, when fifty times as many events are stored."""

from __future__ import annotations

import time

from tests.bench.measurement import Bound, Comparison, Figure, Measurement, Say, Target
from tests.bench.processes import anonymous_megabytes
from tests.bench.site import BenchSite
from tests.bench.sizes import Sizes
from tests.bench.stream import CountedRate, StreamFiller, measure_counting
from tests.bench.usage_events import UsageEvents
from tests.services.millrace import MillraceProcess

BACKLOG_EVENTS_MAX = 500_000
SPAN_SECONDS = 30 * 86_400
STEP_EVENTS = 250_000
COUNT_SECONDS_MAX = 600.0
RATE_TARGET = Target(Bound.AT_LEAST, 0.9)
MEMORY_TARGET = Target(Bound.AT_MOST, 1.25)


def measure_growth(sizes: Sizes, say: Say) -> Measurement:
    """Measure the rate behind the first events, let the table grow, and measure again; memory all the while."""
    chunk, total = sizes.growth_first_events, sizes.growth_events
    with BenchSite() as site:
        for process in (site.cluster.invoicer_process, site.cluster.ingest_process):
            process.stop()
        filler = StreamFiller(site, UsageEvents(1, int(time.time()), SPAN_SECONDS, live_events=total))
        say(f"the first {chunk:,} events")
        filler.fill(chunk)
        worker = site.cluster.add_worker()
        site.wait_until_counted(chunk, COUNT_SECONDS_MAX)
        first = _rate(site, filler, worker, chunk, say)
        megabytes = _grow(site, filler, worker, total - chunk, say)
        last = _rate(site, filler, worker, chunk, say)
        stored = site.counted_events()
        site.check_counted_once(stored)
        index_bytes = (site.cluster.folder / "index-0" / "data.mdb").stat().st_size
    early, late = max(megabytes[: len(megabytes) // 10 + 1]), max(megabytes[-(len(megabytes) // 10 + 1) :])
    return Measurement(
        "growth",
        "growth",
        f"One worker, {stored:,} events of 30 days and 1,000 subscriptions through Kafka, in the order of their "
        f"times. The rate is that of {chunk:,} events with {chunk:,} and with {stored - chunk:,} stored before "
        "them; memory is what the worker holds for itself, without the mapped file of its index.",
        (
            _rate_figure(first, last, chunk, stored - chunk),
            Figure(
                "memory of the worker over the last tenth, of that over the first",
                late / early,
                "×",
                MEMORY_TARGET,
                note=f"{early:.0f} MB and {late:.0f} MB at most; the index takes {index_bytes / stored:.0f} bytes "
                "an event",
            ),
        ),
        last.cpu_seconds,
    )


def _rate_figure(first: CountedRate, last: CountedRate, before_first: int, before_last: int) -> Figure:
    ratio = last.events_per_second / first.events_per_second
    return Figure(
        f"events counted at {before_last:,} stored",
        last.events_per_second,
        "events/s",
        None,
        (Comparison(f"the same at {before_first:,} stored", first.events_per_second, ratio, RATE_TARGET),),
    )


def _rate(site: BenchSite, filler: StreamFiller, worker: MillraceProcess, count: int, say: Say) -> CountedRate:
    """The rate of the next `count` events, all of them in the topic before the worker starts."""
    worker.stop()
    until = site.counted_events() + count
    say(f"the rate up to {until:,} events")
    filler.fill(count)
    worker.start()
    pids = {"worker": worker.process.pid, "clickhouse": site.clickhouse.process.pid}
    return measure_counting(site, until, pids)


def _grow(site: BenchSite, filler: StreamFiller, worker: MillraceProcess, until: int, say: Say) -> list[float]:
    """Count until so many events are stored; the worker's megabytes along the way."""
    megabytes = []
    sent = site.counted_events()
    while sent < until:
        step = min(STEP_EVENTS, until - sent)
        filler.fill(step)
        sent += step
        say(f"{site.counted_events():,} of {until:,} events stored")
        site.wait_until_at_least(sent - BACKLOG_EVENTS_MAX, COUNT_SECONDS_MAX)
        megabytes.append(anonymous_megabytes(worker.process.pid))
    site.wait_until_at_least(until, COUNT_SECONDS_MAX)
    megabytes.append(anonymous_megabytes(worker.process.pid))
    return megabytes
