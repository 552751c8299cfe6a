"""lago-python-client 1.55.0, unchanged, against a running instance: every call it has for what is offered."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lago_python_client.client import Client
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models import (
    BatchEvent,
    Customer,
    CustomerBillingConfiguration,
    Event,
    Invoice,
    Subscription,
    Tax,
)
from lago_python_client.version import LAGO_VERSION

from tests.end_to_end.client_calls import CALLS, REFUSALS, Call, Refusal
from tests.end_to_end.client_world import World, charge_filter, metric_of, plan_of, settle
from tests.end_to_end.story import move_clock
from tests.services.millrace import EmbeddedInstance, Instance

CLOCK_START = "2026-01-01T00:00:00Z"
RESOURCES = frozenset(
    "organizations billable_metrics plans plan_charges taxes customers subscriptions events invoices fees "
    "credit_notes customer_invoices customer_subscriptions customer_credit_notes".split()
)
"""The parts of the client that are offered; of the others, none."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running instance on 2026-02-03 with something in it, and the client."""
    data_dir = tmp_path_factory.mktemp("official-client") / "data"
    with EmbeddedInstance(data_dir, test_clock=CLOCK_START) as instance:
        made = World(instance, client_of(instance))
        settle(made)
        yield made


def client_of(instance: Instance, api_key: str | None = None) -> Client:
    """The client as its documentation makes it."""
    return Client(api_key=instance.api_key if api_key is None else api_key, api_url=instance.api_url)


def operation(lago: Client, name: str, *, called: bool = False) -> Callable[..., Any]:
    """`client.plans.create` of "plans.create", or with `called` the older `client.plans().create`."""
    resource, method = name.split(".")
    part = getattr(lago, resource)
    found: Callable[..., Any] = getattr(part() if called else part, method)
    return found


def test_client_is_the_version_that_is_promised() -> None:
    """What the tables say was observed on this version."""
    assert LAGO_VERSION == "1.55.0"


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_every_call_of_the_client_is_in_a_table() -> None:
    """Each method of each part is either offered or refused, and tested as such."""
    parts = {name: getattr(Client(api_key="none"), name)() for name in RESOURCES}
    methods = {
        f"{name}.{method}"
        for name, part in parts.items()
        for method, _ in inspect.getmembers(type(part), inspect.isfunction)
        if not method.startswith("_")
    }

    assert sorted(each.name for each in (*CALLS, *REFUSALS)) == sorted(methods)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("called", [False, True], ids=["property", "called"])
@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_call_of_the_client_shows_what_it_should(world: World, call: Call, called: bool) -> None:
    """The client reads every answer, in both styles it may be used in."""
    make = operation(world.lago, call.name, called=called)

    assert call.shows(make(*call.arguments(world), **call.options)) == call.expected


@pytest.mark.parametrize("refusal", REFUSALS, ids=[refusal.name for refusal in REFUSALS])
def test_call_that_is_refused_says_so_in_lagos_words(world: World, refusal: Refusal) -> None:
    """The status arrives, and the body, which the client loses when it is no JSON."""
    arguments = refusal.arguments(world)

    with pytest.raises(LagoApiError) as caught:
        operation(world.lago, refusal.name)(*arguments)

    assert (caught.value.status_code, caught.value.response) == (refusal.status, refusal.body)


@pytest.mark.parametrize(
    ("name", "arguments", "status", "code", "details"),
    [
        ("plans.find", ("nothing",), 404, "plan_not_found", None),
        ("billable_metrics.destroy", ("nothing",), 404, "billable_metric_not_found", None),
        ("customers.find", ("nothing",), 404, "customer_not_found", None),
        ("customers.current_usage", ("acme", "nothing"), 405, "no_active_subscription", None),
        ("subscriptions.destroy", ("nothing",), 404, "subscription_not_found", None),
        ("invoices.find", ("nothing",), 404, "invoice_not_found", None),
        ("fees.find", ("nothing",), 404, "fee_not_found", None),
        ("credit_notes.find", ("nothing",), 404, "credit_note_not_found", None),
        ("events.find", ("nothing",), 404, "event_not_found", None),
        (
            "billable_metrics.create",
            (metric_of("tokens"),),
            422,
            "validation_errors",
            {"code": ["value_already_exist"]},
        ),
        ("taxes.create", (Tax(code="x", rate=1.0),), 422, "validation_errors", {"name": ["value_is_mandatory"]}),
        (
            "plans.create",
            (plan_of("x", [], interval="daily"),),
            422,
            "validation_errors",
            {"interval": ["value_is_invalid"]},
        ),
        (
            "events.create",
            (Event(transaction_id="x", external_subscription_id="s", code="tokens", timestamp="today"),),
            422,
            "validation_errors",
            {"timestamp": ["invalid_format"]},
        ),
        (
            "subscriptions.create",
            (Subscription(external_customer_id="acme", external_id="acme-pro", plan_code="advance"),),
            422,
            "validation_errors",
            {"plan_code": ["not_supported"]},
        ),
    ],
)
def test_error_reaches_the_caller_with_its_code_and_details(
    world: World, name: str, arguments: tuple[Any, ...], status: int, code: str, details: object
) -> None:
    """404, 405 and 422 are raised with Lago's codes."""
    with pytest.raises(LagoApiError) as caught:
        operation(world.lago, name)(*arguments)

    body = caught.value.response
    assert (caught.value.status_code, body["status"], body["code"]) == (status, status, code)
    assert body.get("error_details") == details


