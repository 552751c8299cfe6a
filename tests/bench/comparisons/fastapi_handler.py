"""The route for single events as FastAPI's own tutorial would have it: a pydantic model and an `async def`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from ingest.live_catalog import LiveCatalog
from schemas.clock import Clock
from schemas.events import Outcome, make_event
from schemas.publishing import EventPublisher
from schemas.time_text import to_microseconds

_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


class SentEvent(BaseModel):
    """An event as it is sent."""

    transaction_id: str = Field(min_length=1, max_length=255)
    external_subscription_id: str = Field(min_length=1, max_length=255)
    code: str = Field(min_length=1, max_length=255)
    timestamp: Decimal
    properties: dict[str, str | int | Decimal | bool | None]


class SentBody(BaseModel):
    event: SentEvent


class EventOutput(BaseModel):
    """An event as it is answered."""

    lago_id: UUID
    transaction_id: str
    external_subscription_id: str
    code: str
    timestamp: Decimal
    properties: dict[str, str | int | Decimal | bool | None]
    duplicate: bool


class EventAnswer(BaseModel):
    event: EventOutput


def fastapi_app(catalog: LiveCatalog, publisher: EventPublisher, clock: Clock) -> FastAPI:
    """The application; it finds no repeats."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        catalog.start()
        await publisher.start()
        yield
        await publisher.stop()
        await catalog.stop()

    async def organization(
        credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
    ) -> str:
        found = await catalog.organization_of(credentials.credentials)
        if found is None:
            raise HTTPException(401)
        return found

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        await publisher.check()
        return {"status": "ok"}

    @app.post("/api/v1/events")
    async def create(body: SentBody, organization_id: Annotated[str, Depends(organization)]) -> EventAnswer:
        sent = body.event
        event = make_event(
            organization_id=organization_id,
            external_subscription_id=sent.external_subscription_id,
            transaction_id=sent.transaction_id,
            code=sent.code,
            timestamp_us=int(sent.timestamp * 1_000_000),
            properties_json=_encoder.encode(sent.properties),
            precise_total_amount_cents=None,
            ingested_at_us=to_microseconds(clock.now()),
        )
        [outcome] = await publisher.publish([event])
        fields: dict[str, Any] = sent.model_dump()
        return EventAnswer(
            event=EventOutput(lago_id=event.uuid, duplicate=outcome is not Outcome.ACCEPTED, **fields)
        )

    return app
