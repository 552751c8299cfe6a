"""Health, metrics, unknown paths and the life of the process."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.ingest.builders import CatalogRow, Ingest, RecordingPublisher, make_ingest, sent_event, single

pytestmark = pytest.mark.anyio


async def get(ingest: Ingest, path: str) -> httpx.Response:
    async with ingest.client(api_key=None) as client:
        return await client.get(path)


async def test_health_with_working_parts_is_ok(ingest: Ingest) -> None:
    """Both parts answer, no key needed."""
    response = await get(ingest, "/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "catalog": "ok", "publisher": "ok"}


async def test_health_is_also_answered_to_head(ingest: Ingest) -> None:
    """Load balancers ask so; a 404 would take the process out of their rotation."""
    async with ingest.client(api_key=None) as client:
        assert (await client.head("/health")).status_code == 200


async def test_health_names_each_part_that_is_away() -> None:
    """503 with the state of each part."""
    ingest = make_ingest(row=CatalogRow(None), publisher=RecordingPublisher(refusals=1))
    response = await get(ingest, "/health")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "catalog": "connection refused",
        "publisher": "broker away",
    }


async def test_metrics_count_what_became_of_events(ingest: Ingest) -> None:
    """One accepted, one duplicate, one conflict, one rejected; requests by route and status."""
    await ingest.post(single())
    await ingest.post_batch(sent_event(), sent_event(code="requests"))
    await ingest.post(single(code=None))
    text = (await get(ingest, "/metrics")).text
    for outcome in ("accepted", "duplicate", "conflict", "rejected"):
        assert f'millrace_ingest_events_total{{outcome="{outcome}"}} 1.0' in text
    assert 'millrace_ingest_request_seconds_count{route="/api/v1/events",status="200"} 1.0' in text
    assert 'millrace_ingest_request_seconds_count{route="/api/v1/events",status="422"} 1.0' in text
    assert 'millrace_ingest_request_seconds_count{route="/api/v1/events/batch",status="200"} 1.0' in text


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/api/v1/events"), ("POST", "/health"), ("POST", "/api/v1/events/unknown")],
)
async def test_other_routes_are_not_found(ingest: Ingest, method: str, path: str) -> None:
    """Everything else is answered 404 in the envelope of the API."""
    async with ingest.client() as client:
        response = await client.request(method, path)
    assert response.status_code == 404
    assert response.json() == {"status": 404, "error": "Not Found", "code": "resource_not_found"}


async def test_lifespan_starts_and_stops_publisher_and_catalog() -> None:
    """The server's start brings up both; its end takes both down."""
    ingest = make_ingest(catalog_refresh_seconds=0.01)
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[object] = asyncio.Queue()
    running = asyncio.create_task(ingest.app({"type": "lifespan"}, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}
    assert ingest.publisher.is_running
    await asyncio.sleep(0.3)
    assert ingest.row.loads >= 2
    await to_app.put({"type": "lifespan.shutdown"})
    assert await from_app.get() == {"type": "lifespan.shutdown.complete"}
    await running
    assert not ingest.publisher.is_running
    loads = ingest.row.loads
    await asyncio.sleep(0.2)
    assert ingest.row.loads == loads
