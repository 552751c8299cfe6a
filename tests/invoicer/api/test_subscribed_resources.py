"""What changes of customers, plans and the organization do to running subscriptions."""

from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import select

from invoicer.context import Context
from invoicer.db import Subscription
from invoicer.db.session import transaction
from tests.invoicer.api.bodies import make_customer, make_plan, post

APRIL_IN_UTC = datetime(2026, 4, 1, 0, 0, tzinfo=UTC)
APRIL_IN_PARIS = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)
"""Midnight of 2026-04-01 in summer time."""


@pytest.fixture
def subscribed(client: httpx.Client) -> None:
    """Acme on the monthly plan since today, 2026-03-15."""
    post(client, "plans", make_plan())
    post(client, "customers", make_customer())
    subscription = {"external_customer_id": "acme", "external_id": "sub", "plan_code": "startup"}
    post(client, "subscriptions", {"subscription": subscription})


def read_subscription(context: Context) -> Subscription:
    """The one subscription as it is stored."""
    with transaction(context.sessions, reads_only=True) as session:
        return session.scalars(select(Subscription)).one()


@pytest.mark.usefixtures("subscribed")
def test_customer_timezone_moves_the_next_billing_day(client: httpx.Client, context: Context) -> None:
    """Billing days begin at the customer's midnight."""
    assert read_subscription(context).due_at == APRIL_IN_UTC

    post(client, "customers", make_customer(timezone="Europe/Paris"))
    assert read_subscription(context).due_at == APRIL_IN_PARIS

    post(client, "customers", make_customer(timezone=None))
    assert read_subscription(context).due_at == APRIL_IN_UTC


@pytest.mark.usefixtures("subscribed")
def test_organization_timezone_moves_those_who_have_none_of_their_own(
    client: httpx.Client, context: Context
) -> None:
    """A customer with a timezone keeps its days."""
    paris = {"organization": {"timezone": "Europe/Paris"}}

    client.put("/api/v1/organizations", json=paris)
    assert read_subscription(context).due_at == APRIL_IN_PARIS

    post(client, "customers", make_customer(timezone="UTC"))
    client.put("/api/v1/organizations", json=paris)
    assert read_subscription(context).due_at == APRIL_IN_UTC


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize("path", ["customers/acme", "plans/startup"])
def test_deletion_ends_the_subscriptions_now(client: httpx.Client, context: Context, path: str) -> None:
    """Their final invoice stays due."""
    assert client.delete(f"/api/v1/{path}").status_code == 200

    subscription = read_subscription(context)
    now = context.clock.now()
    assert (subscription.status, subscription.terminated_at, subscription.due_at) == ("terminated", now, now)
