"""Plans over HTTP: creation, what is shown, deletion."""

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.models.charge import Charge as LagoCharge
from lago_python_client.models.charge import Charges as LagoCharges
from lago_python_client.models.plan import Plan as LagoPlan

from tests.invoicer.api.bodies import Json, details, make_charge, make_metric, make_plan, make_tax, post


@pytest.fixture
def metric_id(client: httpx.Client) -> str:
    """A sum of gigabytes with filters on region and tier."""
    metric_id: str = post(client, "billable_metrics", make_metric())["lago_id"]
    return metric_id


def test_plan_through_the_official_client_makes_the_round_trip(lago: LagoClient, client: httpx.Client) -> None:
    """Create, show, list, change and delete with lago-python-client."""
    metric = post(client, "billable_metrics", make_metric())
    charge = LagoCharge(
        billable_metric_id=metric["lago_id"],
        charge_model="graduated",
        min_amount_cents=500,
        properties={
            "graduated_ranges": [
                {"from_value": 0, "to_value": 10, "per_unit_amount": "0.5", "flat_amount": "1"},
                {"from_value": 11, "to_value": None, "per_unit_amount": "0.25", "flat_amount": "0"},
            ]
        },
    )
    created = lago.plans.create(
        LagoPlan(
            name="Startup",
            code="startup/v1.0",
            interval="yearly",
            amount_cents=4900,
            amount_currency="EUR",
            trial_period=14.5,
            pay_in_advance=True,
            bill_charges_monthly=True,
            charges=LagoCharges(__root__=[charge]),
            metadata={"team": "growth"},
        )
    )
    assert (created.trial_period, created.bill_charges_monthly, created.metadata) == (
        14.5,
        True,
        {"team": "growth"},
    )
    shown = created.charges.__root__[0]
    assert (shown.code, shown.min_amount_cents) == ("storage", 500)
    assert shown.properties["graduated_ranges"][1]["per_unit_amount"] == "0.25"

    assert lago.plans.find("startup/v1.0").lago_id == created.lago_id
    changed = lago.plans.update(LagoPlan(name="Scale", charges=LagoCharges(__root__=[])), "startup/v1.0")
    assert (changed.name, changed.charges.__root__) == ("Scale", [])
    assert [plan.code for plan in lago.plans.find_all()["plans"]] == ["startup/v1.0"]
    assert lago.plans.destroy("startup/v1.0").code == "startup/v1.0"
    assert lago.plans.find_all()["plans"] == []


def test_plan_when_created_shows_every_key(client: httpx.Client, metric_id: str) -> None:
    """The keys Lago's serializers write, with the defaults of what was not said."""
    post(client, "taxes", make_tax())
    charge = {"billable_metric_id": metric_id, "charge_model": "package", "tax_codes": ["vat"]}
    plan = post(client, "plans", make_plan(charges=[charge], tax_codes=["vat"]))
    taxes = [client.get("/api/v1/taxes/vat").json()["tax"]]

    assert plan == {
        "lago_id": plan["lago_id"],
        "name": "Startup",
        "invoice_display_name": None,
        "created_at": "2026-03-15T12:00:00Z",
        "code": "startup",
        "interval": "monthly",
        "description": None,
        "amount_cents": 4900,
        "amount_currency": "EUR",
        "trial_period": None,
        "pay_in_advance": False,
        "bill_charges_monthly": None,
        "bill_fixed_charges_monthly": None,
        "customers_count": 0,
        "active_subscriptions_count": 0,
        "draft_invoices_count": 0,
        "parent_id": None,
        "pending_deletion": False,
        "charges": [
            {
                "lago_id": plan["charges"][0]["lago_id"],
                "lago_billable_metric_id": metric_id,
                "code": "storage",
                "invoice_display_name": None,
                "billable_metric_code": "storage",
                "created_at": "2026-03-15T12:00:00Z",
                "charge_model": "package",
                "invoiceable": True,
                "regroup_paid_fees": None,
                "pay_in_advance": False,
                "prorated": False,
                "min_amount_cents": 0,
                "accepts_target_wallet": False,
                "properties": {"amount": "0", "package_size": 1, "free_units": 0},
                "applied_pricing_unit": None,
                "lago_parent_id": None,
                "filters": [],
                "taxes": taxes,
            }
        ],
        "fixed_charges": [],
        "taxes": taxes,
        "usage_thresholds": [],
        "applicable_usage_thresholds": [],
        "entitlements": [],
    }


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"name": None, "code": " "}, {"name": ["value_is_mandatory"], "code": ["value_is_mandatory"]}),
        ({"interval": "daily"}, {"interval": ["value_is_invalid"]}),
        ({"amount_cents": None}, {"amount_cents": ["value_is_mandatory"]}),
        ({"amount_cents": -1}, {"amount_cents": ["value_is_out_of_range"]}),
        ({"amount_currency": "XXX"}, {"amount_currency": ["value_is_invalid"]}),
        ({"trial_period": -1}, {"trial_period": ["value_is_out_of_range"]}),
        ({"charges": [{}]}, {
            "charges.0.billable_metric_id": ["value_is_mandatory"],
            "charges.0.charge_model": ["value_is_mandatory"],
        }),
        ({"code": "taken"}, {"code": ["value_already_exist"]}),
    ],
)  # fmt: skip
def test_plan_that_makes_no_sense_is_refused(client: httpx.Client, changes: Json, errors: Json) -> None:
    """Every rule of a plan's own fields, with its code."""
    post(client, "plans", make_plan(code="taken"))

    assert details(client.post("/api/v1/plans", json=make_plan(**changes))) == errors


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"minimum_commitment": {"amount_cents": 100}}, "minimum_commitment"),
        ({"fixed_charges": [{"units": 1}]}, "fixed_charges"),
        ({"usage_thresholds": [{"amount_cents": 100}]}, "usage_thresholds"),
        ({"entitlements": {"seats": {"max": 5}}}, "entitlements"),
        ({"charges": [{"pay_in_advance": True}]}, "charges.0.pay_in_advance"),
        ({"charges": [{"invoiceable": False}]}, "charges.0.invoiceable"),
        ({"charges": [{"regroup_paid_fees": "invoice"}]}, "charges.0.regroup_paid_fees"),
        ({"charges": [{"applied_pricing_unit": {"code": "credits"}}]}, "charges.0.applied_pricing_unit"),
        ({"charges": [{"accepts_target_wallet": True}]}, "charges.0.accepts_target_wallet"),
    ],
)
def test_plan_with_a_part_that_is_not_billed_is_refused(
    client: httpx.Client, metric_id: str, changes: Json, field: str
) -> None:
    """On creation and on change: better no plan than one that bills less than it says."""
    if "charges" in changes:
        changes = {"charges": [make_charge(metric_id) | changes["charges"][0]]}

    assert details(client.post("/api/v1/plans", json=make_plan(**changes))) == {field: ["not_supported"]}

    post(client, "plans", make_plan())
    assert details(client.put("/api/v1/plans/startup", json={"plan": changes})) == {field: ["not_supported"]}


