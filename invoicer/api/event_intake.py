"""Describes the two event routes in the OpenAPI document: ingest answers them, without FastAPI."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from invoicer.api.dependencies import documented_scheme
from invoicer.api.outputs.error import DOCUMENTED_ERRORS
from schemas.events import MAX_IDENTIFIER_CHARS

Text = Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER_CHARS)]


class EventInput(BaseModel):
    """Something that happened. Sending it again, with the same `transaction_id`, changes nothing."""

    transaction_id: Text
    external_subscription_id: str | None = Field(None, max_length=MAX_IDENTIFIER_CHARS)
    code: Text = Field(description="Code of the billable metric; unknown ones are kept until it appears.")
    timestamp: str | float | None = Field(
        None, description="Seconds since the epoch, decimals allowed; now when absent."
    )
    properties: dict[str, Any] = Field(default_factory=dict)
    precise_total_amount_cents: str | None = Field(None, description="For dynamic charges: exact, in cents.")


class EventOutput(BaseModel):
    """An accepted event, or the first one with its `transaction_id`."""

    lago_id: str
    transaction_id: str
    lago_customer_id: str | None
    lago_subscription_id: str | None
    external_subscription_id: str | None
    code: str
    timestamp: str
    properties: dict[str, Any]
    precise_total_amount_cents: str | None
    created_at: str
    duplicate: bool = Field(description="This id was accepted before; it counts once.")
    conflict: bool = Field(description="It was accepted before with other content; the first one stands.")


class EventBody(BaseModel):
    """One event."""

    event: EventInput


class EventAnswer(BaseModel):
    """The event as it was taken."""

    event: EventOutput


class EventBatchBody(BaseModel):
    """Events of any subscriptions."""

    events: list[EventInput]


class EventBatchAnswer(BaseModel):
    """The events in the order they were sent."""

    events: list[EventOutput]


def describe_event_intake(app: FastAPI) -> None:
    """Add the routes to the OpenAPI document of `app`, which does not serve them."""
    document_without = app.openapi

    def document_with() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = document_without()
            described = _described().openapi()
            for path, operations in described["paths"].items():
                document["paths"].setdefault(path, {}).update(operations)
            document["components"]["schemas"].update(described["components"]["schemas"])
        return document_without()

    app.openapi = document_with  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _described() -> FastAPI:
    app = FastAPI(dependencies=[Depends(documented_scheme)], responses=DOCUMENTED_ERRORS)
    app.post("/api/v1/events", tags=["events"], response_model=EventAnswer, summary="Send an event")(_create)
    app.post(
        "/api/v1/events/batch",
        tags=["events"],
        response_model=EventBatchAnswer,
        summary="Send events of any subscriptions",
    )(_create_batch)
    return app


def _create(body: EventBody) -> None:
    """Answered when the event is durable: counted (embedded), or acknowledged by Kafka (cluster)."""


def _create_batch(body: EventBatchBody, partial: bool = False) -> None:
    """All or nothing; with `partial` the valid events are taken, and each is told its status."""
