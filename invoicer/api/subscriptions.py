"""Routes of subscriptions."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from sqlalchemy import Select
from sqlalchemy.orm import Session

from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext, CurrentOrganization, DbSession, Now
from invoicer.api.outputs.subscription import (
    SubscriptionAnswer,
    SubscriptionOutput,
    SubscriptionsAnswer,
    SubscriptionWithPlanOutput,
)
from invoicer.api.pagination import Paginated, Pagination, paginate
from invoicer.api.route import make_router
from invoicer.api.subscription_search import SubscriptionSearch
from invoicer.api.validation import RootedBody
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.billing.subscription_changes import (
    Termination,
    cancel_subscription,
    terminate_subscription,
    update_subscription,
)
from invoicer.billing.subscription_creation import create_subscription
from invoicer.billing.subscription_input import (
    SubscriptionChanges,
    SubscriptionInput,
    TerminationCreditNote,
    TerminationInvoice,
)
from invoicer.billing.subscription_queries import find_subscription
from invoicer.catalog.customers import find_customer
from invoicer.db import Subscription
from invoicer.db.session import transaction
from invoicer.jobs.settling import settle_customer

router = make_router("subscriptions")

StatusQuery = Annotated[SubscriptionStatus | None, Query(description="Which one of several; active by default.")]
CreditNoteQuery = Annotated[
    TerminationCreditNote | None,
    Query(description="What becomes of days paid in advance: `credit` (default) or `skip`; refunds are not made."),
]


class SubscriptionBody(RootedBody):
    """Body of a creation."""

    subscription: SubscriptionInput


class SubscriptionChangesBody(RootedBody):
    """Body of a change."""

    subscription: SubscriptionChanges


@router.post("/subscriptions")
def create(
    body: SubscriptionBody,
    organization: CurrentOrganization,
    context: CurrentContext,
    session: DbSession,
    now: Now,
) -> SubscriptionAnswer:
    """Create a subscription; the one that exists under the same external id and plan is answered unchanged."""
    return _answer(create_subscription(session, context.usage, organization, body.subscription, now), now)


@router.get("/subscriptions")
def list_page(
    organization: CurrentOrganization,
    session: DbSession,
    pagination: Paginated,
    search: SubscriptionSearch,
    now: Now,
) -> SubscriptionsAnswer:
    """List subscriptions, newest first; active ones unless `status[]` says otherwise."""
    return _page(session, search.select(organization.id), pagination, now)


@router.get("/customers/{external_customer_id:path}/subscriptions")
def list_of_customer(
    external_customer_id: str,
    organization: CurrentOrganization,
    session: DbSession,
    pagination: Paginated,
    search: SubscriptionSearch,
    now: Now,
) -> SubscriptionsAnswer:
    """List the subscriptions of a customer."""
    customer = find_customer(session, organization.id, external_customer_id)
    wanted = search.select(organization.id).where(Subscription.customer_id == customer.id)
    return _page(session, wanted, pagination, now)


@router.get("/subscriptions/{external_id:path}")
def show(
    external_id: str,
    organization: CurrentOrganization,
    session: DbSession,
    now: Now,
    status: StatusQuery = None,
) -> SubscriptionAnswer:
    """Show a subscription."""
    wanted = (status or SubscriptionStatus.ACTIVE,)
    return _answer(find_subscription(session, organization.id, external_id, wanted), now)


@router.put("/subscriptions/{external_id:path}")
def update(
    external_id: str,
    body: SubscriptionChangesBody,
    organization: CurrentOrganization,
    context: CurrentContext,
    session: DbSession,
    now: Now,
    status: StatusQuery = None,
) -> SubscriptionAnswer:
    """Change a subscription: the active one, else the one that is yet to start."""
    wanted = (status,) if status else (SubscriptionStatus.ACTIVE, SubscriptionStatus.PENDING)
    subscription = find_subscription(session, organization.id, external_id, wanted)
    update_subscription(session, context.usage, subscription, body.subscription, now)
    return _answer(subscription, now)


@router.delete("/subscriptions/{external_id:path}")
def terminate(
    external_id: str,
    organization: Caller,
    context: CurrentContext,
    now: Now,
    status: StatusQuery = None,
    on_termination_credit_note: CreditNoteQuery = None,
    on_termination_invoice: TerminationInvoice = TerminationInvoice.GENERATE,
) -> SubscriptionAnswer:
    """End a subscription now, or cancel one that is yet to start (`status=pending`).

    The final invoice follows as soon as all usage accepted until now is counted.
    """
    with transaction(context.sessions) as session:
        wanted = (status or SubscriptionStatus.ACTIVE,)
        subscription = find_subscription(session, organization.id, external_id, wanted)
        if status is SubscriptionStatus.PENDING:
            cancel_subscription(session, subscription, now)
        else:
            how = Termination(on_termination_credit_note, on_termination_invoice)
            terminate_subscription(session, subscription, how, now)
        answer = _answer(subscription, now)
    settle_customer(context, subscription.customer_id)
    return answer


def _answer(subscription: Subscription, now: Now) -> SubscriptionAnswer:
    return SubscriptionAnswer(subscription=SubscriptionWithPlanOutput.of(subscription, now))


def _page(
    session: Session, wanted: Select[Subscription], pagination: Pagination, now: datetime
) -> SubscriptionsAnswer:
    page = paginate(session, wanted, pagination)
    return SubscriptionsAnswer(
        subscriptions=[SubscriptionOutput.of(row, now) for row in page.rows],
        meta=page.meta,
    )
