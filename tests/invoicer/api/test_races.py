"""Many callers at once: nothing is lost, doubled or stuck."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import select

from invoicer.context import Context
from invoicer.db import CatalogSnapshotRow
from invoicer.db.migrate import upgrade
from invoicer.db.session import SessionFactory, open_engine, session_factory, transaction
from schemas.catalog import decode_snapshot
from tests.invoicer.api.bodies import Json, make_customer, make_metric, make_plan, make_tax, post

CALLERS = 60
"""More than there are worker threads (40) or connections (15)."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.cluster)])
def sessions(request: pytest.FixtureRequest, sessions: SessionFactory) -> Iterator[SessionFactory]:
    """The database of the other tests, and PostgreSQL, where writers really run side by side."""
    if request.param == "sqlite":
        yield sessions
        return
    engine = open_engine(request.getfixturevalue("database_url"))
    upgrade(engine)
    yield session_factory(engine)
    engine.dispose()


def at_once(call: Callable[[int], httpx.Response], times: int = CALLERS) -> list[httpx.Response]:
    """The answers of that many calls made side by side."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(call, range(times)))


@pytest.mark.parametrize(
    ("path", "body"),
    [("taxes", make_tax()), ("billable_metrics", make_metric()), ("plans", make_plan())],
)
def test_code_created_by_many_at_once_is_created_once(client: httpx.Client, path: str, body: Json) -> None:
    """One caller is answered the resource, the others that it exists."""
    answers = at_once(lambda _: client.post(f"/api/v1/{path}", json=body), 12)

    refused = [answer.json()["error_details"] for answer in answers if answer.status_code == 422]
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 11
    assert refused == [{"code": ["value_already_exist"]}] * 11


def test_customer_created_by_many_at_once_is_one_customer(client: httpx.Client) -> None:
    """Create-or-update answers everybody the same customer."""
    answers = at_once(lambda _: client.post("/api/v1/customers", json=make_customer()), 12)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["customer"]["lago_id"] for answer in answers}) == 1


def test_customers_created_at_once_have_numbers_without_gaps(client: httpx.Client) -> None:
    """And nobody waits for himself, though there are more callers than threads and connections."""
    answers = at_once(lambda n: client.post("/api/v1/customers", json=make_customer(external_id=f"customer {n}")))

    numbers = [answer.json()["customer"]["sequential_id"] for answer in answers]
    assert sorted(numbers) == list(range(1, CALLERS + 1))


def test_metrics_created_at_once_are_all_published(client: httpx.Client, context: Context) -> None:
    """No change overwrites the snapshot of another."""
    answers = at_once(lambda n: client.post("/api/v1/billable_metrics", json=make_metric(code=f"metric {n}")), 20)
    assert {answer.status_code for answer in answers} == {200}

    with transaction(context.sessions, reads_only=True) as session:
        document = session.scalars(select(CatalogSnapshotRow.document)).one()
    snapshot = decode_snapshot(document)
    assert {metric.code for metric in snapshot.metrics} == {f"metric {n}" for n in range(20)}
    assert snapshot.version == 21


def test_credit_notes_over_one_fee_at_once_give_back_no_more_than_it(client: httpx.Client) -> None:
    """Twelve callers ask for 20.00 of a fee of 100.00: five get it, under the numbers 1 to 5."""
    customer = post(client, "customers", make_customer())
    post(client, "plans", make_plan(amount_cents=10_000, pay_in_advance=True))
    wanted = {"external_customer_id": customer["external_id"], "external_id": "acme-1", "plan_code": "startup"}
    post(client, "subscriptions", {"subscription": wanted})
    [invoice] = client.get("/api/v1/invoices").json()["invoices"]
    [fee] = client.get("/api/v1/fees").json()["fees"]
    items = [{"fee_id": fee["lago_id"], "amount_cents": fee["amount_cents"] // 5}]
    body = {
        "credit_note": {
            "invoice_id": invoice["lago_id"],
            "items": items,
            "credit_amount_cents": fee["amount_cents"] // 5,
        }
    }

    answers = at_once(lambda _: client.post("/api/v1/credit_notes", json=body), 12)

    notes = [answer.json()["credit_note"] for answer in answers if answer.status_code == 200]
    refused = [answer.json()["error_details"] for answer in answers if answer.status_code == 422]
    assert sorted(note["sequential_id"] for note in notes) == [1, 2, 3, 4, 5]
    assert refused == [{"amount_cents": ["higher_than_remaining_fee_amount"]}] * 7
