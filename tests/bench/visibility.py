"""How long after an event was sent the current usage shows it, while 5,000 others come in every second."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tests.bench.catalog import create_metric, create_plan, current_units, subscribe
from tests.bench.latency import due_at, median, percentile
from tests.bench.load import Load, LoadGenerator, post_request
from tests.bench.measurement import BenchmarkError, Bound, Figure, Measurement, Say, Target
from tests.bench.processes import CpuWatch
from tests.bench.site import BenchSite, wait_until
from tests.bench.sizes import Sizes
from tests.bench.usage_events import SINGLE_PATH, UsageEvents
from tests.services.millrace import API_KEY, EmbeddedInstance, Instance

EVENTS_PER_SECOND = 5_000
BATCH_EVENTS = 100
PROBES_PER_SECOND = 20
CONNECTIONS = 32
LOOK_SECONDS = 0.02
"""Pause between two looks at the usage: looking must not become the load."""
SETTLE_SECONDS_MAX = 60.0
SPAN_SECONDS = 60
PROBED = "probed"
PROBE_TOKENS = 1
CLUSTER_TARGET = Target(Bound.BELOW, 2_000)
EMBEDDED_TARGET = Target(Bound.BELOW, 300)


@dataclass(frozen=True)
class Look:
    """What the usage showed at a moment (seconds of `time.perf_counter`)."""

    at: float
    units: int


def measure_visibility(sizes: Sizes, say: Say) -> Measurement:
    """Measure a cluster with one worker, then the embedded process."""
    say("cluster")
    with BenchSite() as site:
        worker = site.cluster.add_worker()
        create_plan(site.cluster, site.metric)
        watch = CpuWatch(
            {
                "ingest": site.cluster.ingest_process.process.pid,
                "worker": worker.process.pid,
                "invoicer": site.cluster.invoicer_process.process.pid,
                "clickhouse": site.clickhouse.process.pid,
                "broker": site.kafka.process.pid,
            }
        )
        cluster, events = _visible_after(site.cluster, sizes)
        spent = watch.spent()
        site.wait_until_counted(events, SETTLE_SECONDS_MAX)
    say("embedded")
    with (
        tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder,
        EmbeddedInstance(Path(folder) / "data", log_level="warning") as instance,
    ):
        create_plan(instance, create_metric(instance))
        embedded, events = _visible_after(instance, sizes)
        _check_embedded(instance, events)
    return Measurement(
        "visibility",
        "event sent → visible in current usage",
        f"{EVENTS_PER_SECOND:,} events/s in batches of {BATCH_EVENTS} on a fixed schedule; beside them "
        f"{PROBES_PER_SECOND} events a second of one subscription, whose current usage is asked for again and "
        f"again over the API. From when an event was due to be sent to the end of the first answer that shows it.",
        (
            _figure("cluster, p99", cluster, CLUSTER_TARGET),
            _figure("embedded, p99", embedded, EMBEDDED_TARGET),
        ),
        spent,
    )


def _figure(label: str, delays: Sequence[float], target: Target) -> Figure:
    return Figure(
        label,
        percentile(delays, 99) * 1000,
        "ms",
        target,
        note=f"median {median(delays) * 1000:.0f} ms of {len(delays)} events",
    )


def _visible_after(instance: Instance, sizes: Sizes) -> tuple[list[float], int]:
    """Seconds until each probe was visible, those of the warm-up left out, and how many events were sent."""
    subscribe(instance, PROBED, datetime.now(UTC).replace(microsecond=0))
    time.sleep(1)  # the subscription starts in whole seconds: no probe may lie before it
    seconds = sizes.warm_up_seconds + sizes.visibility_seconds
    background = _background(seconds)
    probes = [_probe(number) for number in range(int(seconds * PROBES_PER_SECOND))]
    results: dict[str, Load] = {}

    def send(name: str, requests: Sequence[bytes], per_second: float) -> None:
        with _generator(instance) as generator:
            results[name] = generator.at_rate(requests, per_second)

    threads = [
        threading.Thread(target=send, args=("background", background, EVENTS_PER_SECOND / BATCH_EVENTS)),
        threading.Thread(target=send, args=("probes", probes, PROBES_PER_SECOND)),
    ]
    for thread in threads:
        thread.start()
    looks = _look_until(instance, len(probes) * PROBE_TOKENS, lambda: any(each.is_alive() for each in threads))
    for thread in threads:
        thread.join()
    if results.keys() != {"background", "probes"}:
        raise BenchmarkError("not every event was acknowledged")
    sent_at = [due_at(results["probes"].started_at, number, PROBES_PER_SECOND) for number in range(len(probes))]
    delays = visible_after(sent_at, looks)[int(sizes.warm_up_seconds * PROBES_PER_SECOND) :]
    return delays, len(background) * BATCH_EVENTS + len(probes)


def visible_after(sent_at: Sequence[float], looks: Sequence[Look]) -> list[float]:
    """For each event, in the order sent, the seconds until the first look that shows so many units.

    Raises: BenchmarkError when the last look does not show them all.
    """
    delays: list[float] = []
    remaining = iter(looks)
    look = next(remaining, None)
    for number, sent in enumerate(sent_at, 1):
        while look is not None and look.units < number * PROBE_TOKENS:
            look = next(remaining, None)
        if look is None:
            raise BenchmarkError(f"event {number} of {len(sent_at)} never became visible")
        delays.append(look.at - sent)
    return delays


def _look_until(instance: Instance, units: int, is_sending: Callable[[], bool]) -> list[Look]:
    looks: list[Look] = []
    deadline = float("inf")
    while not looks or looks[-1].units < units:
        shown = int(current_units(instance, PROBED))
        now = time.perf_counter()
        looks.append(Look(now, shown))
        if not is_sending():
            deadline = min(deadline, now + SETTLE_SECONDS_MAX)
        if now > deadline:
            break
        time.sleep(LOOK_SECONDS)
    return looks


def _background(seconds: float) -> list[bytes]:
    events = UsageEvents(1, int(time.time()), SPAN_SECONDS)
    count = int(seconds * EVENTS_PER_SECOND / BATCH_EVENTS)
    return list(events.batch_requests(API_KEY, count, BATCH_EVENTS))


def _probe(number: int) -> bytes:
    """An event without a timestamp: it happens when it arrives."""
    body = (
        f'{{"event":{{"transaction_id":"probe-{number}","external_subscription_id":"{PROBED}","code":"tokens",'
        f'"properties":{{"count":{PROBE_TOKENS}}}}}}}'
    )
    return post_request(SINGLE_PATH, API_KEY, body.encode())


def _generator(instance: Instance) -> LoadGenerator:
    address = urlsplit(instance.ingest_url)
    assert address.hostname is not None
    assert address.port is not None
    return LoadGenerator(address.hostname, address.port, CONNECTIONS)


def _check_embedded(instance: EmbeddedInstance, events: int) -> None:
    """Raises: BenchmarkError unless the embedded ClickHouse holds exactly the events that were sent."""
    url = f"http://127.0.0.1:{instance.clickhouse_port}/?database=millrace&user=default"
    request = Request(
        f"{url}&password={instance.clickhouse_password}", b"SELECT count(), uniqExact(event_id) FROM events"
    )

    def counted() -> tuple[int, ...]:
        with urlopen(request, timeout=30) as answer:
            return tuple(map(int, answer.read().split()))

    wait_until(lambda: counted() == (events, events), SETTLE_SECONDS_MAX, f"{events} events are counted once")
