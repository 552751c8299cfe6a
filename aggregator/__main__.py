"""`python -m aggregator`: one worker of a cluster; as many as there are partitions share the work."""

from collections.abc import Callable
from time import sleep
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry

from aggregator.agents import AggregatorWorker
from aggregator.catalog_source import catalog_loader, open_catalog_engine
from aggregator.clickhouse import ClickHouse, connect_server, create_tables
from aggregator.dead_letter_limits import DeadLetterLimits
from aggregator.evaluation import MetricLookup
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex, IndexInUse
from aggregator.kafka import DeadLetterProducer, KafkaOffsets, TopicCreator
from aggregator.observability import AggregatorMetrics, LagMetrics
from aggregator.pipeline import Pipeline
from aggregator.record_counter import RecordCounter
from aggregator.status import StatusServer, WorkerState
from aggregator.watermark import LagWatch, StreamWatermarkGate
from schemas.catalog import CatalogCache
from schemas.clock import SystemClock
from schemas.errors import TransientError
from schemas.log_setup import configure_logging
from schemas.settings import Settings, settings_or_exit
from schemas.topics import topics

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 10.0
INTERRUPTED = 128 + 2
"""Exit code of a process that SIGINT ended, as shells have it."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


def main() -> None:
    """Wait for the services, then consume until a signal ends it."""
    settings = settings_or_exit()
    configure_logging(settings)
    registry = CollectorRegistry()
    lag_watch = _lag_watch(settings, registry)
    status = _open_status(settings, registry, lag_watch)
    status.start()
    clickhouse = _until_there(status, WorkerState.WAITING_FOR_CLICKHOUSE, lambda: _open_clickhouse(settings))
    creator = TopicCreator(settings.kafka_bootstrap_servers)
    _until_there(status, WorkerState.WAITING_FOR_KAFKA, lambda: _create_topics(creator, settings))
    worker = AggregatorWorker(settings, _counter(settings, clickhouse, registry), status)
    lag_watch.start()
    worker.run()


def _open_status(settings: Settings, registry: CollectorRegistry, lag_watch: LagWatch) -> StatusServer:
    try:
        return StatusServer(settings.host, settings.metrics_port, registry, lag_watch)
    except OSError as error:  # most often a second worker of the same machine
        address = f"{settings.host}:{settings.metrics_port}"
        raise SystemExit(
            f"cannot listen on {address}: {error.strerror}; MILLRACE_METRICS_PORT chooses another port"
        ) from None


def _lag_watch(settings: Settings, registry: CollectorRegistry) -> LagWatch:
    """Of all partitions, also those of other workers: one that nobody works on is what has to be seen."""
    offsets = KafkaOffsets(
        settings.kafka_bootstrap_servers, settings.usage_events_topic, settings.aggregator_group
    )
    return LagWatch(StreamWatermarkGate(offsets).lag, LagMetrics(registry).show, SystemClock().now)


def _counter(settings: Settings, clickhouse: ClickHouse, registry: CollectorRegistry) -> RecordCounter:
    observed = AggregatorMetrics(registry)
    catalog = CatalogCache(catalog_loader(open_catalog_engine(settings.database_url)))
    pipeline = Pipeline(
        EventStore(clickhouse),
        _open_index(settings),
        MetricLookup(catalog, settings.catalog_refresh_seconds),
        observed,
    )
    dead_letters = DeadLetterProducer(settings.kafka_bootstrap_servers, settings.dead_letter_topic)
    limits = DeadLetterLimits(run_max=settings.dead_letter_run_max, ratio_max=settings.dead_letter_ratio_max)
    return RecordCounter(pipeline, dead_letters.send, limits, observed)


def _open_index(settings: Settings) -> DedupIndex:
    try:
        return DedupIndex(settings.index_dir, retention_days=settings.index_retention_days)
    except IndexInUse as error:
        raise SystemExit(f"{error}; MILLRACE_INDEX_DIR chooses another folder") from None


def _open_clickhouse(settings: Settings) -> ClickHouse:
    clickhouse = connect_server(settings.clickhouse_url)
    create_tables(clickhouse, durable=False)
    return clickhouse


def _create_topics(creator: TopicCreator, settings: Settings) -> None:
    creator.create_missing(
        topics(settings.usage_events_topic, settings.dead_letter_topic, settings.usage_events_partitions),
        replication_factor=settings.kafka_replication_factor,
    )


def _until_there(status: StatusServer, state: WorkerState, attempt: Callable[[], T]) -> T:
    """Try until a service is there; `/health` says what is waited for, and why."""
    status.change(state)
    pause = RETRY_SECONDS_MIN
    while True:
        try:
            return attempt()
        except TransientError as error:
            status.change(state, error.reason)
            _log.warning("waiting for a service", state=state.value, reason=error.reason, seconds=pause)
            sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # while it waits for a service; later the signal is heard
        raise SystemExit(INTERRUPTED) from None
