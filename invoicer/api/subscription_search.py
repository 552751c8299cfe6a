"""The filters of the list of subscriptions."""

import uuid
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query
from sqlalchemy import Select, false

from invoicer.api.query import VALUES_MAX, EntityCodesQuery
from invoicer.billing.due_steps import SubscriptionStatus
from invoicer.billing.subscription_queries import select_subscriptions_of
from invoicer.catalog.organizations import DEFAULT_BILLING_ENTITY
from invoicer.db import Customer, Plan, Subscription


@dataclass(frozen=True)
class Search:
    """What the subscriptions of a list have in common; what is None does not narrow it."""

    external_customer_id: str | None
    plan_code: str | None
    external_id: str | None
    currency: str | None
    statuses: tuple[SubscriptionStatus, ...]
    billing_entity_codes: tuple[str, ...]
    overriden: bool | None

    def select(self, organization_id: uuid.UUID) -> Select[Subscription]:
        """The subscriptions it finds, newest first."""
        found = select_subscriptions_of(organization_id).where(Subscription.status.in_(self.statuses))
        if self.external_customer_id is not None:
            found = found.where(Subscription.customer.has(Customer.external_id == self.external_customer_id))
        if self.plan_code is not None:
            found = found.where(Subscription.plan.has(Plan.code == self.plan_code))
        if self.external_id is not None:
            found = found.where(Subscription.external_id == self.external_id)
        if self.currency is not None:
            found = found.where(Subscription.plan.has(Plan.amount_currency == self.currency))
        if self.billing_entity_codes and DEFAULT_BILLING_ENTITY not in self.billing_entity_codes:
            found = found.where(false())
        if self.overriden:  # no subscription changes anything of its plan
            found = found.where(false())
        return found


def read_search(
    external_customer_id: str | None = None,
    plan_code: str | None = None,
    external_id: str | None = None,
    currency: str | None = None,
    statuses: Annotated[list[SubscriptionStatus] | None, Query(alias="status[]", max_length=VALUES_MAX)] = None,
    status: Annotated[list[SubscriptionStatus] | None, Query(max_length=VALUES_MAX)] = None,
    billing_entity_codes: EntityCodesQuery = None,
    overriden: bool | None = None,
) -> Search:
    """The filters of a request."""
    return Search(
        external_customer_id=external_customer_id,
        plan_code=plan_code,
        external_id=external_id,
        currency=currency,
        statuses=tuple(statuses or status or (SubscriptionStatus.ACTIVE,)),
        billing_entity_codes=tuple(billing_entity_codes or ()),
        overriden=overriden,
    )


SubscriptionSearch = Annotated[Search, Depends(read_search)]
"""The filters a list of subscriptions is asked with."""
