"""Everything in one process: the only file that knows every package.

ingest hands its micro-batches straight to the aggregator's pipeline, ClickHouse is chDB inside this process, the
catalog is SQLite. A request for an event is answered when the event is counted and on disk.
"""

import asyncio
import fcntl
import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import chdb
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from aggregator.arrivals import ClickHouseArrivalReader
from aggregator.clickhouse import EMBEDDED_DATABASE, ClickHouse, connect_embedded, create_tables
from aggregator.clickhouse_http import ClickHouseHttpServer
from aggregator.clickhouse_http import create_app as create_clickhouse_app
from aggregator.evaluation import MetricLookup
from aggregator.event_log import ClickHouseEventReader
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.local_log import LocalLog
from aggregator.observability import AggregatorMetrics, LagMetrics, ReconcilerMetrics
from aggregator.pipeline import Pipeline
from aggregator.reconciler import Reconciler
from aggregator.usage import ClickHouseUsageReader
from aggregator.watermark import LagWatch, NothingPending
from ingest.app import IngestApp
from ingest.app import create_app as create_ingest_app
from ingest.catalog_source import snapshot_loader
from ingest.endpoint import is_events_route
from ingest.in_process_publisher import InProcessPublisher
from ingest.metrics import IngestMetrics
from ingest.window import DedupWindow
from invoicer.api.app import create_app as create_api
from invoicer.catalog.bootstrap import ensure_organization
from invoicer.context import Context
from invoicer.db.migrate import upgrade
from invoicer.db.session import open_engine, session_factory, transaction
from invoicer.jobs.job_metrics import JobMetrics
from invoicer.jobs.late_event_metrics import LateEventMetrics
from invoicer.jobs.reconcile_loop import ReconcileLoop
from invoicer.jobs.scheduler import Scheduler
from schemas.catalog import CatalogCache
from schemas.clock import open_clock
from schemas.log_setup import configure_logging
from schemas.settings import Settings

LOOPBACK = "127.0.0.1"
START_SECONDS_MAX = 60
CHECK_SECONDS_MAX = 5
SHUTDOWN_SECONDS_MAX = 5
"""How long the end waits for requests in flight: a client that never finishes its own would hold it for ever."""


class DataDirectoryInUseError(RuntimeError):
    """Another process works in the data directory."""


class DataDirectoryUnusableError(RuntimeError):
    """The data directory cannot be made, or not be written to."""


class CannotListenError(RuntimeError):
    """A port is taken, or the address is not this machine's."""


