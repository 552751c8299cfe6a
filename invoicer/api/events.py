"""Routes that read stored events."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Depends
from fastapi.responses import Response

from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext
from invoicer.api.outputs.event import EventAnswer, EventOutput, EventOwner, EventsAnswer
from invoicer.api.pagination import Paginated, PaginationMeta
from invoicer.api.route import make_router
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.billing.subscription_input import InstantInput
from invoicer.billing.subscription_queries import (
    find_subscription,
    subscription_at,
    subscriptions_by_external_id,
)
from invoicer.context import Context
from invoicer.db.session import transaction
from schemas.errors import InputError, NotFound
from schemas.usage import EventFilter, StoredEvent

router = make_router("events")

_encoder = msgspec.json.Encoder(decimal_format="number")


class ExactJsonResponse(Response):
    """JSON in which a decimal is a number with all its digits, as the producer sent it."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _encoder.encode(content)


def read_wanted(
    external_subscription_id: str | None = None,
    code: str | None = None,
    timestamp_from: InstantInput | None = None,
    timestamp_to: InstantInput | None = None,
    timestamp_from_started_at: bool = False,
) -> tuple[EventFilter, bool]:
    """The filters of a request, its organization not yet known, and whether the subscription's start bounds it.

    Raises: InputError where the two lower bounds exclude each other or the subscription is missing.
    Source: Lago events, reading.
    """
    if timestamp_from_started_at and timestamp_from is not None:
        raise InputError({"timestamp_from": ["value_must_be_blank"]})
    if timestamp_from_started_at and not external_subscription_id:
        raise InputError({"external_subscription_id": ["value_is_mandatory"]})
    wanted = EventFilter("", external_subscription_id, code, timestamp_from, timestamp_to)
    return wanted, timestamp_from_started_at


Wanted = Annotated[tuple[EventFilter, bool], Depends(read_wanted)]


@router.get("/events", response_model=EventsAnswer)
def list_page(
    organization: Caller, context: CurrentContext, pagination: Paginated, wanted: Wanted
) -> ExactJsonResponse:
    """List stored events, newest timestamp first."""
    bounded = replace(wanted[0], organization_id=str(organization.id))
    if wanted[1]:
        bounded = replace(bounded, timestamp_from=_started_at(context, organization.id, bounded))
    events, total = context.events.list(bounded, limit=pagination.per_page, offset=pagination.offset)
    shown = _outputs(context, organization.id, events)
    answer = EventsAnswer(events=shown, meta=PaginationMeta.of(pagination, total))
    return ExactJsonResponse(answer.model_dump())


@router.get("/events/{transaction_id:path}", response_model=EventAnswer)
def show(transaction_id: str, organization: Caller, context: CurrentContext) -> ExactJsonResponse:
    """Show the event with that transaction id."""
    event = context.events.find(str(organization.id), transaction_id)
    if event is None:
        raise NotFound("event")
    [shown] = _outputs(context, organization.id, [event])
    return ExactJsonResponse(EventAnswer(event=shown).model_dump())


def _started_at(context: Context, organization_id: uuid.UUID, wanted: EventFilter) -> datetime | None:
    with transaction(context.sessions, reads_only=True) as session:
        external_id = wanted.external_subscription_id or ""
        started = (SubscriptionStatus.ACTIVE, SubscriptionStatus.TERMINATED)
        return find_subscription(session, organization_id, external_id, started).started_at


def _outputs(context: Context, organization_id: uuid.UUID, events: Sequence[StoredEvent]) -> list[EventOutput]:
    with transaction(context.sessions, reads_only=True) as session:
        by_external_id = subscriptions_by_external_id(
            session, organization_id, [event.external_subscription_id for event in events]
        )
    outputs = []
    for event in events:
        owner = subscription_at(by_external_id.get(event.external_subscription_id, ()), event.timestamp)
        outputs.append(
            EventOutput.of(
                event,
                EventOwner()
                if owner is None
                else EventOwner(lago_subscription_id=owner.id, lago_customer_id=owner.customer_id),
            )
        )
    return outputs
