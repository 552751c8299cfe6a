"""The calls of the official client, one row each: how it is made, and what it must show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lago_python_client.models import (
    BatchEvent,
    BillableMetric,
    BillableMetricEvaluateExpression,
    BillableMetricEvaluateExpressionEvent,
    Charge,
    ChargeFilter,
    Customer,
    Fee,
    Invoice,
    InvoiceMetadata,
    InvoiceMetadataList,
    Organization,
    Plan,
    Subscription,
    Tax,
)
from lago_python_client.models.credit_note import CreditNoteEstimate, CreditNoteUpdate, Items

from tests.end_to_end.client_world import World, charge_filter, metric_of, plan_of

Shown = Callable[[Any], object]
Arguments = tuple[Any, ...]
PAGE = {"page": 1, "per_page": 1}


@dataclass(frozen=True)
class Call:
    """A call that is offered; `shows` reads from what it returns what is compared with `expected`."""

    name: str
    arguments: Callable[[World], Arguments]
    shows: Shown
    expected: object
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """A call that is not offered, or that the client makes so that it cannot succeed, and what is answered."""

    name: str
    arguments: Callable[[World], Arguments]
    status: int
    body: Mapping[str, object]


def reads(*names: str) -> Shown:
    """What those attributes are."""
    return lambda answer: tuple(getattr(answer, name) for name in names)


def one_page(collection: str) -> Shown:
    """How many a page of one holds, and which page it is."""
    return lambda page: (len(page[collection]), page["meta"]["current_page"], page["meta"]["prev_page"])


FIRST_OF_ONE = (1, 1, None)

CATALOG_CALLS = (
    Call(
        "organizations.update",
        lambda _: (Organization(default_currency="USD", legal_name="Hooli Inc.", net_payment_term=0),),
        reads("legal_name", "net_payment_term", "events_store", "timezone"),
        ("Hooli Inc.", 0, "clickhouse", "UTC"),
    ),
    Call(
        "billable_metrics.create",
        lambda world: (metric_of(world.code()),),
        lambda metric: (metric.aggregation_type, metric.field_name, metric.filters.__root__[0].values),
        ("sum_agg", "count", ["eu", "us"]),
    ),
    Call("billable_metrics.find", lambda _: ("tokens",), reads("code", "recurring"), ("tokens", False)),
    Call("billable_metrics.find_all", lambda _: (PAGE,), one_page("billable_metrics"), FIRST_OF_ONE),
    Call(
        "billable_metrics.update",
        lambda world: (BillableMetric(name="Words", rounding_function="ceil"), world.metric().code),
        reads("name", "rounding_function", "field_name"),
        ("Words", "ceil", "count"),
    ),
    Call("billable_metrics.destroy", lambda world: (world.metric().code,), reads("name"), ("Tokens",)),
    Call(
        "plans.create",
        lambda world: (plan_of(world.code(), [world.charge("tokens")], metadata={"team": "a"}),),
        lambda plan: (plan.charges.__root__[0].billable_metric_code, plan.metadata),
        ("tokens", {"team": "a"}),
    ),
    Call("plans.find", lambda _: ("pro",), reads("code", "amount_cents", "trial_period"), ("pro", 0, None)),
    Call("plans.find_all", lambda _: (PAGE,), one_page("plans"), FIRST_OF_ONE),
    Call(
        "plans.update",
        lambda world: (Plan(name="Max", trial_period=7.5), world.plan().code),
        lambda plan: (plan.name, plan.trial_period, len(plan.charges.__root__)),
        ("Max", 7.5, 1),
    ),
    Call("plans.destroy", lambda world: (world.plan().code,), reads("name"), ("Pro",)),
    Call(
        "plans.replace_metadata",
        lambda world: (world.plan(metadata={"a": "1"}).code, {"b": "2"}),
        dict,
        {"b": "2"},
    ),
    Call(
        "plans.merge_metadata",
        lambda world: (world.plan(metadata={"a": "1"}).code, {"b": None}),
        dict,
        {"a": "1", "b": None},
    ),
    Call("plans.delete_all_metadata", lambda world: (world.plan(metadata={"a": "1"}).code,), repr, "None"),
    Call(
        "plans.delete_metadata_key",
        lambda world: (world.plan(metadata={"a": "1", "b": "2"}).code, "a"),
        dict,
        {"b": "2"},
    ),
    Call(
        "plans.create_charge_filter",
        lambda world: (*[world.plan().code] * 2, charge_filter("us")),
        reads("values", "properties"),
        ({"region": ["us"]}, {"amount": "0.25"}),
    ),
    Call(
        "plans.find_charge_filter",
        lambda world: world.charge_filter(),
        reads("values"),
        ({"region": ["eu"]},),
    ),
    Call(
        "plans.find_all_charge_filters",
        lambda world: (*world.charge_filter()[:2], PAGE),
        one_page("filters"),
        FIRST_OF_ONE,
    ),
    Call(
        "plans.update_charge_filter",
        lambda world: (*world.charge_filter(), ChargeFilter(properties={"amount": "3"})),
        reads("values", "properties"),
        ({"region": ["eu"]}, {"amount": "3"}),
    ),
    Call(
        "plans.destroy_charge_filter", lambda world: world.charge_filter(), reads("values"), ({"region": ["eu"]},)
    ),
    Call(
        "plan_charges.create",
        lambda world: (world.plan().code, world.charge("tokens", code="more", min_amount_cents=100)),
        reads("code", "min_amount_cents", "billable_metric_code"),
        ("more", 100, "tokens"),
    ),
    Call("plan_charges.find", lambda _: ("pro", "tokens"), reads("charge_model", "prorated"), ("standard", False)),
    Call(
        "plan_charges.update",
        lambda world: (*[world.plan().code] * 2, Charge(properties={"amount": "2"}, charge_model="standard")),
        reads("properties"),
        ({"amount": "2"},),
    ),
    Call("plan_charges.destroy", lambda world: (*[world.plan().code] * 2,), reads("prorated"), (False,)),
    Call(
        "taxes.create",
        lambda world: (Tax(name="Sales", code=world.code(), rate=12.5, description="state"),),
        reads("name", "rate", "description", "applied_to_organization"),
        ("Sales", 12.5, "state", False),
    ),
    Call("taxes.find", lambda world: (world.tax().code,), reads("name", "rate"), ("VAT", 20.0)),
    Call(
        "taxes.find_all",
        lambda world: (PAGE if world.tax() else {},),
        one_page("taxes"),
        FIRST_OF_ONE,
    ),
    Call("taxes.update", lambda world: (Tax(rate=19.6), world.tax().code), reads("rate", "name"), (19.6, "VAT")),
    Call("taxes.destroy", lambda world: (world.tax().code,), reads("rate"), (20.0,)),
)

CUSTOMER_CALLS = (
    Call(
        "customers.create",
        lambda world: (Customer(external_id=world.code(), name="Globex", country="fr", timezone="Europe/Paris"),),
        reads("name", "country", "applicable_timezone", "finalize_zero_amount_invoice"),
        ("Globex", "FR", "Europe/Paris", "inherit"),
    ),
    Call("customers.find", lambda _: ("acme",), reads("name", "currency"), ("Acme", "USD")),
    Call("customers.find_all", lambda _: (PAGE,), one_page("customers"), FIRST_OF_ONE),
    Call("customers.destroy", lambda world: (world.customer(name="Gone").external_id,), reads("name"), ("Gone",)),
    Call(
        "customers.current_usage",
        lambda _: ("acme", "acme-pro"),
        lambda usage: (usage.from_datetime, usage.amount_cents, usage.charges_usage[0].units),
        ("2026-02-01T00:00:00Z", 300, "6.0"),
    ),
    Call(
        "customers.past_usage",
        lambda _: ("acme", "acme-pro", {"periods_count": 1}),
        lambda page: [(each.to_datetime, each.amount_cents) for each in page["usage_periods"]],
        [("2026-01-31T23:59:59Z", 200)],
    ),
    Call(
        "subscriptions.create",
        lambda world: (
            Subscription(external_customer_id="acme", external_id=world.code(), plan_code="pro", name="Second"),
        ),
        reads("status", "plan_code", "plan_amount_cents", "billing_time", "started_at"),
        ("active", "pro", "0", "calendar", "2026-02-03T00:00:00.000Z"),
    ),
    Call(
        "subscriptions.find",
        lambda _: ("acme-pro", {"status": "active"}),
        reads("name", "current_billing_period_ending_at"),
        ("Acme pro", "2026-02-28T23:59:59Z"),
    ),
    Call(
        "subscriptions.find_all",
        lambda _: (PAGE | {"external_customer_id": "acme", "status[]": ["active", "terminated"]},),
        one_page("subscriptions"),
        FIRST_OF_ONE,
    ),
    Call(
        "subscriptions.update",
        lambda world: (
            Subscription(name="Renamed", ending_at="2026-12-31T00:00:00Z"),
            world.subscription().external_id,
        ),
        reads("name", "ending_at", "status"),
        ("Renamed", "2026-12-31T00:00:00Z", "active"),
    ),
    Call(
        "subscriptions.destroy",
        lambda world: (world.subscription().external_id,),
        reads("status", "on_termination_invoice", "terminated_at"),
        ("terminated", "skip", "2026-02-03T00:00:00Z"),
        {"options": {"on_termination_invoice": "skip"}},
    ),
)

BILLING_CALLS = (
    Call(
        "events.create",
        lambda world: (world.event(world.code(), timestamp="1770033600.25"),),
        reads("code", "timestamp", "properties", "lago_customer_id"),
        ("tokens", "2026-02-02T12:00:00.250Z", {"count": 1}, None),
    ),
    Call(
        "events.batch_create",
        lambda world: (BatchEvent(events=[world.event(world.code()), world.event(world.code())]),),
        repr,
        "None",
    ),
    Call(
        "events.find",
        lambda _: ("february",),
        reads("external_subscription_id", "timestamp", "properties"),
        ("acme-pro", "2026-02-02T12:00:00.000Z", {"count": "6"}),
    ),
    Call(
        "invoices.find",
        lambda world: (world.invoice().lago_id,),
        lambda invoice: (invoice.status, invoice.total_amount_cents, len(invoice.fees.__root__)),
        ("finalized", 1857, 1),
    ),
    Call("invoices.find_all", lambda world: (PAGE,), one_page("invoices"), FIRST_OF_ONE),
    Call(
        "invoices.update",
        lambda world: (
            Invoice(
                payment_status="succeeded",
                metadata=InvoiceMetadataList(__root__=[InvoiceMetadata(key="batch", value="7")]),
            ),
            world.invoice().lago_id,
        ),
        lambda invoice: (
            invoice.payment_status,
            invoice.total_due_amount_cents,
            invoice.metadata.__root__[0].value,
        ),
        ("succeeded", 0, "7"),
    ),
    Call(
        "invoices.refresh",
        lambda world: (world.invoice(grace_days=3).lago_id,),
        reads("status", "issuing_date", "total_amount_cents"),
        ("draft", "2026-02-06", 1857),
    ),
    Call(
        "invoices.finalize",
        lambda world: (world.invoice(grace_days=3).lago_id,),
        reads("status", "issuing_date", "payment_status"),
        ("finalized", "2026-02-03", "pending"),
    ),
    Call(
        "invoices.download",
        lambda world: (world.invoice().lago_id,),
        reads("status", "file_url"),
        ("finalized", None),
    ),
    Call(
        "fees.find",
        lambda world: (world.fee().lago_id,),
        lambda fee: (fee.item.type, fee.amount_cents, fee.units, fee.from_date),
        ("subscription", 1857, "1.0", "2026-02-03T00:00:00Z"),
    ),
    Call(
        "fees.find_all",
        lambda _: (PAGE | {"external_customer_id": "acme", "fee_type": "charge"},),
        one_page("fees"),
        FIRST_OF_ONE,
    ),
)

CREDIT_NOTE_CALLS = (
    Call(
        "credit_notes.create",
        lambda world: (
            world.credit_note_of(world.invoice().lago_id, credit_amount_cents=500, reason="order_change"),
        ),
        lambda note: (
            note.credit_status,
            note.balance_amount_cents,
            note.reason,
            note.items.__root__[0].amount_cents,
            note.customer.currency,
        ),
        ("available", 500, "order_change", 500, "USD"),
    ),
    Call(
        "credit_notes.find",
        lambda world: (world.credit_note().lago_id,),
        reads("sequential_id", "total_amount_cents", "refund_status", "metadata"),
        (1, 500, None, None),
    ),
    Call(
        "credit_notes.find_all",
        lambda world: (PAGE if world.credit_note() else {},),
        one_page("credit_notes"),
        FIRST_OF_ONE,
    ),
    Call(
        "credit_notes.update",
        lambda world: (CreditNoteUpdate(refund_status="succeeded"), world.credit_note(is_paid=True).lago_id),
        reads("refund_status", "refund_amount_cents", "credit_status"),
        ("succeeded", 500, None),
    ),
    Call(
        "credit_notes.void",
        lambda world: (world.credit_note().lago_id,),
        reads("credit_status", "balance_amount_cents"),
        ("voided", 0),
    ),
    Call(
        "credit_notes.estimate",
        lambda world: (_estimate_of(world, world.invoice().lago_id),),
        reads("max_creditable_amount_cents", "max_refundable_amount_cents", "max_offsettable_amount_cents"),
        (500, 0, 500),
    ),
    Call(
        "credit_notes.replace_metadata",
        lambda world: (world.credit_note(metadata={"a": "1"}).lago_id, {"b": "2"}),
        dict,
        {"b": "2"},
    ),
    Call(
        "credit_notes.merge_metadata",
        lambda world: (world.credit_note(metadata={"a": "1"}).lago_id, {"b": None}),
        dict,
        {"a": "1", "b": None},
    ),
    Call(
        "credit_notes.delete_all_metadata",
        lambda world: (world.credit_note(metadata={"a": "1"}).lago_id,),
        repr,
        "None",
    ),
    Call(
        "credit_notes.delete_metadata_key",
        lambda world: (world.credit_note(metadata={"a": "1", "b": "2"}).lago_id, "a"),
        dict,
        {"b": "2"},
    ),
)


def _estimate_of(world: World, invoice_id: str) -> CreditNoteEstimate:
    return CreditNoteEstimate(invoice_id=invoice_id, items=Items(__root__=[world.credit_item(invoice_id)]))


CALLS = CATALOG_CALLS + CUSTOMER_CALLS + BILLING_CALLS + CREDIT_NOTE_CALLS

UNAUTHORIZED = {"status": 401, "error": "Unauthorized"}
NO_ROUTE = {"status": 404, "error": "Not Found", "code": "resource_not_found"}
INVOICED = {"status": 405, "error": "Method Not Allowed", "code": "invoiced_fee"}
NO_EXPRESSION = {
    "status": 422,
    "error": "Unprocessable Entity",
    "code": "validation_errors",
    "error_details": {"expression": ["value_is_mandatory"]},
}
NOT_SUPPORTED = {
    "status": 422,
    "error": "Unprocessable Entity",
    "code": "validation_errors",
    "error_details": {"base": ["not_supported"]},
}
NO_PROJECTION = {"status": 403, "error": "Forbidden", "code": "projected_usage_not_enabled"}


def _expression(_: World) -> Arguments:
    event = BillableMetricEvaluateExpressionEvent(code="tokens", timestamp=1, properties={"count": "2"})
    return (BillableMetricEvaluateExpression(expression="event.properties.count * 2", event=event),)


CLIENT_DEFECTS = (
    Refusal("billable_metrics.evaluate_expression", _expression, 422, NO_EXPRESSION),
    Refusal("plan_charges.find_all", lambda _: ("pro",), 401, UNAUTHORIZED),
    Refusal("customer_invoices.find_all", lambda _: ("acme",), 401, UNAUTHORIZED),
    Refusal("customer_subscriptions.find_all", lambda _: ("acme",), 401, UNAUTHORIZED),
    Refusal("customer_credit_notes.find_all", lambda _: ("acme",), 401, UNAUTHORIZED),
)
"""The client sends no body with the first and no key with the others; Lago refuses them in the same way."""

NOT_OFFERED = (
    Refusal("invoices.create", lambda _: (Invoice(),), 422, NOT_SUPPORTED),
    Refusal("invoices.void", lambda world: (world.invoice().lago_id,), 404, NO_ROUTE),
    Refusal("invoices.void_invoice", lambda world: (world.invoice().lago_id,), 404, NO_ROUTE),
    Refusal("invoices.lose_dispute", lambda world: (world.invoice().lago_id,), 404, NO_ROUTE),
    Refusal("invoices.retry", lambda world: (world.invoice().lago_id,), 404, NO_ROUTE),
    Refusal("invoices.retry_payment", lambda world: (world.invoice().lago_id,), 404, NO_ROUTE),
    Refusal("invoices.payment_url", lambda world: (world.invoice().lago_id,), 404, NO_ROUTE),
    Refusal("invoices.destroy", lambda world: (world.invoice(grace_days=3).lago_id,), 404, NO_ROUTE),
    Refusal("invoices.preview", lambda _: (Invoice(),), 404, NO_ROUTE),
    Refusal("credit_notes.download", lambda world: (world.credit_note().lago_id,), 404, NO_ROUTE),
    Refusal("events.estimate_fees", lambda world: (world.event("estimated"),), 404, NO_ROUTE),
    Refusal("fees.update", lambda world: (Fee(payment_status="succeeded"), world.fee().lago_id), 405, INVOICED),
    Refusal("fees.destroy", lambda world: (world.fee().lago_id,), 405, INVOICED),
    Refusal("customers.projected_usage", lambda _: ("acme", "acme-pro"), 403, NO_PROJECTION),
    Refusal("customers.checkout_url", lambda _: ("acme",), 404, NO_ROUTE),
    Refusal("customers.portal_url", lambda _: ("acme",), 404, NO_ROUTE),
    Refusal("subscriptions.lifetime_usage", lambda _: ("acme-pro",), 404, NO_ROUTE),
    Refusal("subscriptions.update_lifetime_usage", lambda _: ("acme-pro", 7), 404, NO_ROUTE),
    Refusal("subscriptions.create_alerts", lambda _: ("acme-pro", Fee()), 404, NO_ROUTE),
    Refusal("subscriptions.delete_alerts", lambda _: ("acme-pro",), 404, NO_ROUTE),
    Refusal("subscriptions.find_all_charge_filters", lambda _: ("acme-pro", "tokens"), 404, NO_ROUTE),
    Refusal("subscriptions.find_charge_filter", lambda _: ("acme-pro", "tokens", "1"), 404, NO_ROUTE),
    Refusal(
        "subscriptions.create_charge_filter", lambda _: ("acme-pro", "tokens", charge_filter("eu")), 404, NO_ROUTE
    ),
    Refusal(
        "subscriptions.update_charge_filter",
        lambda _: ("acme-pro", "tokens", "1", charge_filter("eu")),
        404,
        NO_ROUTE,
    ),
    Refusal("subscriptions.destroy_charge_filter", lambda _: ("acme-pro", "tokens", "1"), 404, NO_ROUTE),
)
"""One-off invoices, voiding, payments, documents of credit notes, estimations, projections, portals, lifetime
usage, alerts, overrides."""

REFUSALS = CLIENT_DEFECTS + NOT_OFFERED
