"""Every answer has exactly Lago's keys, and under each of them a value of Lago's type."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from invoicer.db import Organization
from schemas.usage import StoredEvent
from tests.invoicer.api import serializer_keys as keys
from tests.invoicer.api.billed_customer import bill_once, give_back, the_invoice
from tests.invoicer.billing.recounted_usage import RecountedUsage
from tests.invoicer.fakes import FakeEvents

Json = dict[str, Any]


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


@pytest.fixture
def billed(
    client: httpx.Client, usage: RecountedUsage, events: FakeEvents, organization: Organization
) -> httpx.Client:
    """A client of an organization with one billed customer and one stored event."""
    bill_once(client, usage)
    give_back(client)
    at = datetime(2026, 3, 20, 8, 30, 0, 5_000, tzinfo=UTC)
    event = StoredEvent(
        event_id="11111111-2222-3333-4444-555555555555",
        organization_id=str(organization.id),
        external_subscription_id="acme-1",
        transaction_id="t1",
        code="calls",
        timestamp=at,
        properties={"zone": "eu"},
        precise_total_amount_cents=None,
        ingested_at=at,
    )
    events.stored.append(event)
    return client


def with_ids(client: httpx.Client, path: str) -> str:
    """The path with the ids of the only invoice, its second fee, its credit note and the only charge filter."""
    if "INVOICE" in path or "FEE" in path:
        invoice = the_invoice(client)
        path = path.replace("INVOICE", invoice["lago_id"]).replace("FEE", invoice["fees"][1]["lago_id"])
    if "NOTE" in path:
        path = path.replace("NOTE", client.get("/api/v1/credit_notes").json()["credit_notes"][0]["lago_id"])
    if "FILTER" in path:
        filters = client.get("/api/v1/plans/team/charges/calls/filters").json()["filters"]
        path = path.replace("FILTER", filters[0]["lago_id"])
    return path


def read(client: httpx.Client, path: str) -> Json:
    """The body of a successful GET."""
    answer = client.get(f"/api/v1/{with_ids(client, path)}")
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def at(body: Any, place: str) -> Any:
    """What lies at a place such as `invoices.0.customer`."""
    for part in place.split("."):
        body = body[int(part)] if part.isdigit() else body[part]
    return body


CURRENT = "customers/acme/current_usage?external_subscription_id=acme-1"
PAST = "customers/acme/past_usage?external_subscription_id=acme-1"
PLACES = (
    ("organizations", "organization", keys.ORGANIZATION),
    ("organizations", "organization.billing_configuration", keys.ORGANIZATION_BILLING),
    ("organizations", "organization.taxes.0", keys.TAX),
    ("billable_metrics", "billable_metrics.0", keys.METRIC | keys.METRIC_COUNTERS),
    ("billable_metrics", "meta", keys.META),
    ("billable_metrics/calls", "billable_metric", keys.METRIC),
    ("billable_metrics/calls", "billable_metric.filters.0", keys.METRIC_FILTER),
    ("taxes", "taxes.0", keys.TAX),
    ("taxes/sales", "tax", keys.TAX),
    ("plans", "plans.0", keys.PLAN),
    ("plans/team", "plan", keys.PLAN),
    ("plans/team", "plan.taxes.0", keys.TAX),
    ("plans/team", "plan.charges.0", keys.CHARGE),
    ("plans/team", "plan.charges.0.filters.0", keys.CHARGE_FILTER),
    ("plans/team", "plan.charges.0.taxes.0", keys.TAX),
    ("plans/team/charges", "charges.0", keys.CHARGE),
    ("plans/team/charges/calls", "charge", keys.CHARGE),
    ("plans/team/charges/calls/filters", "filters.0", keys.CHARGE_FILTER),
    ("plans/team/charges/calls/filters", "meta", keys.META),
    ("plans/team/charges/calls/filters/FILTER", "filter", keys.CHARGE_FILTER),
    ("customers", "customers.0", keys.CUSTOMER),
    ("customers/acme", "customer", keys.CUSTOMER),
    ("customers/acme", "customer.billing_configuration", keys.CUSTOMER_BILLING),
    ("customers/acme", "customer.metadata.0", keys.CUSTOMER_METADATA),
    ("customers/acme", "customer.taxes.0", keys.TAX),
    ("subscriptions", "subscriptions.0", keys.SUBSCRIPTION),
    ("customers/acme/subscriptions", "subscriptions.0", keys.SUBSCRIPTION),
    ("subscriptions/acme-1", "subscription", keys.SUBSCRIPTION_IN_FULL),
    ("subscriptions/acme-1", "subscription.plan", keys.PLAN),
    ("subscriptions/acme-1", "subscription.payment_method", keys.PAYMENT_METHOD),
    ("events", "events.0", keys.EVENT),
    ("events/t1", "event", keys.EVENT),
    (CURRENT, "customer_usage", keys.USAGE),
    (CURRENT, "customer_usage.charges_usage.0", keys.CHARGE_USAGE),
    (CURRENT, "customer_usage.charges_usage.0.charge", keys.USED_CHARGE),
    (CURRENT, "customer_usage.charges_usage.0.billable_metric", keys.USED_METRIC),
    (CURRENT, "customer_usage.charges_usage.0.filters.0", keys.FILTER_USAGE),
    (CURRENT, "customer_usage.charges_usage.0.grouped_usage.0", keys.GROUP_USAGE),
    (CURRENT, "customer_usage.charges_usage.0.grouped_usage.0.filters.0", keys.FILTER_USAGE),
    (PAST, "usage_periods.0", keys.USAGE),
    (PAST, "usage_periods.0.charges_usage.0", keys.CHARGE_USAGE),
    (PAST, "usage_periods.0.charges_usage.0.filters.0", keys.FILTER_USAGE),
    (PAST, "usage_periods.0.charges_usage.0.grouped_usage.0", keys.GROUP_USAGE),
    (PAST, "meta", keys.META),
    ("invoices", "invoices.0", keys.INVOICE),
    ("customers/acme/invoices", "invoices.0", keys.INVOICE),
    ("invoices/INVOICE", "invoice", keys.INVOICE_IN_FULL),
    ("invoices/INVOICE", "invoice.customer", keys.CUSTOMER),
    ("invoices/INVOICE", "invoice.metadata.0", keys.INVOICE_METADATA),
    ("invoices/INVOICE", "invoice.applied_taxes.0", keys.INVOICE_TAX),
    ("invoices/INVOICE", "invoice.billing_periods.0", keys.BILLING_PERIOD),
    ("invoices/INVOICE", "invoice.subscriptions.0", keys.SUBSCRIPTION),
    ("invoices/INVOICE", "invoice.fees.0", keys.FEE),
    ("credit_notes", "credit_notes.0", keys.CREDIT_NOTE),
    ("credit_notes", "meta", keys.META),
    ("customers/acme/credit_notes", "credit_notes.0", keys.CREDIT_NOTE),
    ("credit_notes/NOTE", "credit_note", keys.CREDIT_NOTE_IN_FULL),
    ("credit_notes/NOTE", "credit_note.customer", keys.CUSTOMER),
    ("credit_notes/NOTE", "credit_note.items.0", keys.CREDIT_NOTE_ITEM),
    ("credit_notes/NOTE", "credit_note.items.0.fee", keys.FEE),
    ("credit_notes/NOTE", "credit_note.applied_taxes.0", keys.CREDIT_NOTE_TAX),
    ("fees", "fees.0", keys.FEE),
    ("fees", "meta", keys.META),
    ("fees/FEE", "fee", keys.FEE),
    ("fees/FEE", "fee.item", keys.FEE_ITEM),
    ("fees/FEE", "fee.applied_taxes.0", keys.FEE_TAX),
)


def difference(expected: frozenset[str], shown: Json) -> Json:
    """What is missing and what is too much, where there is any."""
    missing, extra = sorted(expected - set(shown)), sorted(set(shown) - expected)
    return {"missing": missing, "extra": extra} if missing or extra else {}


def test_answers_have_exactly_lagos_keys(billed: httpx.Client) -> None:
    """None is missing and none is our own."""
    found = {
        (path, place): difference(expected, at(read(billed, path), place)) for path, place, expected in PLACES
    }

    assert {where: what for where, what in found.items() if what} == {}


WRITES: tuple[tuple[str, str, Json, str, frozenset[str]], ...] = (
    (
        "POST",
        "billable_metrics",
        {"billable_metric": {"name": "N", "code": "n", "aggregation_type": "count_agg"}},
        "billable_metric",
        keys.METRIC | keys.METRIC_COUNTERS,
    ),
    (
        "PUT",
        "billable_metrics/calls",
        {"billable_metric": {"name": "N"}},
        "billable_metric",
        keys.METRIC | keys.METRIC_COUNTERS,
    ),
    ("POST", "taxes", {"tax": {"name": "N", "code": "n", "rate": 1}}, "tax", keys.TAX),
    ("PUT", "taxes/sales", {"tax": {"rate": 1}}, "tax", keys.TAX),
    ("PUT", "plans/team", {"plan": {"name": "N"}}, "plan", keys.PLAN),
    ("PUT", "plans/team", {"plan": {"metadata": {"a": "b"}}}, "plan", keys.PLAN | {"metadata"}),
    ("PUT", "plans/team/charges/calls", {"charge": {"min_amount_cents": 0}}, "charge", keys.CHARGE),
    (
        "POST",
        "plans/team/charges/calls/filters",
        {"filter": {"values": {"zone": ["us"]}, "properties": {"amount": "1"}}},
        "filter",
        keys.CHARGE_FILTER,
    ),
    ("POST", "customers", {"customer": {"external_id": "new"}}, "customer", keys.CUSTOMER),
    (
        "POST",
        "subscriptions",
        {"subscription": {"external_customer_id": "new", "external_id": "new-1", "plan_code": "team"}},
        "subscription",
        keys.SUBSCRIPTION_IN_FULL,
    ),
    (
        "PUT",
        "subscriptions/acme-1",
        {"subscription": {"name": "N"}},
        "subscription",
        keys.SUBSCRIPTION_IN_FULL,
    ),
    ("PUT", "invoices/INVOICE", {"invoice": {"payment_status": "failed"}}, "invoice", keys.INVOICE_IN_FULL),
    ("PUT", "invoices/INVOICE/refresh", {}, "invoice", keys.INVOICE_IN_FULL),
    ("PUT", "credit_notes/NOTE", {"credit_note": {"metadata": {}}}, "credit_note", keys.CREDIT_NOTE_IN_FULL),
    ("PUT", "credit_notes/NOTE/void", {}, "credit_note", keys.CREDIT_NOTE_IN_FULL),
    ("POST", "invoices/INVOICE/download", {}, "invoice", keys.INVOICE_IN_FULL),
    ("PUT", "organizations", {"organization": {"timezone": "UTC"}}, "organization", keys.ORGANIZATION),
    ("DELETE", "plans/team/charges/calls/filters/FILTER", {}, "filter", keys.CHARGE_FILTER),
    ("DELETE", "plans/team/charges/calls", {}, "charge", keys.CHARGE),
    ("DELETE", "subscriptions/acme-1", {}, "subscription", keys.SUBSCRIPTION_IN_FULL),
    ("DELETE", "plans/team", {}, "plan", keys.PLAN | {"metadata"}),
    ("DELETE", "customers/acme", {}, "customer", keys.CUSTOMER),
    ("DELETE", "billable_metrics/calls", {}, "billable_metric", keys.METRIC | keys.METRIC_COUNTERS),
    ("DELETE", "taxes/sales", {}, "tax", keys.TAX),
)
"""In the order they are made: what others need is deleted last."""


def test_answers_to_changes_have_exactly_lagos_keys(billed: httpx.Client) -> None:
    """The object is shown whole, under its root key alone."""
    found = {}
    for method, path, body, root, expected in WRITES:
        answer = billed.request(method, f"/api/v1/{with_ids(billed, path)}", json=body)
        assert (answer.status_code, list(answer.json())) == (200, [root]), f"{method} {path}: {answer.text}"
        found[method, path] = difference(expected, answer.json()[root])

    assert {where: what for where, what in found.items() if what} == {}


_SECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_MILLISECONDS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_DATE = r"\d{4}-\d\d-\d\d"
_DECIMAL = r"-?\d+\.\d+"
_PRECISE_AMOUNTS = (
    "precise_amount_cents|precise_taxes_amount_cents|precise_total_amount_cents|precise_coupons_amount_cents|"
    "precise_amount|precise_total_amount"
)
TYPES: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
    (rf"(total_aggregated_)?units|.*({_PRECISE_AMOUNTS}|precise_unit_amount)", str, _DECIMAL),
    (r"started_at|timestamp", str, _MILLISECONDS),
    (r"issuing_date|payment_due_date", str, _DATE),
    (r".*(_at|_datetime)|from_date|to_date", str, _SECONDS),
    (r"(tax_|taxes_)?rate", (int, float), r".*"),
    (r".*(_cents|_count|_page|_pages)|net_payment_term|sequential_id|version_number", int, r"-?\d+"),
    (r"lago_id", str, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    (r"fees|charges|taxes|applied_taxes|credits|metadata|charges_usage|grouped_usage", list, r".*"),
)
"""Name of a value → its type in JSON, and what its text must look like; the first that matches holds.

