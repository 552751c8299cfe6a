"""What the aggregator tells about itself, on a registry that is handed in."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FLUSH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_INSERT_ROWS = (1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000)


class AggregatorMetrics:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
            "From a gathered batch to its checkpoint.",
            buckets=_FLUSH_SECONDS,
            registry=registry,
        )
        self.insert_rows = Histogram(
            "millrace_insert_rows", "Rows of an insert.", buckets=_INSERT_ROWS, registry=registry
        )
        self.received_to_stored_seconds = Histogram(
            "millrace_received_to_stored_seconds",
            "From the arrival of a batch's oldest event to its insert.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.next_offset = Gauge(
            "millrace_partition_next_offset", "Next offset to be counted.", ["partition"], registry=registry
        )


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
