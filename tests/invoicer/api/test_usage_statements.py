"""What current usage asks of the database: few statements, for the facts that invoices are made from."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from invoicer.billing.billing_facts import load_facts, select_subscriptions
from invoicer.billing.current_facts import load_named_subscription
from invoicer.db import Subscription
from invoicer.db.session import SessionFactory, transaction
from schemas.catalog import hash_api_key
from tests.invoicer.api.billing_story import get, make_metric, make_plan, move_clock, post, subscribe
from tests.invoicer.conftest import API_KEY

STATEMENTS_MAX = 4
"""Who asks for which subscription; charges with metrics and filters; all taxes; the keys of the metrics."""


@pytest.fixture
def statements(sessions: SessionFactory) -> Iterator[list[str]]:
    """The queries that the database was asked so far."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            asked.append(statement)

    with sessions() as session:
        engine = session.get_bind()
        assert isinstance(engine, Engine)
    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def charges_of_many_metrics(client: httpx.Client, count: int) -> list[dict[str, object]]:
    """Charges with a tax, two filters and groups each, every one of a metric of its own."""
    filters = [{"key": "zone", "values": ["eu", "us"]}]
    return [
        {
            "billable_metric_id": make_metric(client, f"metric-{number}", filters=filters)["lago_id"],
            "charge_model": "standard",
            "properties": {"amount": "0.1", "pricing_group_keys": ["team"]},
            "filters": [{"values": {"zone": [zone]}, "properties": {"amount": "0.2"}} for zone in ("eu", "us")],
            "tax_codes": ["vat"],
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("charges", [0, 1, 12])
def test_current_usage_takes_few_statements_however_many_charges(
    client: httpx.Client, statements: list[str], charges: int
) -> None:
    """Taxes on every level, charges with filters and groups: the same four statements."""
    post(client, "taxes", "tax", name="VAT", code="vat", rate=20, applied_to_organization=True)
    make_plan(client, charges=charges_of_many_metrics(client, charges), tax_codes=["vat"])
    subscribe(client)
    post(client, "customers", "customer", external_id="acme", tax_codes=["vat"])
    statements.clear()

    shown = get(client, "customers/acme/current_usage", external_subscription_id="acme-1")

    assert len(shown["customer_usage"]["charges_usage"]) == charges
    assert len(statements) <= STATEMENTS_MAX, statements


@pytest.mark.parametrize(
    ("until", "is_fee_billed", "is_usage_billed"),
    [
        ("2026-03-15T12:00:00Z", False, False),
        ("2026-03-31T00:00:00Z", True, False),
        ("2026-05-02T00:00:00Z", True, True),
    ],
)
def test_facts_of_current_usage_are_those_that_invoices_are_made_from(
    client: httpx.Client, sessions: SessionFactory, until: str, is_fee_billed: bool, is_usage_billed: bool
) -> None:
    """In the trial, after it, and after two invoices: its start, any fee billed, the period billed last."""
    post(client, "taxes", "tax", name="VAT", code="vat", rate=20)
    make_plan(client, charges=charges_of_many_metrics(client, 2), trial_period=10, pay_in_advance=True)
    subscribe(client, subscription_at="2026-03-15T00:00:00Z")
    move_clock(client, until)

    with transaction(sessions, reads_only=True) as session:
        found = session.scalars(select_subscriptions().where(Subscription.external_id == "acme-1"))
        [expected] = load_facts(session, found.unique().all())
    with transaction(sessions, reads_only=True) as session:
        named = load_named_subscription(session, hash_api_key(API_KEY), "acme", "acme-1")

    assert named is not None
    assert named.current is not None
    read = named.current.facts
    assert read.subscription.id == expected.subscription.id
    assert replace(read, subscription=expected.subscription) == expected
    assert read.has_subscription_fee == is_fee_billed
    assert (read.previous_charges_end is not None) == is_usage_billed
    assert len(read.metrics) == 2
