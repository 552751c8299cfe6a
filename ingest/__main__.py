"""`python -m ingest`: the ingest process of a cluster.

One process, one event loop; more throughput is more processes. SIGTERM and SIGINT stop it in order: requests in
flight are answered, gathered events are sent.
"""

import asyncio
import gc
import signal

import structlog
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine

from ingest.app import IngestApp, create_app
from ingest.catalog_source import snapshot_loader
from ingest.kafka_publisher import KafkaPublisher
from ingest.metrics import IngestMetrics
from ingest.window import DedupWindow
from schemas.catalog import CatalogCache
from schemas.clock import SystemClock
from schemas.database import driver_options
from schemas.log_setup import configure_logging
from schemas.settings import Settings, settings_or_exit

CONNECTIONS_MAX = 4_096
"""Connections that may wait to be accepted."""
SHUTDOWN_SECONDS_MAX = 5
"""How long the end waits for requests in flight: a client that never finishes its own would hold it for ever."""

_log = structlog.get_logger(__name__)


def main() -> None:
    """Run until a signal ends it."""
    settings = settings_or_exit()
    configure_logging(settings)
    uvloop.run(serve(cluster_app(settings), settings))


def cluster_app(settings: Settings) -> IngestApp:
    """The application on Kafka and the catalog database; neither needs to be there yet."""
    metrics = IngestMetrics(CollectorRegistry())
    engine = create_engine(
        settings.database_url,
        pool_pre_ping=True,
        pool_size=1,
        max_overflow=1,
        connect_args=driver_options(settings.database_url),
    )
    return create_app(
        catalog=CatalogCache(snapshot_loader(engine)),
        publisher=KafkaPublisher(settings, observe_pack=metrics.observe_pack),
        window=DedupWindow(events_max=settings.dedup_window_events, seconds_max=settings.dedup_window_seconds),
        clock=SystemClock(),
        settings=settings,
        metrics=metrics,
    )


async def serve(app: IngestApp, settings: Settings) -> None:
    """Answer requests on the configured address until SIGTERM or SIGINT, and those in flight 5 s longer."""
    server = Server(
        app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=CONNECTIONS_MAX,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as bound:

            def stop() -> None:
                server.stop()
                if bound.when() is None:  # a second signal changes nothing
                    bound.reschedule(loop.time() + SHUTDOWN_SECONDS_MAX)

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop)
            # What exists now stays, and the window will hold a million ids: no cycles to look for among them.
            gc.freeze()
            _log.info("ingest_serving", host=settings.host, port=settings.port)
            await server.serve()
    except TimeoutError:
        # Only requests without an answer are left: nothing of them was acknowledged.
        _log.warning("ingest_cut_off", seconds=SHUTDOWN_SECONDS_MAX)


if __name__ == "__main__":
    main()