@pytest.mark.parametrize("name", ["plans.find_all", "customers.find_all", "invoices.find_all", "fees.find_all"])
def test_client_with_an_unknown_key_is_told_so(world: World, name: str) -> None:
    """401 with Lago's body."""
    stranger = client_of(world.instance, "nobody's key")

    with pytest.raises(LagoApiError) as caught:
        operation(stranger, name)()

    assert (caught.value.status_code, caught.value.response) == (401, {"status": 401, "error": "Unauthorized"})


def test_events_of_a_client_with_an_unknown_key_are_refused(world: World) -> None:
    """Also where events are taken in."""
    stranger = client_of(world.instance, "nobody's key")

    with pytest.raises(LagoApiError) as caught:
        stranger.events.create(world.event("stranger"))

    assert (caught.value.status_code, caught.value.response) == (401, {"status": 401, "error": "Unauthorized"})


def test_client_with_an_ingest_service_sends_its_events_there(world: World) -> None:
    """`use_ingest_service` moves single events to another address, which may be the same."""
    url = world.instance.ingest_url
    lago = Client(world.instance.api_key, world.instance.api_url, use_ingest_service=True, ingest_api_url=url)

    sent = lago.events.create(world.event("through-ingest"))

    assert (sent.transaction_id, sent.lago_id) == ("through-ingest", lago.events.find("through-ingest").lago_id)


@pytest.mark.parametrize("code", ["a/b", "v2.0", "with space", "ünïcode", "50%", "a/charges-of/b"])
def test_code_that_is_no_plain_word_is_found_again(world: World, code: str) -> None:
    """The client puts codes into the path as they are."""
    world.lago.plans.create(plan_of(code, []))
    world.lago.billable_metrics.create(metric_of(code))
    world.lago.customers.create(Customer(external_id=code))

    assert world.lago.plans.find(code).code == code
    assert world.lago.billable_metrics.destroy(code).code == code
    assert world.lago.customers.find(code).external_id == code


def test_batch_with_a_faulty_event_names_it_and_stores_nothing(world: World) -> None:
    """All or nothing, the faults under the index of their event."""
    events = [world.event("kept-out"), world.event("faulty", timestamp="yesterday")]

    with pytest.raises(LagoApiError) as caught:
        world.lago.events.batch_create(BatchEvent(events=events))

    assert caught.value.response["error_details"] == {"1": {"timestamp": ["invalid_format"]}}
    with pytest.raises(LagoApiError, match="event_not_found"):
        world.lago.events.find("kept-out")


def test_list_is_walked_page_by_page(world: World) -> None:
    """The meta object leads through all plans and back, each once."""
    for _ in range(3):
        world.plan()
    codes: list[str] = []
    page: int | None = 1
    while page is not None:
        answer = world.lago.plans.find_all({"page": page, "per_page": 2})
        codes += [plan.code for plan in answer["plans"]]
        page = answer["meta"]["next_page"]

    assert len(codes) == len(set(codes)) == answer["meta"]["total_count"]
    assert {"pro", "advance"} <= set(codes)


def test_list_of_nothing_is_an_empty_page(world: World) -> None:
    """Page 0 of 0."""
    answer = world.lago.invoices.find_all({"external_customer_id": "nobody"})

    nothing = {"current_page": 0, "next_page": None, "prev_page": None, "total_pages": 0, "total_count": 0}
    assert answer == {"invoices": [], "meta": nothing}


