"""The route from a fee to the events behind it."""

from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext
from invoicer.api.fees import find_fee
from invoicer.api.outputs.fee_events import FeeEventOutput, FeeEventsAnswer, RecountOutput
from invoicer.api.pagination import Paginated, PaginationMeta
from invoicer.api.route import make_router
from invoicer.billing.fee_events import load_fee_source, read_fee_events
from invoicer.db.session import transaction

router = make_router("fees")


@router.get("/fees/{lago_id}/events")
def list_page(
    lago_id: str, organization: Caller, context: CurrentContext, pagination: Paginated
) -> FeeEventsAnswer:
    """List the events that a charge fee counts, as they happened, and count the fee anew from all of them.

    Fees of a plan and true-ups have no events of their own: 405 `not_a_charge_fee`.
    """
    with transaction(context.sessions, reads_only=True) as session:
        source = load_fee_source(session, find_fee(session, organization.id, lago_id))
    found = read_fee_events(
        context.usage, source, context.arrivals, limit=pagination.per_page, offset=pagination.offset
    )
    return FeeEventsAnswer(
        events=[FeeEventOutput.of(row, source) for row in found.page],
        recount=RecountOutput.of(found, source),
        meta=PaginationMeta.of(pagination, found.events_count),
    )
