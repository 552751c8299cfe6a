"""A stored event as the API shows it."""

import uuid
from typing import Any

from pydantic import BaseModel

from invoicer.api.outputs.subscription import PreciseInstant
from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from schemas.money import decimal_text
from schemas.usage import StoredEvent


class EventOwner(BaseModel):
    """Whose event it is: the subscription that ran at its time, and its customer."""

    lago_subscription_id: uuid.UUID | None = None
    lago_customer_id: uuid.UUID | None = None


class EventOutput(BaseModel):
    """An event."""

    lago_id: uuid.UUID
    transaction_id: str
    lago_customer_id: uuid.UUID | None
    code: str
    timestamp: PreciseInstant
    precise_total_amount_cents: str | None
    properties: dict[str, Any]
    lago_subscription_id: uuid.UUID | None
    external_subscription_id: str
    created_at: Instant

    @classmethod
    def of(cls, event: StoredEvent, owner: EventOwner) -> "EventOutput":
        amount = event.precise_total_amount_cents
        return cls(
            lago_id=uuid.UUID(event.event_id),
            transaction_id=event.transaction_id,
            lago_customer_id=owner.lago_customer_id,
            code=event.code,
            timestamp=event.timestamp,
            precise_total_amount_cents=None if amount is None else decimal_text(amount),
            properties=event.properties,
            lago_subscription_id=owner.lago_subscription_id,
            external_subscription_id=event.external_subscription_id,
            created_at=event.ingested_at,
        )


class EventAnswer(BaseModel):
    """One event."""

    event: EventOutput


class EventsAnswer(BaseModel):
    """A page of events."""

    events: list[EventOutput]
    meta: PaginationMeta
