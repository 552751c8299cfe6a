"""Changes of plans: what may change when, and how the list of charges is replaced."""

from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from invoicer.context import Context
from invoicer.db import Plan, Subscription
from invoicer.db.session import transaction
from tests.invoicer.api import billing_story as story
from tests.invoicer.api.bodies import (
    Json,
    details,
    make_charge,
    make_customer,
    make_metric,
    make_plan,
    make_tax,
    post,
)


@pytest.fixture
def metric_id(client: httpx.Client) -> str:
    """A sum of gigabytes with filters on region and tier."""
    metric_id: str = post(client, "billable_metrics", make_metric())["lago_id"]
    return metric_id


def subscribe(context: Context, client: httpx.Client, plan_code: str, status: str = "active") -> None:
    """Put a customer on the plan, straight in the database."""
    customer_id = post(client, "customers", make_customer())["lago_id"]
    started_at = datetime(2026, 3, 1, tzinfo=UTC)
    with transaction(context.sessions) as session:
        plan = session.query(Plan).filter_by(code=plan_code).one()
        session.add(
            Subscription(
                organization_id=plan.organization_id,
                customer_id=UUID(customer_id),
                plan_id=plan.id,
                external_id="sub",
                status=status,
                subscription_at=started_at,
                started_at=started_at,
                created_at=started_at,
                updated_at=started_at,
            )
        )


def change(client: httpx.Client, **changes: object) -> Json:
    """The plan after a change."""
    answer = client.put("/api/v1/plans/startup", json={"plan": changes})
    assert answer.status_code == 200, answer.text
    plan: Json = answer.json()["plan"]
    return plan


def test_plan_without_subscriptions_changes_altogether(client: httpx.Client) -> None:
    """Nobody pays for it yet."""
    post(client, "plans", make_plan(trial_period=7))

    plan = client.put(
        "/api/v1/plans/startup",
        json={
            "plan": {
                "code": "scale",
                "interval": "yearly",
                "amount_currency": "USD",
                "pay_in_advance": True,
                "bill_charges_monthly": True,
                "trial_period": None,
            }
        },
    ).json()["plan"]

    assert (plan["code"], plan["interval"], plan["amount_currency"]) == ("scale", "yearly", "USD")
    assert (plan["pay_in_advance"], plan["bill_charges_monthly"], plan["trial_period"]) == (True, True, None)
    assert plan["name"] == "Startup"


@pytest.mark.parametrize("status", ["active", "pending", "terminated"])
def test_plan_with_a_subscription_keeps_its_terms(client: httpx.Client, context: Context, status: str) -> None:
    """Only names, amount and taxes change; the rest is silently left."""
    post(client, "taxes", make_tax())
    post(client, "plans", make_plan())
    subscribe(context, client, "startup", status)

    plan = change(
        client,
        name="Scale",
        description="more",
        amount_cents=5900,
        tax_codes=["vat"],
        code="scale",
        interval="yearly",
        amount_currency="USD",
        trial_period=30,
        pay_in_advance=True,
    )

    assert (plan["name"], plan["description"], plan["amount_cents"]) == ("Scale", "more", 5900)
    assert [tax["code"] for tax in plan["taxes"]] == ["vat"]
    assert (plan["code"], plan["interval"], plan["amount_currency"]) == ("startup", "monthly", "EUR")
    assert (plan["trial_period"], plan["pay_in_advance"]) == (None, False)


def test_plan_charges_are_replaced_as_a_whole(client: httpx.Client, metric_id: str) -> None:
    """A known id is changed, what has none is new, what is missing goes."""
    plan = post(client, "plans", make_plan(charges=[make_charge(metric_id), make_charge(metric_id)]))
    first, second = plan["charges"]
    assert (first["code"], second["code"]) == ("storage", "storage_2")

    kept = {"id": first["lago_id"], "properties": {"amount": "7"}, "invoice_display_name": "Disk"}
    plan = change(client, charges=[kept, make_charge(metric_id, code="extra")])

    assert [charge["code"] for charge in plan["charges"]] == ["storage", "extra"]
    assert plan["charges"][0]["lago_id"] == first["lago_id"]
    assert (plan["charges"][0]["properties"], plan["charges"][0]["invoice_display_name"]) == (
        {"amount": "7"},
        "Disk",
    )
    assert change(client, name="Scale")["charges"] == plan["charges"]
    assert change(client, charges=[])["charges"] == []


def test_plan_charge_that_names_no_known_id_must_be_complete(client: httpx.Client) -> None:
    """It is a new one."""
    post(client, "plans", make_plan())
    unknown = {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "properties": {"amount": "7"}}

    answer = client.put("/api/v1/plans/startup", json={"plan": {"charges": [unknown]}})

    assert details(answer) == {
        "billable_metric_id": ["value_is_mandatory"],
        "charge_model": ["value_is_mandatory"],
    }


def test_plan_charge_changes_its_model_only_without_subscriptions(
    client: httpx.Client, context: Context, metric_id: str
) -> None:
    """Without properties the new model starts from its defaults; a subscribed plan keeps model and code."""
    plan = post(client, "plans", make_plan(charges=[make_charge(metric_id)]))
    charge_id = plan["charges"][0]["lago_id"]

    changed = change(client, charges=[{"id": charge_id, "charge_model": "percentage"}])["charges"][0]
    assert (changed["charge_model"], changed["properties"]) == ("percentage", {"rate": "0"})

    subscribe(context, client, "startup")
    wanted = {"id": charge_id, "charge_model": "standard", "code": "other", "properties": {"rate": "5"}}
    changed = change(client, charges=[wanted | {"min_amount_cents": 100}])["charges"][0]
    assert (changed["charge_model"], changed["code"], changed["properties"]) == (
        "percentage",
        "storage",
        {"rate": "5"},
    )
    assert changed["min_amount_cents"] == 100


def test_plan_update_that_is_refused_changes_nothing(client: httpx.Client, metric_id: str) -> None:
    """Every issue of every charge is answered, and the plan stays as it was."""
    before = post(client, "plans", make_plan(charges=[make_charge(metric_id)]))
    charges = [
        {"id": before["charges"][0]["lago_id"], "properties": {"amount": "-1"}},
        make_charge(metric_id, prorated=True),
    ]

    answer = client.put("/api/v1/plans/startup", json={"plan": {"name": "Scale", "charges": charges}})

    assert details(answer) == {
        "properties": ["invalid_amount"],
        "prorated": ["invalid_billable_metric_or_charge_model"],
    }
    assert client.get("/api/v1/plans/startup").json()["plan"] == before


def test_plan_whose_last_subscription_has_ended_keeps_the_terms_it_is_billed_by(client: httpx.Client) -> None:
    """15 to 20 March are 6 of 31 days of USD 120: 23.23, also where the draft becomes final after the update."""
    story.post(
        client,
        "customers",
        "customer",
        external_id="acme",
        billing_configuration={"invoice_grace_period": 3},
    )
    story.make_calls_plan(client)
    story.subscribe(client)
    story.move_clock(client, "2026-03-20T12:00:00Z")
    assert client.delete("/api/v1/subscriptions/acme-1").status_code == 200
    story.move_clock(client, "2026-03-21T12:00:00Z")
    changes = {"interval": "yearly", "amount_currency": "JPY", "pay_in_advance": True}
    assert client.put("/api/v1/plans/team", json={"plan": changes}).status_code == 200
    story.move_clock(client, "2026-03-25T12:00:00Z")
    [invoice] = story.invoices(client)
    assert (invoice["status"], invoice["currency"], invoice["total_amount_cents"]) == ("finalized", "USD", 2323)