class EmbeddedMillrace:
    """One running instance; enter it to start, leave it to stop. One per process, since chDB is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
        self._stack = ExitStack()
        self._stopped = threading.Event()
        self._clock = open_clock(settings.test_clock)

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://{self.settings.host}:{self._server.port}"

    @property
    def clickhouse_url(self) -> str:
        """The ClickHouse HTTP interface."""
        return f"http://{LOOPBACK}:{self._clickhouse_server.port}/?database={EMBEDDED_DATABASE}"

    @property
    def clickhouse_account(self) -> str:
        """User and password of the ClickHouse HTTP interface, as curl takes them."""
        return f"{self.settings.clickhouse_http_user}:{self._clickhouse_password}"

    def addresses(self) -> tuple[str, ...]:
        """Where to look, a line each."""
        return (
            f"API         {self.url}/api/v1",
            f"            Authorization: Bearer {self.api_key}",
            f"Docs        {self.url}/docs",
            f"Health      {self.url}/health",
            f"ClickHouse  {self.clickhouse_url}",
            f"            account {self.clickhouse_account}",
        )

    def now(self) -> datetime:
        """What its clock says."""
        return self._clock.now()

    def wait(self) -> None:
        """Return when SIGINT or SIGTERM asked this process to end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopped.set())
        self._stopped.wait()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        configure_logging(self.settings)
        data_dir = self.settings.data_dir
        self._stack.callback(_lock(_made(data_dir) / "lock").close)
        self.api_key = _kept_secret(data_dir / "api_key", self.settings.api_key)
        self._clickhouse_password = _kept_secret(
            data_dir / "clickhouse_password", self.settings.clickhouse_http_password
        )
        clickhouse = self._open_clickhouse()
        registry = CollectorRegistry()
        reconciler = self._build_reconciler(clickhouse, registry)
        context = self._open_context(clickhouse, reconciler)
        ingest, publisher = self._build_ingest(clickhouse, registry)
        scheduler = Scheduler(context, JobMetrics(registry))
        registry.register(LateEventMetrics(context.sessions))
        checks: dict[str, Callable[[], object]] = {
            "clickhouse": lambda: clickhouse.command("SELECT 1"),
            "publisher": lambda: self._server.run(publisher.check()),
            "scheduler": scheduler.check,
        }
        lag_watch = LagWatch(NothingPending().lag, LagMetrics(registry).show, self._clock.now)
        lag_watch.look()  # once: an accepted event is a counted one, always
        api = create_api(context, registry=registry, checks=checks, tell_lag=lag_watch.told)
        self._server = self._stack.enter_context(
            HttpServer(EmbeddedApp(ingest, api), self.settings.host, self.settings.port)
        )
        self._clickhouse_server = self._serve_clickhouse(data_dir / "clickhouse")
        scheduler.start()
        self._stack.callback(scheduler.stop)
        loop = ReconcileLoop(reconciler.look, seconds=self.settings.reconcile_seconds)
        loop.start()
        self._stack.callback(loop.stop)

    def _open_clickhouse(self) -> ClickHouse:
        clickhouse = connect_embedded(self.settings.data_dir / "clickhouse")
        self._stack.callback(clickhouse.close)
        create_tables(clickhouse, durable=True)
        return clickhouse

    def _build_reconciler(self, clickhouse: ClickHouse, registry: CollectorRegistry) -> Reconciler:
        return Reconciler(
            clickhouse,
            ReconcilerMetrics(registry),
            turn=nullcontext,  # the data directory is this process's own
            lookback_seconds=self.settings.reconcile_lookback_seconds,
        )

    def _open_context(self, clickhouse: ClickHouse, reconciler: Reconciler) -> Context:
        self._engine = open_engine(f"sqlite:///{self.settings.data_dir / 'catalog.sqlite'}")
        self._stack.callback(self._engine.dispose)
        upgrade(self._engine)
        sessions = session_factory(self._engine)
        with transaction(sessions) as session:
            ensure_organization(session, self.settings, self._clock.now(), self.api_key)
        return Context(
            sessions=sessions,
            clock=self._clock,
            usage=ClickHouseUsageReader(clickhouse),
            events=ClickHouseEventReader(clickhouse),
            stored=ClickHouseArrivalReader(clickhouse),
            gate=NothingPending(),
            auditor=reconciler,
            settings=self.settings,
        )

    def _build_ingest(
        self, clickhouse: ClickHouse, registry: CollectorRegistry
    ) -> tuple[IngestApp, InProcessPublisher]:
        settings = self.settings
        catalog = CatalogCache(snapshot_loader(self._engine))
        index = DedupIndex(settings.data_dir / "index", retention_days=settings.index_retention_days)
        self._stack.callback(index.close)
        store = EventStore(clickhouse)
        lookup = MetricLookup(catalog, settings.catalog_refresh_seconds)
        observed = AggregatorMetrics(registry, now=lambda: self._clock.now().timestamp())
        pipeline = Pipeline(store, index, lookup, observed)
        publisher = InProcessPublisher(LocalLog(pipeline, store).process, linger_ms=settings.pack_linger_ms)
        app = create_ingest_app(
            catalog=catalog,
            publisher=publisher,
            window=DedupWindow(events_max=settings.dedup_window_events, seconds_max=settings.dedup_window_seconds),
            clock=self._clock,
            settings=settings,
            metrics=IngestMetrics(registry),
        )
        return app, publisher

    def _serve_clickhouse(self, path: Path) -> ClickHouseHttpServer:
        app = create_clickhouse_app(
            lambda: chdb.connect(str(path)),
            user=self.settings.clickhouse_http_user,
            password=self._clickhouse_password,
            writable=self.settings.clickhouse_http_writable,
        )
        port = self.settings.clickhouse_http_port
        try:
            server = ClickHouseHttpServer(app, port=port)
        except OSError as error:
            raise CannotListenError(
                f"cannot listen on {LOOPBACK}:{port}: {error.strerror}; --clickhouse-http-port 0 takes a free one"
            ) from error
        server.start()
        self._stack.callback(server.stop)
        return server


class EmbeddedApp:
    """The two event routes and the life of their publisher to ingest, everything else to the REST API."""

    def __init__(self, ingest: IngestApp, api: Any) -> None:
        self._ingest = ingest
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or is_events_route(scope):
            await self._ingest(scope, receive, send)
        else:
            await self._api(scope, receive, send)


class HttpServer:
    """uvicorn in a thread of its own; entered, it answers requests."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """The port it listens on, also when it was told to take a free one."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    def run(self, coroutine: Any) -> None:
        """Run a coroutine on the server's loop and wait for it."""
        assert self._loop is not None, "the server is entered before anybody asks"
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CHECK_SECONDS_MAX)

    def __enter__(self) -> Self:
        self._thread.start()
        for _ in range(START_SECONDS_MAX * 100):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            self._thread.join(0.01)
        raise CannotListenError(f"cannot listen on {self._server.config.host}:{self._server.config.port}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_SECONDS_MAX)

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except SystemExit:  # uvicorn's way to say that it cannot bind; the starter notices the dead thread
            return

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve()


def _made(data_dir: Path) -> Path:
    """The data directory, made where it was missing.

    Raises: DataDirectoryUnusableError when it cannot be, or cannot be written to.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "lock").touch()
    except OSError as error:
        raise DataDirectoryUnusableError(f"cannot keep data in {data_dir}: {error.strerror}") from error
    return data_dir


def _lock(path: Path) -> IO[str]:
    """Hold the data directory for this process; the lock goes with the process, however it ends.

    Raises: DataDirectoryInUseError when another process holds it.
    """
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise DataDirectoryInUseError(f"another Millrace works in {path.parent}") from None
    return file


def _kept_secret(path: Path, given: Any) -> str:
    """The secret that was given, else the one kept in `path`: made on the first start, for its owner only."""
    if given is not None:
        value: str = given.get_secret_value()
        return value
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text().strip()
