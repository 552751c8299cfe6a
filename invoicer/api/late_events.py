"""Routes of late events."""

import uuid
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlalchemy.orm import joinedload

from invoicer.api.dependencies import CurrentOrganization, DbSession
from invoicer.api.outputs.late_event import LateEventOutput, LateEventsAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.billing.late_events.policy import LateEventStatus
from invoicer.billing.subscription_input import InstantInput
from invoicer.db import BillingPeriod, Fee, LateAdjustment, LateEvent, Subscription

router = make_router("late events")


class Search(BaseModel):
    """What the late events of a list have in common; what is None does not narrow it. Bounds are inclusive."""

    external_subscription_id: str | None = None
    status: LateEventStatus | None = None
    timestamp_from: InstantInput | None = None
    timestamp_to: InstantInput | None = None

    def select(self, organization_id: uuid.UUID) -> Select[LateEvent]:
        """The late events it finds, newest timestamp first."""
        adjustment = joinedload(LateEvent.adjustment)
        found = (
            select(LateEvent)
            .join(Subscription, Subscription.id == LateEvent.subscription_id)
            .where(LateEvent.organization_id == organization_id)
            .options(
                joinedload(LateEvent.billing_period).joinedload(BillingPeriod.invoice),
                joinedload(LateEvent.subscription),
                adjustment.joinedload(LateAdjustment.fee).joinedload(Fee.invoice),
                adjustment.joinedload(LateAdjustment.credit_note),
            )
        )
        if self.external_subscription_id is not None:
            found = found.where(Subscription.external_id == self.external_subscription_id)
        if self.status is not None:
            found = found.where(LateEvent.status == self.status)
        if self.timestamp_from is not None:
            found = found.where(LateEvent.timestamp >= self.timestamp_from)
        if self.timestamp_to is not None:
            found = found.where(LateEvent.timestamp <= self.timestamp_to)
        return found.order_by(LateEvent.timestamp.desc(), LateEvent.id)


def read_search(search: Annotated[Search, Query()]) -> Search:
    """The filters of a request."""
    return search


@router.get("/late_events")
def list_page(
    organization: CurrentOrganization,
    session: DbSession,
    pagination: Paginated,
    search: Annotated[Search, Depends(read_search)],
) -> LateEventsAnswer:
    """List the events that came after the invoice of their period was final, and what they changed."""
    page = paginate(session, search.select(organization.id), pagination)
    return LateEventsAnswer(late_events=[LateEventOutput.of(row) for row in page.rows], meta=page.meta)