Source: Lago API conventions, transport.
"""
_FREE_FORM = frozenset({"properties", "amount_details"})
"""Objects whose keys are the caller's, or the charge model's."""


def is_as_told(name: str, value: Any) -> bool:
    """Whether a value is what its name promises, where that promises anything."""
    for names, kind, text in TYPES:
        if re.fullmatch(names, name):
            return isinstance(value, kind) and re.fullmatch(text, str(value), re.DOTALL) is not None
    return True


def named_values(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value with the name it is under, however deep."""
    if isinstance(value, list):
        for each in value:
            yield from named_values(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name, each
            if name not in _FREE_FORM:
                yield from named_values(each)


def test_values_are_of_lagos_types(billed: httpx.Client) -> None:
    """Cents are integers, decimals text with a point, rates numbers, instants whole seconds or milliseconds."""
    values = [
        (path, name, value)
        for path in sorted({path for path, _, _ in PLACES})
        for name, value in named_values(read(billed, path))
        if value is not None
    ]

    assert [each for each in values if not is_as_told(each[1], each[2])] == []
    names = {name for _, name, _ in values}
    assert [pattern for pattern, _, _ in TYPES if not any(re.fullmatch(pattern, name) for name in names)] == []


NEVER_NULL = frozenset(
    "amount_cents total_amount_cents taxes_amount_cents units total_aggregated_units created_at issuing_date "
    "payment_due_date total_due_amount_cents precise_unit_amount taxes_rate from_date to_date precise_amount "
    "precise_total_amount taxes_precise_amount lago_id".split()
)


def test_amounts_and_units_are_never_null(billed: httpx.Client) -> None:
    """Whoever adds them up needs no guard."""
    for path in ("invoices/INVOICE", "credit_notes/NOTE", "fees", CURRENT, PAST, "events/t1"):
        values = [(name, value) for name, value in named_values(read(billed, path)) if name in NEVER_NULL]

        assert values
        assert [(path, name) for name, value in values if value is None] == []
