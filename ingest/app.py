"""The ingest process as one ASGI application: the two event routes, `/health` and `/metrics`."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ingest.endpoint import EventsEndpoint, is_events_route
from ingest.http import Answer, Receive, Scope, Send, json_answer, refusal, send_answer
from ingest.intake import EventIntake
from ingest.live_catalog import LiveCatalog
from ingest.metrics import IngestMetrics
from ingest.window import DedupWindow
from schemas.catalog import CatalogCache
from schemas.clock import Clock
from schemas.errors import NotFound, TransientError
from schemas.publishing import EventPublisher
from schemas.settings import Settings


class IngestApp:
    """Routes requests, and starts and stops what they need with the server (ASGI lifespan)."""

    def __init__(
        self, events: EventsEndpoint, catalog: LiveCatalog, publisher: EventPublisher, metrics: IngestMetrics
    ) -> None:
        self._events = events
        self._catalog = catalog
        self._publisher = publisher
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif is_events_route(scope):
            await self._events(scope, receive, send)
        elif scope["type"] == "http":
            await send_answer(send, await self._answer(scope))

    async def _answer(self, scope: Scope) -> Answer:
        match scope["method"], scope["path"].removesuffix("/"):
            case (("GET" | "HEAD"), "/health"):
                return await self._health()
            case "GET", "/metrics":
                return Answer(200, generate_latest(self._metrics.registry), CONTENT_TYPE_LATEST.encode())
            case _:
                return refusal(NotFound("resource"))

    async def _health(self) -> Answer:
        """200 when events can be taken now; else 503. Either way each part says how it is."""
        parts = {"catalog": self._catalog.refresh(), "publisher": self._publisher.check()}
        results = await asyncio.gather(*parts.values(), return_exceptions=True)
        state = {name: _state(result) for name, result in zip(parts, results, strict=True)}
        healthy = all(result is None for result in results)
        return json_answer(200 if healthy else 503, {"status": "ok" if healthy else "unavailable", **state})

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._catalog.start()
        await self._publisher.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._publisher.stop()
        await self._catalog.stop()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    *,
    catalog: CatalogCache,
    publisher: EventPublisher,
    window: DedupWindow,
    clock: Clock,
    settings: Settings,
    metrics: IngestMetrics,
) -> IngestApp:
    """Wire the ingest process; nothing is started before the server says so."""
    live = LiveCatalog(catalog, refresh_seconds=settings.catalog_refresh_seconds)
    intake = EventIntake(window, publisher)
    events = EventsEndpoint(catalog=live, intake=intake, clock=clock, settings=settings, metrics=metrics)
    return IngestApp(events, live, publisher, metrics)


def _state(result: BaseException | None) -> str:
    if result is None:
        return "ok"
    return result.reason if isinstance(result, TransientError) else "failed"
