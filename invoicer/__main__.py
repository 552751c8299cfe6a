"""`python -m invoicer`: the invoicer process of a cluster. Several may run: they share the work by row locks."""

import gc
import secrets
import signal
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, select, text

from aggregator.arrivals import ClickHouseArrivalReader
from aggregator.clickhouse import ClickHouse, connect_server, create_tables
from aggregator.event_log import ClickHouseEventReader
from aggregator.kafka import KafkaOffsets
from aggregator.observability import LagMetrics, ReconcilerMetrics
from aggregator.reconciler import Reconciler
from aggregator.usage import ClickHouseUsageReader
from aggregator.watermark import LagWatch, StreamWatermarkGate
from invoicer.api.app import create_app
from invoicer.catalog.bootstrap import ensure_organization
from invoicer.context import Context
from invoicer.db import ApiKey
from invoicer.db.migrate import upgrade
from invoicer.db.reconciling_turn import reconciling_turn
from invoicer.db.session import SessionFactory, open_engine, session_factory, transaction
from invoicer.jobs.job_metrics import JobMetrics
from invoicer.jobs.late_event_metrics import LateEventMetrics
from invoicer.jobs.reconcile_loop import ReconcileLoop
from invoicer.jobs.scheduler import Scheduler
from schemas.clock import Clock, SystemClock, open_clock
from schemas.errors import TransientError
from schemas.log_setup import configure_logging
from schemas.settings import Settings, settings_or_exit

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 10.0
INTERRUPTED = 128 + 2
"""Exit code of a process that SIGINT ended, as shells have it."""
SHUTDOWN_SECONDS_MAX = 5
"""How long the end waits for requests in flight: a client that never finishes its own would hold it for ever."""
GARBAGE_THRESHOLDS = (20_000, 50, 100)
"""A batch of invoices is some 10^4 rows that refer to each other: at Python's defaults, searching them for garbage
took a quarter of the CPU time of closing a period."""
_BOOTSTRAP_LOCK = 0x6D696C6C626F6F74
"""PostgreSQL advisory lock: "millboot" in ASCII."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


def main() -> None:
    """Wait for the services, then answer requests and do due work until a signal ends it."""
    settings = settings_or_exit()
    configure_logging(settings)
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    clock = open_clock(settings.test_clock)
    engine = open_engine(settings.database_url)
    sessions = session_factory(engine)
    _until_there(lambda: _prepare_database(engine, sessions, settings, clock))
    clickhouse = _until_there(lambda: _open_clickhouse(settings))
    registry = CollectorRegistry()
    reconciler = Reconciler(
        clickhouse,
        ReconcilerMetrics(registry),
        turn=reconciling_turn(sessions),
        lookback_seconds=settings.reconcile_lookback_seconds,
    )
    gate = StreamWatermarkGate(
        KafkaOffsets(settings.kafka_bootstrap_servers, settings.usage_events_topic, settings.aggregator_group)
    )
    context = Context(
        sessions=sessions,
        clock=clock,
        usage=ClickHouseUsageReader(clickhouse),
        events=ClickHouseEventReader(clickhouse),
        stored=ClickHouseArrivalReader(clickhouse),
        gate=gate,
        auditor=reconciler,
        settings=settings,
    )
    loop = ReconcileLoop(reconciler.look, seconds=settings.reconcile_seconds)
    loop.start()
    lag_watch = LagWatch(gate.lag, LagMetrics(registry).show, SystemClock().now)
    lag_watch.start()
    try:
        serve(context, clickhouse, registry, lag_watch)
    finally:
        lag_watch.stop()
        loop.stop()


def serve(context: Context, clickhouse: ClickHouse, registry: CollectorRegistry, lag_watch: LagWatch) -> None:
    """Answer requests with the scheduler running; both stop in order on SIGTERM and SIGINT."""
    scheduler = Scheduler(context, JobMetrics(registry))
    registry.register(LateEventMetrics(context.sessions))
    checks: dict[str, Callable[[], object]] = {
        "clickhouse": lambda: clickhouse.command("SELECT 1"),
        "kafka": context.gate.mark,
        "scheduler": scheduler.check,
    }
    app = create_app(context, registry=registry, checks=checks, tell_lag=lag_watch.told)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises them again when it has ended; unheard, so that the scheduler is stopped too.
        signal.signal(number, lambda *_: None)
    scheduler.start()
    try:
        uvicorn.run(
            app,
            host=context.settings.host,
            port=context.settings.port,
            log_config=None,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
        )
    finally:
        scheduler.stop()


def _prepare_database(engine: Engine, sessions: SessionFactory, settings: Settings, clock: Clock) -> None:
    with transaction(sessions, reads_only=True) as session:
        session.execute(text("SELECT 1"))  # is it there? Then the upgrade's own errors are not of the moment
    upgrade(engine)
    with transaction(sessions) as session:
        if engine.dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _BOOTSTRAP_LOCK})
        key = settings.api_key.get_secret_value() if settings.api_key else None
        if key is None and session.scalar(select(ApiKey.id).limit(1)) is not None:
            return
        ensure_organization(session, settings, clock.now(), key or _make_key())


def _make_key() -> str:
    """A key for an empty database; it is shown this once, since only its hash is kept."""
    key = secrets.token_urlsafe(32)
    _log.warning("api_key_made", api_key=key)
    return key


def _open_clickhouse(settings: Settings) -> ClickHouse:
    clickhouse = connect_server(settings.clickhouse_url)
    create_tables(clickhouse, durable=False)
    return clickhouse


def _until_there(attempt: Callable[[], T]) -> T:
    """Try until a service is there."""
    pause = RETRY_SECONDS_MIN
    while True:
        try:
            return attempt()
        except TransientError as error:
            _log.warning("waiting for a service", service=error.service, reason=error.reason, seconds=pause)
            time.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # while it waits for a service; later the signal is heard
        raise SystemExit(INTERRUPTED) from None
