"""Routes of what customers use."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.api.dependencies import (
    CurrentContext,
    CurrentOrganization,
    DbSession,
    Now,
    documented_scheme,
    read_key_hash,
    take_turn,
)
from invoicer.api.outputs.usage import CurrentUsageAnswer, PastUsageAnswer, UsageOutput
from invoicer.api.pagination import PAGE_MAX, Paginated, Pagination, PaginationMeta
from invoicer.api.query import keyed_values
from invoicer.api.route import make_router
from invoicer.billing.current_facts import NamedSubscription, load_named_subscription
from invoicer.billing.current_usage import (
    UsageSelection,
    read_current_usage,
    read_past_usage,
    select_invoiced_periods,
)
from invoicer.catalog.customers import find_customer
from invoicer.catalog.fields import parse_id
from invoicer.db import BillableMetric, BillingPeriod, Customer, Subscription
from invoicer.db.session import transaction
from schemas.errors import Forbidden, InputError, NotAllowed, NotFound, Unauthorized

router = make_router("usage")


async def read_selection(
    request: Request,
    apply_taxes: bool = True,
    charge_id: str | None = None,
    charge_code: str | None = None,
    billable_metric_code: str | None = None,
    filter_by_charge_id: str | None = None,
    filter_by_charge_code: str | None = None,
    filter_by_group: str | None = None,
    skip_grouping: bool = False,
    full_usage: bool = False,
) -> UsageSelection:
    """Which part of the usage a request wants: `group[key]=value`, or the older `filter_by_group` in JSON.

    Raises: InputError.
    """
    if full_usage:
        raise InputError({"full_usage": ["not_supported"]})
    charge = charge_id or filter_by_charge_id
    return UsageSelection(
        group=_json_group(filter_by_group) | dict(keyed_values(request, "group")),
        charge_id=None if charge is None else parse_id(charge, "charge"),
        charge_code=charge_code or filter_by_charge_code,
        billable_metric_code=billable_metric_code,
        skips_grouping=skip_grouping,
        applies_taxes=apply_taxes,
    )


Selection = Annotated[UsageSelection, Depends(read_selection)]


def name_subscription(
    request: Request,
    external_customer_id: str,
    context: CurrentContext,
    _turn: Annotated[None, Depends(take_turn, scope="function")],
    _documented: Annotated[object, Depends(documented_scheme)],
    external_subscription_id: str | None = None,
) -> NamedSubscription:
    """What is asked for, read with whose key it is in one transaction, which is over when the endpoint begins.

    That nothing has those names is said by the endpoint, after all else that may be wrong with the request.
    Raises: Unauthorized.
    """
    key_hash = read_key_hash(request)
    with transaction(context.sessions, reads_only=True) as session:
        named = load_named_subscription(session, key_hash, external_customer_id, external_subscription_id or "")
    if named is None:
        raise Unauthorized
    return named


Named = Annotated[NamedSubscription, Depends(name_subscription)]


@router.get("/customers/{external_customer_id:path}/current_usage", response_model=CurrentUsageAnswer)
def show_current(
    named: Named,
    context: CurrentContext,
    selection: Selection,
    now: Now,
) -> Response:
    """Show the usage of the period in progress, priced as the next invoice will."""
    if not named.is_customer_known:
        raise NotFound("customer")
    if named.current is None:
        raise NotAllowed("no_active_subscription")
    usage = read_current_usage(context.usage, named.current.account, named.current.facts, selection, now)
    answer = CurrentUsageAnswer(customer_usage=UsageOutput.of(usage))
    # Written here, once: FastAPI would take the model to another thread to validate it, then write it.
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/customers/{external_customer_id:path}/projected_usage")
def show_projected(external_customer_id: str, _organization: CurrentOrganization) -> None:
    """Refused as where the feature is not switched on: nothing is projected.

    Source: Lago projected usage.
    """
    raise Forbidden("projected_usage_not_enabled")


@router.get("/customers/{external_customer_id:path}/past_usage")
def list_past(
    external_customer_id: str,
    organization: CurrentOrganization,
    session: DbSession,
    pagination: Paginated,
    external_subscription_id: str | None = None,
    billable_metric_code: str | None = None,
    periods_count: Annotated[int | None, Query(ge=0, le=PAGE_MAX)] = None,
) -> PastUsageAnswer:
    """List the usage of invoiced periods, newest first."""
    if not external_subscription_id:
        raise InputError({"external_subscription_id": ["value_is_mandatory"]})
    customer = find_customer(session, organization.id, external_customer_id)
    _check_metric(session, organization.id, billable_metric_code)
    subscriptions = _subscription_ids(session, customer, external_subscription_id)
    periods = session.scalars(select_invoiced_periods(subscriptions)).all()[:periods_count]
    usages = [read_past_usage(session, period, billable_metric_code) for period in _page(periods, pagination)]
    return PastUsageAnswer(
        usage_periods=[UsageOutput.of(usage) for usage in usages],
        meta=PaginationMeta.of(pagination, len(periods)),
    )


def _page(periods: Sequence[BillingPeriod], pagination: Pagination) -> Sequence[BillingPeriod]:
    return periods[pagination.offset : pagination.offset + pagination.per_page]


def _subscription_ids(session: Session, customer: Customer, external_id: str) -> list[uuid.UUID]:
    """Every subscription the customer had under an external id. Raises: NotFound."""
    found = session.scalars(
        select(Subscription.id).where(
            Subscription.customer_id == customer.id, Subscription.external_id == external_id
        )
    ).all()
    if not found:
        raise NotFound("subscription")
    return list(found)


def _check_metric(session: Session, organization_id: uuid.UUID, code: str | None) -> None:
    if code is None:
        return
    known = select(BillableMetric.id).where(
        BillableMetric.organization_id == organization_id, BillableMetric.code == code
    )
    if session.scalar(known.limit(1)) is None:
        raise NotFound("billable_metric")


def _json_group(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        group = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError({"filter_by_group": ["value_is_invalid"]}) from error
    if not isinstance(group, Mapping) or not all(isinstance(value, str) for value in group.values()):
        raise InputError({"filter_by_group": ["value_is_invalid"]})
    return dict(group)
