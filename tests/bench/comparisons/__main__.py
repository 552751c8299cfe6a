"""`python -m tests.bench.comparisons NAME`: serve one of the comparisons as `python -m ingest` serves ingest."""

from __future__ import annotations

import argparse
from typing import Any, assert_never

import uvloop
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine

from ingest.__main__ import serve
from ingest.app import create_app
from ingest.catalog_source import snapshot_loader
from ingest.kafka_publisher import KafkaPublisher
from ingest.live_catalog import LiveCatalog
from ingest.metrics import IngestMetrics
from ingest.window import DedupWindow
from schemas.catalog import CatalogCache
from schemas.clock import SystemClock
from schemas.log_setup import configure_logging
from schemas.publishing import EventPublisher
from schemas.settings import Settings
from tests.bench.comparisons import ComparisonName
from tests.bench.comparisons.fastapi_handler import fastapi_app
from tests.bench.comparisons.postgres_unique import PostgresUnique
from tests.bench.comparisons.redis_dedup import RedisDedup
from tests.services.postgres import as_libpq


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", type=ComparisonName)
    parser.add_argument("--redis-port", type=int, default=6379)
    options = parser.parse_args()
    settings = Settings()
    configure_logging(settings)
    uvloop.run(serve(comparison_app(options.name, settings, options.redis_port), settings))


def comparison_app(name: ComparisonName, settings: Settings, redis_port: int) -> Any:
    """The ASGI application of a comparison."""
    metrics = IngestMetrics(CollectorRegistry())
    catalog = CatalogCache(snapshot_loader(create_engine(settings.database_url)))
    kafka = KafkaPublisher(settings, observe_pack=metrics.observe_pack)
    if name is ComparisonName.FASTAPI:
        live = LiveCatalog(catalog, refresh_seconds=settings.catalog_refresh_seconds)
        return fastapi_app(live, kafka, SystemClock())
    return create_app(
        catalog=catalog,
        publisher=_publisher(name, settings, kafka, redis_port),
        window=DedupWindow(events_max=0, seconds_max=0),  # repeats are found elsewhere
        clock=SystemClock(),
        settings=settings,
        metrics=metrics,
    )


def _publisher(name: ComparisonName, settings: Settings, kafka: KafkaPublisher, redis_port: int) -> EventPublisher:
    match name:
        case ComparisonName.REDIS_ONE_BY_ONE | ComparisonName.REDIS_PIPELINED:
            return RedisDedup(kafka, redis_port, pipelined=name is ComparisonName.REDIS_PIPELINED)
        case ComparisonName.POSTGRES_ONE_BY_ONE | ComparisonName.POSTGRES_BATCH:
            one_by_one = name is ComparisonName.POSTGRES_ONE_BY_ONE
            return PostgresUnique(as_libpq(settings.database_url), statement_per_event=one_by_one)
        case ComparisonName.FASTAPI:
            return kafka
        case _:
            assert_never(name)


if __name__ == "__main__":
    main()
