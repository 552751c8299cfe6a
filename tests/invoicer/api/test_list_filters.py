"""Each query parameter of each list, on one small catalog; all lists in one envelope."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.invoicer.api.billing_story import (
    get,
    invoices,
    make_calls_plan,
    make_plan,
    move_clock,
    post,
    subscribe,
)
from tests.invoicer.billing.recounted_usage import RecountedUsage

Json = dict[str, Any]
Query = tuple[tuple[str, str], ...]
EMPTY = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


@pytest.fixture
def catalog(client: httpx.Client, usage: RecountedUsage) -> httpx.Client:
    """Acme in dollars and Globex in euros, each with an invoice in advance of 15 March and of 1 April; Acme's
    first one is paid, Globex's has failed, and what is due in March is overdue since. Acme made a call in March.
    """
    acme = {
        "external_id": "acme",
        "name": "Acme",
        "legal_name": "Acme Incorporated",
        "email": "billing@acme.test",
        "country": "US",
        "state": "CA",
        "zipcode": "94105",
        "currency": "USD",
        "customer_type": "company",
        "tax_identification_number": "US-1",
        "metadata": [{"key": "crm", "value": "7"}],
    }
    post(client, "customers", "customer", **acme)
    post(client, "customers", "customer", external_id="globex", firstname="Hank", country="FR", currency="EUR")
    make_calls_plan(client, pay_in_advance=True)
    make_plan(client, "euro", amount_currency="EUR", pay_in_advance=True)
    make_plan(client, "free", amount_cents=0)
    subscribe(client, purchase_order_number="PO-7")
    subscribe(client, external_id="globex-1", external_customer_id="globex", plan_code="euro")
    subscribe(client, external_id="acme-old", plan_code="free")
    client.delete("/api/v1/subscriptions/acme-old", params={"on_termination_invoice": "skip"})
    subscribe(client, external_id="acme-later", plan_code="free", subscription_at="2026-12-01T00:00:00Z")
    for customer, status in (("acme", "succeeded"), ("globex", "failed")):
        [first] = invoices(client, external_customer_id=customer)
        note = [{"key": "batch", "value": "7"}] if customer == "acme" else []
        changes = {"invoice": {"payment_status": status, "metadata": note}}
        client.put(f"/api/v1/invoices/{first['lago_id']}", json=changes)
    usage.send("acme-1", "calls", datetime(2026, 3, 20, tzinfo=UTC))
    move_clock(client, "2026-04-01T00:00:00Z")
    return client


def found(client: httpx.Client, path: str, query: Query, identity: Callable[[Json], str]) -> str:
    """The identities of what a list finds, in order of text, with its envelope checked."""
    body = client.get(f"/api/v1/{path}", params=query).json()
    collection = path.rsplit("/", 1)[-1]
    assert list(body) == [collection, "meta"], body
    assert body["meta"]["total_count"] == len(body[collection])
    assert body[collection] or body["meta"] == EMPTY
    return " ".join(sorted(identity(each) for each in body[collection]))


BOTH = "acme globex"
CUSTOMERS: tuple[tuple[Query, str], ...] = (
    ((), BOTH),
    ((("search_term", "incorp"),), "acme"),
    ((("search_term", "HANK"),), "globex"),
    ((("search_term", "billing@"),), "acme"),
    ((("search_term", "100%"),), ""),
    ((("account_type[]", "customer"),), BOTH),
    ((("account_type[]", "partner"),), ""),
    ((("billing_entity_codes[]", "default"),), BOTH),
    ((("billing_entity_codes[]", "other"),), ""),
    ((("countries[]", "FR"),), "globex"),
    ((("countries[]", "FR"), ("countries[]", "US")), BOTH),
    ((("states[]", "CA"),), "acme"),
    ((("zipcodes[]", "94105"),), "acme"),
    ((("currencies[]", "EUR"),), "globex"),
    ((("has_tax_identification_number", "true"),), "acme"),
    ((("has_tax_identification_number", "false"),), "globex"),
    ((("customer_type", "company"),), "acme"),
    ((("customer_type", "individual"),), ""),
    ((("has_customer_type", "false"),), "globex"),
    ((("metadata[crm]", "7"),), "acme"),
    ((("metadata[crm]", "8"),), ""),
    ((("metadata[crm]", ""),), "globex"),
    ((("metadata[crm]", "7"), ("countries[]", "FR")), ""),
)

ACTIVE = "acme-1 globex-1"
SUBSCRIPTIONS: tuple[tuple[str, Query, str], ...] = (
    ("subscriptions", (), ACTIVE),
    ("subscriptions", (("status[]", "terminated"),), "acme-old"),
    ("subscriptions", (("status[]", "pending"), ("status[]", "active")), "acme-1 acme-later globex-1"),
    ("subscriptions", (("status[]", "canceled"),), ""),
    ("subscriptions", (("currency", "EUR"),), "globex-1"),
    ("subscriptions", (("external_customer_id", "acme"),), "acme-1"),
    ("subscriptions", (("plan_code", "euro"),), "globex-1"),
    ("subscriptions", (("external_id", "acme-1"),), "acme-1"),
    ("subscriptions", (("billing_entity_codes[]", "default"),), ACTIVE),
    ("subscriptions", (("billing_entity_codes[]", "other"),), ""),
    ("subscriptions", (("overriden", "true"),), ""),
    ("subscriptions", (("overriden", "false"),), ACTIVE),
    ("customers/acme/subscriptions", (), "acme-1"),
    ("customers/acme/subscriptions", (("plan_code", "free"), ("status[]", "terminated")), "acme-old"),
    ("customers/acme/subscriptions", (("billing_entity_codes[]", "other"),), ""),
)

ALL = "acme-04-01 acme-03-15 globex-04-01 globex-03-15"
INVOICES: tuple[tuple[str, Query, str], ...] = (
    ("invoices", (), ALL),
    ("invoices", (("external_customer_id", "globex"),), "globex-03-15 globex-04-01"),
    ("invoices", (("amount_from", "6581"), ("amount_to", "6581")), "acme-03-15 globex-03-15"),
    ("invoices", (("amount_from", "6582"),), "acme-04-01 globex-04-01"),
    ("invoices", (("amount_to", "6580"),), ""),
    ("invoices", (("issuing_date_from", "2026-04-01"),), "acme-04-01 globex-04-01"),
    ("invoices", (("issuing_date_to", "2026-03-15"),), "acme-03-15 globex-03-15"),
    ("invoices", (("issuing_date_from", "2026-03-16"), ("issuing_date_to", "2026-03-31")), ""),
    ("invoices", (("statuses[]", "finalized"),), ALL),
    ("invoices", (("statuses[]", "draft"), ("statuses[]", "voided")), ""),
    ("invoices", (("status[]", "draft"),), ""),
    ("invoices", (("status", "finalized"),), ALL),
    ("invoices", (("status", "closed"),), ""),
    ("invoices", (("payment_statuses[]", "failed"),), "globex-03-15"),
    (
        "invoices",
        (("payment_statuses[]", "failed"), ("payment_statuses[]", "succeeded")),
        "acme-03-15 globex-03-15",
    ),
    ("invoices", (("payment_status[]", "succeeded"),), "acme-03-15"),
    ("invoices", (("payment_status", "pending"),), "acme-04-01 globex-04-01"),
    ("invoices", (("payment_overdue", "true"),), "globex-03-15"),
    ("invoices", (("payment_overdue", "false"),), "acme-03-15 acme-04-01 globex-04-01"),
    ("invoices", (("search_term", "hank"),), "globex-03-15 globex-04-01"),
    ("invoices", (("search_term", "billing@acme"),), "acme-03-15 acme-04-01"),
    ("invoices", (("search_term", "-001-002"),), "acme-04-01"),
    ("invoices", (("currency", "EUR"),), "globex-03-15 globex-04-01"),
    ("invoices", (("payment_dispute_lost", "true"),), ""),
    ("invoices", (("payment_dispute_lost", "false"),), ALL),
    ("invoices", (("partially_paid", "true"),), ""),
    ("invoices", (("invoice_type", "subscription"),), ALL),
    ("invoices", (("invoice_type", "one_off"),), ""),
    ("invoices", (("self_billed", "true"),), ""),
    ("invoices", (("self_billed", "false"),), ALL),
    ("invoices", (("billing_entity_codes[]", "default"),), ALL),
    ("invoices", (("billing_entity_codes[]", "other"),), ""),
    ("invoices", (("purchase_order_number", "PO-7"),), "acme-03-15 acme-04-01"),
    ("invoices", (("metadata[batch]", "7"),), "acme-03-15"),
    ("invoices", (("metadata[batch]", ""), ("currency", "USD")), "acme-04-01"),
    ("customers/acme/invoices", (), "acme-03-15 acme-04-01"),
    ("customers/acme/invoices", (("status", "finalized"), ("payment_status", "succeeded")), "acme-03-15"),
    ("customers/acme/invoices", (("issuing_date_from", "2026-04-01"),), "acme-04-01"),
    ("customers/acme/invoices", (("search_term", "globex"),), ""),
    ("customers/acme/invoices", (("metadata[batch]", "7"),), "acme-03-15"),
)

EVERY_FEE = (
    "acme-1:charge:03-15 acme-1:subscription:03-15 acme-1:subscription:04-01 "
    "globex-1:subscription:03-15 globex-1:subscription:04-01"
)
OF_GLOBEX = "globex-1:subscription:03-15 globex-1:subscription:04-01"
FEES: tuple[tuple[Query, str], ...] = (
    ((), EVERY_FEE),
    ((("external_customer_id", "globex"),), OF_GLOBEX),
    ((("external_subscription_id", "globex-1"),), OF_GLOBEX),
    ((("currency", "EUR"),), OF_GLOBEX),
    ((("fee_type", "charge"),), "acme-1:charge:03-15"),
    ((("fee_type", "add_on"),), ""),
    ((("billable_metric_code", "calls"),), "acme-1:charge:03-15"),
    ((("billable_metric_code", "other"),), ""),
    ((("payment_status", "succeeded"),), "acme-1:subscription:03-15"),
    ((("payment_status", "failed"),), "globex-1:subscription:03-15"),
    ((("event_transaction_id", "t1"),), ""),
    (
        (("created_at_to", "2026-03-31T00:00:00Z"),),
        "acme-1:subscription:03-15 globex-1:subscription:03-15",
    ),
    (
        (("created_at_from", "2026-03-31"), ("fee_type", "subscription")),
        "acme-1:subscription:04-01 globex-1:subscription:04-01",
    ),
    ((("succeeded_at_from", "2026-03-15T12:00:00Z"),), "acme-1:subscription:03-15"),
    ((("succeeded_at_to", "2026-03-15T11:59:59Z"),), ""),
    ((("failed_at_from", "2026-03-15"), ("failed_at_to", "2026-03-16")), "globex-1:subscription:03-15"),
    ((("refunded_at_from", "2026-01-01"),), ""),
    ((("refunded_at_to", "2027-01-01"),), ""),
)


def in_order(text: str) -> str:
    """The words of a text, sorted."""
    return " ".join(sorted(text.split()))


def _invoice(each: Json) -> str:
    return f"{each['customer']['external_id']}-{each['issuing_date'][5:]}"


def _fee(each: Json) -> str:
    return f"{each['external_subscription_id']}:{each['item']['type']}:{each['from_date'][5:10]}"


def test_customers_are_narrowed_by_each_parameter(catalog: httpx.Client) -> None:
    """Lists of values are any of them, several parameters all of them."""
    shown = {
        query: found(catalog, "customers", query, lambda each: str(each["external_id"])) for query, _ in CUSTOMERS
    }

    assert shown == dict(CUSTOMERS)


def test_subscriptions_are_narrowed_by_each_parameter(catalog: httpx.Client) -> None:
    """Active ones unless `status[]` says otherwise."""
    shown = [
        (path, query, found(catalog, path, query, lambda each: str(each["external_id"])))
        for path, query, _ in SUBSCRIPTIONS
    ]

    assert shown == list(SUBSCRIPTIONS)


def test_invoices_are_narrowed_by_each_parameter(catalog: httpx.Client) -> None:
    """Bounds are inclusive; an empty metadata value asks for invoices without the key."""
    shown = [(path, query, found(catalog, path, query, _invoice)) for path, query, _ in INVOICES]

    assert shown == [(path, query, in_order(expected)) for path, query, expected in INVOICES]


def test_fees_are_narrowed_by_each_parameter(catalog: httpx.Client) -> None:
    """Bounds of time are inclusive; a fee without that time is outside of them."""
    shown = {query: found(catalog, "fees", query, _fee) for query, _ in FEES}

    assert shown == dict(FEES)


@pytest.mark.parametrize(
    ("path", "query", "details"),
    [
        ("invoices", {"status": "unheard-of"}, {"status": ["value_is_invalid"]}),
        ("invoices", {"amount_from": "ten"}, {"amount_from": ["value_is_invalid"]}),
        ("invoices", {"issuing_date_from": "soon"}, {"issuing_date_from": ["value_is_invalid"]}),
        ("subscriptions", {"status[]": "unheard-of"}, {"status": ["value_is_invalid"]}),
        ("customers", {"has_customer_type": "perhaps"}, {"has_customer_type": ["value_is_invalid"]}),
        ("fees", {"created_at_from": "soon"}, {"created_at_from": ["invalid_date"]}),
    ],
)
def test_parameter_that_makes_no_sense_is_refused(
    client: httpx.Client, path: str, query: dict[str, str], details: Json
) -> None:
    """It is named, rather than ignored, which would show too much."""
    answer = client.get(f"/api/v1/{path}", params=query)

    assert (answer.status_code, answer.json()["error_details"]) == (422, details)


@pytest.mark.parametrize(
    "path",
    [
        "billable_metrics",
        "plans",
        "plans/bare/charges",
        "taxes",
        "customers",
        "customers/alone/invoices",
        "customers/alone/subscriptions",
        "subscriptions",
        "events",
        "invoices",
        "fees",
    ],
)
def test_list_of_nothing_is_an_empty_page(client: httpx.Client, path: str) -> None:
    """Page 0 of 0, whichever page was asked for."""
    if "bare" in path:
        make_plan(client, "bare")
    if "alone" in path:
        post(client, "customers", "customer", external_id="alone")

    body = get(client, path, page="3", per_page="5")

    assert body == {path.rsplit("/", 1)[-1]: [], "meta": EMPTY}
