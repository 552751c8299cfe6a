"""What the aggregator tells about itself, on a registry that is handed in."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from schemas.events import Event

_FLUSH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_EVENT_LATENCY_SECONDS = (*_LATENCY_SECONDS, 21_600, 86_400, 604_800, 2_592_000)
"""An event may be sent a month after it happened."""
LATENCY_SAMPLES_MAX = 256
"""Events of a batch whose latency is looked at: all of a small one; 0.1 % of what a batch of 50,000 costs."""
_INSERT_ROWS = (1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000)


class AggregatorMetrics:
    """The figures of one process; `now` gives seconds since the epoch on the clock that events arrive by."""

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time) -> None:
        self._now = now
        self.stored = Counter("millrace_events_stored", "Events inserted into ClickHouse.", registry=registry)
        self.duplicates = Counter(
            "millrace_events_duplicate", "Events that were counted before.", ["outcome"], registry=registry
        )
        self.dead_letters = Counter(
            "millrace_dead_letters", "Lines that can never be counted.", ["code"], registry=registry
        )
        self.unevaluated = Counter(
            "millrace_events_unevaluated", "Events stored before their metric existed.", registry=registry
        )
        self.retries = Counter(
            "millrace_insert_retries", "Syncs and inserts that had to be repeated.", registry=registry
        )
        self.synced = Counter("millrace_index_synced", "Index entries fetched from ClickHouse.", registry=registry)
        self.flush_seconds = Histogram(
            "millrace_flush_seconds",
            "From a prepared batch to its checkpoint.",
            buckets=_FLUSH_SECONDS,
            registry=registry,
        )
        self.insert_rows = Histogram(
            "millrace_insert_rows", "Rows of an insert.", buckets=_INSERT_ROWS, registry=registry
        )
        self.received_to_stored_seconds = WeightedHistogram(
            "millrace_received_to_stored_seconds",
            "From an event's ingested_at to the end of its insert.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.event_to_stored_seconds = WeightedHistogram(
            "millrace_event_to_stored_seconds",
            "From an event's timestamp to the end of its insert.",
            buckets=_EVENT_LATENCY_SECONDS,
            registry=registry,
        )
        self.swept = Counter(
            "millrace_index_swept", "Index entries deleted behind the retention.", registry=registry
        )
        self.asked = Counter(
            "millrace_index_asked",
            "Events looked up in ClickHouse, since the index may have dropped their first copy.",
            registry=registry,
        )
        self.index_entries = Gauge("millrace_index_entries", "Events the index knows.", registry=registry)
        self.index_bytes = Gauge(
            "millrace_index_bytes", "Bytes of the index's file, in use or free for reuse.", registry=registry
        )
        self.next_offset = Gauge(
            "millrace_partition_next_offset", "Next offset to be counted.", ["partition"], registry=registry
        )

    def show_index(self, *, entries: int, file_bytes: int) -> None:
        """Show how large the index is."""
        self.index_entries.set(entries)
        self.index_bytes.set(file_bytes)

    def observe_latencies(self, events: Sequence[Event]) -> None:
        """Count the latencies of events that were just stored.

        Of more than `LATENCY_SAMPLES_MAX`, evenly spaced ones stand for their neighbours, so that the counts are
        those of all events.
        """
        now = self._now()
        for first, weight in spaced(len(events), LATENCY_SAMPLES_MAX):
            event = events[first]
            self.received_to_stored_seconds.observe(now - event.ingested_at_us / 1_000_000, weight)
            self.event_to_stored_seconds.observe(now - event.timestamp_us / 1_000_000, weight)


def spaced(count: int, samples_max: int) -> Iterator[tuple[int, int]]:
    """Indices below `count`, evenly spaced, each with how many it stands for; together `count`."""
    step = max(-(-count // samples_max), 1)
    for first in range(0, count, step):
        yield first, min(step, count - first)


class WeightedHistogram(Collector):
    """A histogram that takes an observation for many; observed by one thread, read by any."""

    def __init__(
        self, name: str, documentation: str, *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, seconds: float, weight: int = 1) -> None:
        """Count `weight` observations of a latency; a negative one, from clocks that differ, counts as 0."""
        seconds = max(seconds, 0.0)
        with self._lock:
            self._counts[bisect_left(self._bounds, seconds)] += weight
            self._sum += seconds * weight

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The name, for the registry."""
        return [HistogramMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Cumulative counts, as Prometheus has them."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        reached = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(float, self._bounds), float("inf")), counts, strict=True):
            reached += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), reached))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=total)


class LagMetrics:
    """How far counting is behind the stream."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._partitions = Gauge(
            "millrace_partition_lag",
            "Records of a partition that are not counted yet: its end minus the committed offset.",
            ["partition"],
            registry=registry,
        )
        self._total = Gauge(
            "millrace_uncounted_records",
            "Records of all partitions that are not counted yet; NaN until the brokers have answered.",
            registry=registry,
        )
        self._total.set(float("nan"))

    def show(self, lag: Mapping[int, int]) -> None:
        """Show the lag of every partition."""
        for partition, records in lag.items():
            self._partitions.labels(str(partition)).set(records)
        self._total.set(sum(lag.values()))


class ReconcilerMetrics:
    """What the reconciler of one process found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.difference = Gauge(
            "millrace_reconcile_difference",
            "Duplicates and projected totals that the last checks left unsettled; must be 0.",
            registry=registry,
        )
        self.repaired = Counter(
            "millrace_reconcile_repaired", "Rows removed because their event was stored before.", registry=registry
        )
        self.last_run = Gauge(
            "millrace_reconcile_last_run_timestamp_seconds",
            "Everything stored before it has been looked at.",
            registry=registry,
        )