def test_plan_that_says_nothing_about_unbilled_parts_is_accepted(client: httpx.Client, metric_id: str) -> None:
    """Nulls, empty lists and the defaults ask for nothing."""
    charge = make_charge(metric_id, pay_in_advance=False, invoiceable=True, regroup_paid_fees=None)
    plan = make_plan(minimum_commitment=None, fixed_charges=[], usage_thresholds=[], charges=[charge])

    assert len(post(client, "plans", plan)["charges"]) == 1


def test_plan_with_an_unknown_metric_or_tax_is_not_found(client: httpx.Client, metric_id: str) -> None:
    """And nothing of it is created."""
    stranger = make_charge("01890a5d-ac96-774b-bcce-b302099a8057")

    answers = [
        client.post("/api/v1/plans", json=make_plan(charges=[make_charge(metric_id), stranger])),
        client.post("/api/v1/plans", json=make_plan(tax_codes=["missing"])),
        client.post("/api/v1/plans", json=make_plan(charges=[make_charge(metric_id, tax_codes=["missing"])])),
    ]

    assert [answer.json()["code"] for answer in answers] == [
        "billable_metrics_not_found",
        "tax_not_found",
        "tax_not_found",
    ]
    assert client.get("/api/v1/plans").json()["plans"] == []


@pytest.mark.parametrize(
    ("interval", "given", "shown"),
    [
        ("monthly", True, None),
        ("weekly", None, None),
        ("quarterly", True, None),
        ("yearly", None, False),
        ("semiannual", True, True),
    ],
)
def test_plan_bills_charges_monthly_only_where_its_interval_is_long(
    client: httpx.Client, interval: str, given: bool | None, shown: bool | None
) -> None:
    """Null unless the interval is a year or half of one."""
    plan = post(client, "plans", make_plan(interval=interval, bill_charges_monthly=given))

    assert plan["bill_charges_monthly"] is shown


def test_plan_when_deleted_is_gone_and_its_code_free(client: httpx.Client) -> None:
    """The answer says that the deletion is under way."""
    plan = post(client, "plans", make_plan())

    assert client.delete("/api/v1/plans/startup").json()["plan"]["pending_deletion"] is True

    assert client.get("/api/v1/plans/startup").status_code == 404
    assert post(client, "plans", make_plan())["lago_id"] != plan["lago_id"]


def test_plan_metadata_through_the_official_client(lago: LagoClient, client: httpx.Client) -> None:
    """Replace, merge, remove one, remove all; without notes the plan shows no key for them."""
    post(client, "plans", make_plan(code="a/b"))

    assert lago.plans.replace_metadata("a/b", {"team": "growth", "tier": None}) == {"team": "growth", "tier": None}
    assert lago.plans.merge_metadata("a/b", {"tier": "1"}) == {"team": "growth", "tier": "1"}
    assert lago.plans.delete_metadata_key("a/b", "team") == {"tier": "1"}
    assert client.get("/api/v1/plans/a/b").json()["plan"]["metadata"] == {"tier": "1"}
    assert client.delete("/api/v1/plans/a/b/metadata").json() == {"metadata": None}
    assert "metadata" not in client.get("/api/v1/plans/a/b").json()["plan"]
