"""Builders of the ingest tests, valid by default, and the publisher that remembers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from prometheus_client import CollectorRegistry

from ingest.app import IngestApp, create_app
from ingest.metrics import IngestMetrics
from ingest.window import DedupWindow
from schemas.catalog import CatalogCache, CatalogSnapshot, hash_api_key
from schemas.clock import MovableClock
from schemas.errors import TransientError
from schemas.events import Event, Outcome, make_event
from schemas.metrics import AggregationType, MetricDefinition
from schemas.publishing import EventPublisher
from schemas.settings import Settings

API_KEY = "key-of-acme"
ORGANIZATION = "8a3b1c9e-0000-4000-8000-000000000001"
NOW = datetime(2026, 8, 21, 10, 0, 0, tzinfo=UTC)
NOW_SECONDS = 1_787_306_400

JsonObject = dict[str, object]


def metric(code: str, **changes: object) -> MetricDefinition:
    """A sum over `value`, unless changed."""
    fields: JsonObject = {
        "id": f"metric-{code}",
        "organization_id": ORGANIZATION,
        "code": code,
        "aggregation_type": AggregationType.SUM,
        "field_name": "value",
    }
    return MetricDefinition(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


METRICS = (
    metric("tokens"),
    metric("requests", aggregation_type=AggregationType.COUNT, field_name=None),
    metric("users", aggregation_type=AggregationType.UNIQUE_COUNT, field_name="user"),
    metric("megabytes", expression="event.properties.bytes / 1000"),
)


def snapshot(
    version: int = 1, metrics: Sequence[MetricDefinition] = METRICS, *, api_key: str = API_KEY
) -> CatalogSnapshot:
    """A catalog in which `api_key` belongs to `ORGANIZATION`."""
    return CatalogSnapshot(version=version, api_keys={hash_api_key(api_key): ORGANIZATION}, metrics=tuple(metrics))


class CatalogRow:
    """What the catalog database holds; unreachable while `snapshot` is None. Counts how often it is asked."""

    def __init__(self, stored: CatalogSnapshot | None) -> None:
        self.snapshot = stored
        self.loads = 0

    def load(self, known_version: int) -> CatalogSnapshot | None:
        self.loads += 1
        if self.snapshot is None:
            raise TransientError("database", "connection refused")
        return self.snapshot if self.snapshot.version > known_version else None


class RecordingPublisher:
    """Accepts and remembers; refuses the first `refusals` calls; waits for `gate` where there is one."""

    def __init__(self, *, refusals: int = 0, gate: asyncio.Event | None = None) -> None:
        self.refusals = refusals
        self.gate = gate
        self.calls: list[list[Event]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.is_running = False

    @property
    def transaction_ids(self) -> list[str]:
        """The transaction ids that were published, in order."""
        return [event.transaction_id for events in self.calls for event in events]

    async def start(self) -> None:
        self.is_running = True

    async def stop(self) -> None:
        self.is_running = False

    async def check(self) -> None:
        if self.refusals:
            raise TransientError("kafka", "broker away")

    async def publish(self, events: Sequence[Event]) -> Sequence[Outcome]:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.refusals:
            self.refusals -= 1
            raise TransientError("kafka", "broker away")
        self.calls.append(list(events))
        return [self.outcomes.get(event.transaction_id, Outcome.ACCEPTED) for event in events]


@dataclass
class Ingest:
    """The application under test and the fakes around it."""

    app: IngestApp
    publisher: RecordingPublisher
    row: CatalogRow
    clock: MovableClock

    def client(self, api_key: str | None = API_KEY) -> httpx.AsyncClient:
        """A client of the application; without a key it sends no Authorization header."""
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url="http://ingest", headers=headers
        )

    async def post(
        self, body: object, path: str = "/api/v1/events", api_key: str | None = API_KEY
    ) -> httpx.Response:
        """POST `body`: bytes as they are, anything else as JSON."""
        async with self.client(api_key) as client:
            if isinstance(body, bytes):
                return await client.post(path, content=body)
            return await client.post(path, json=body)

    async def post_batch(self, *events: object, query: str = "") -> httpx.Response:
        """POST a batch of `events`."""
        return await self.post({"events": list(events)}, f"/api/v1/events/batch{query}")


def make_ingest(
    *, row: CatalogRow | None = None, publisher: EventPublisher | None = None, **settings: object
) -> Ingest:
    """The application on fakes; `settings` by name."""
    row = row or CatalogRow(snapshot())
    recording = publisher if isinstance(publisher, RecordingPublisher) else RecordingPublisher()
    clock = MovableClock(NOW)
    app = create_app(
        catalog=CatalogCache(row.load),
        publisher=publisher or recording,
        window=DedupWindow(events_max=100_000, seconds_max=3600),
        clock=clock,
        settings=Settings.model_validate(settings),
        metrics=IngestMetrics(CollectorRegistry()),
    )
    return Ingest(app, recording, row, clock)


def sent_event(**changes: object) -> JsonObject:
    """An event as a caller sends it."""
    fields: JsonObject = {
        "transaction_id": "tx-1",
        "external_subscription_id": "sub-1",
        "code": "tokens",
        "timestamp": NOW_SECONDS,
        "properties": {"value": 12},
    }
    return {**fields, **changes}


def single(**changes: object) -> JsonObject:
    """The body of a single event."""
    return {"event": sent_event(**changes)}


def accepted_event(transaction_id: str = "tx-1", *, properties_json: bytes = b'{"value":12}') -> Event:
    """An event that passed validation."""
    return make_event(
        organization_id=ORGANIZATION,
        external_subscription_id="sub-1",
        transaction_id=transaction_id,
        code="tokens",
        timestamp_us=NOW_SECONDS * 1_000_000,
        properties_json=properties_json,
        precise_total_amount_cents=None,
        ingested_at_us=NOW_SECONDS * 1_000_000,
    )
