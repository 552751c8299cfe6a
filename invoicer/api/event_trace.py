"""The route from an event to the fee it is billed on."""

from fastapi import Request
from fastapi.responses import Response

from invoicer.api import events
from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext, Now
from invoicer.api.outputs.event_trace import (
    DeadLetterOutput,
    EventTraceAnswer,
    EventTraceOutput,
    TracedEventOutput,
)
from invoicer.api.route import make_router
from invoicer.billing.event_trace import trace_event
from invoicer.db.session import transaction
from schemas.errors import NotFound

router = make_router("events")

_ENCODED_END = b"%2ftrace"


@router.get("/events/{transaction_id:path}/trace", response_model=EventTraceAnswer)
def show(
    transaction_id: str,
    request: Request,
    organization: Caller,
    context: CurrentContext,
    now: Now,
    external_subscription_id: str | None = None,
) -> Response:
    """Show what became of the event with that transaction id, in every subscription that has one.

    An id that itself ends in `/trace` is told apart by its encoded slash: `/events/a%2Ftrace` is the event.
    """
    if _ends_in_encoded_slash(request):
        return events.show(f"{transaction_id}/trace", organization, context)
    wanted = (str(organization.id), transaction_id, external_subscription_id)
    placed, letters = context.events.places(*wanted), context.events.dead_letters(*wanted)
    if not placed and not letters:
        raise NotFound("event")
    with transaction(context.sessions, reads_only=True) as session:
        traced = [TracedEventOutput.of(trace_event(session, each, now, context.arrivals)) for each in placed]
    answer = EventTraceOutput(
        transaction_id=transaction_id,
        events=traced,
        dead_letters=[DeadLetterOutput.of(letter) for letter in letters],
    )
    return events.ExactJsonResponse(EventTraceAnswer(event_trace=answer).model_dump())


def _ends_in_encoded_slash(request: Request) -> bool:
    raw_path: bytes = request.scope.get("raw_path") or b""
    return raw_path.split(b"?")[0].lower().endswith(_ENCODED_END)