def test_usage_of_filters_shows_a_default_bucket_the_client_can_read(world: World) -> None:
    """1 token in the EU at 0.25, 2 elsewhere at 0.50: 0.25 + 1.00; the bucket of the rest has no values."""
    plan = world.plan()
    world.lago.plans.create_charge_filter(plan.code, plan.code, charge_filter("eu"))
    subscription = world.subscription(plan.code)
    own = {"external_subscription_id": subscription.external_id, "code": plan.code}
    for region in ("eu", "us", None):
        world.lago.events.create(world.event(world.code(), properties={"count": 1, "region": region}, **own))

    usage = world.lago.customers.current_usage(subscription.external_customer_id, subscription.external_id)

    [charge] = usage.charges_usage
    by_values = {str(each.values): (each.units, each.amount_cents) for each in charge.filters}
    assert by_values == {"{'region': ['eu']}": ("1.0", 25), "None": ("2.0", 100)}
    assert (charge.units, usage.amount_cents, usage.lago_invoice_id) == ("3.0", 125, None)


def test_invoice_through_the_client_goes_from_draft_to_paid(data_dir: Path) -> None:
    """Three days of grace: 10 tokens at 0.50 and 20.00 a month are drafted on the 1st, 2 late ones refreshed in,
    the invoice finalized and paid; taxed at 20 %: (20.00 + 6.00) × 1.2 = 31.20.
    """
    with EmbeddedInstance(data_dir, test_clock=CLOCK_START) as instance:
        world = World(instance, client_of(instance))
        lago = world.lago
        lago.taxes.create(Tax(name="VAT", code="vat", rate=20.0))
        lago.billable_metrics.create(metric_of("tokens"))
        lago.plans.create(plan_of("pro", [world.charge("tokens")], amount_cents=2000))
        grace = CustomerBillingConfiguration(invoice_grace_period=3)
        lago.customers.create(Customer(external_id="acme", billing_configuration=grace, tax_codes=["vat"]))
        lago.subscriptions.create(
            Subscription(external_customer_id="acme", external_id="acme-pro", plan_code="pro")
        )
        move_clock(instance, "2026-01-31T12:00:00Z")
        for transaction_id, tokens in (("a", 4), ("b", 6), ("b", 6)):
            sent = Event(
                transaction_id=transaction_id,
                external_subscription_id="acme-pro",
                code="tokens",
                properties={"count": tokens},
            )
            lago.events.create(sent)
        used = lago.customers.current_usage("acme", "acme-pro")
        assert (used.amount_cents, used.taxes_amount_cents, used.total_amount_cents) == (500, 100, 600)

        move_clock(instance, "2026-02-01T06:00:00Z")
        [draft] = lago.invoices.find_all({"external_customer_id": "acme"})["invoices"]
        assert (draft.status, draft.total_amount_cents, draft.issuing_date) == ("draft", 3000, "2026-02-04")
        late = {"external_subscription_id": "acme-pro", "timestamp": "1769860800"}  # 2026-01-31T12:00:00Z
        lago.events.create(world.event("late", properties={"count": 2}, **late))
        refreshed = lago.invoices.refresh(draft.lago_id)
        assert (refreshed.status, refreshed.fees_amount_cents, refreshed.total_amount_cents) == (
            "draft",
            2600,
            3120,
        )

        final = lago.invoices.finalize(draft.lago_id)
        assert (final.status, final.payment_status, final.issuing_date) == ("finalized", "pending", "2026-02-01")
        assert (final.total_amount_cents, final.total_due_amount_cents) == (3120, 3120)
        assert lago.invoices.download(draft.lago_id).number == final.number
        amounts = {fee.item.type: (fee.amount_cents, fee.taxes_amount_cents) for fee in final.fees.__root__}
        assert amounts == {"subscription": (2000, 400), "charge": (600, 120)}
        assert len(lago.fees.find_all({"external_subscription_id": "acme-pro"})["fees"]) == 2

        paid = lago.invoices.update(Invoice(payment_status="succeeded"), draft.lago_id)
        assert (paid.payment_status, paid.total_due_amount_cents, paid.total_paid_amount_cents) == (
            "succeeded",
            0,
            3120,
        )
        [past] = lago.customers.past_usage("acme", "acme-pro")["usage_periods"]
        assert (past.charges_usage[0].units, past.lago_invoice_id) == ("12.0", draft.lago_id)
        assert lago.subscriptions.destroy("acme-pro").status == "terminated"
        with pytest.raises(LagoApiError, match="no_active_subscription"):
            lago.customers.current_usage("acme", "acme-pro")
