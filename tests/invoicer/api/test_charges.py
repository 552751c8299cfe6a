"""Charges and their filters: the rules, and the routes that change them one at a time."""

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.models.charge import ChargeFilter as LagoChargeFilter

from tests.invoicer.api.bodies import Json, details, make_charge, make_metric, make_plan, post

CHARGES = "/api/v1/plans/startup/charges"


@pytest.fixture
def metric_id(client: httpx.Client) -> str:
    """A sum of gigabytes with filters on region and tier, next to an empty plan."""
    post(client, "plans", make_plan())
    metric_id: str = post(client, "billable_metrics", make_metric())["lago_id"]
    return metric_id


@pytest.mark.parametrize(
    ("metric", "charge", "errors"),
    [
        ({"aggregation_type": "latest_agg"}, {"charge_model": "percentage"}, {
            "charge_model": ["not_compatible_with_aggregation_type"],
        }),
        ({"aggregation_type": "max_agg"}, {"charge_model": "dynamic"}, {
            "charge_model": ["not_compatible_with_aggregation_type"],
        }),
        ({}, {"prorated": True}, {"prorated": ["invalid_billable_metric_or_charge_model"]}),
        ({"recurring": True}, {"prorated": True, "charge_model": "package"}, {
            "prorated": ["invalid_billable_metric_or_charge_model"],
        }),
        ({"aggregation_type": "weighted_sum_agg", "weighted_interval": "seconds", "recurring": True},
         {"prorated": True},
         {"prorated": ["invalid_billable_metric_or_charge_model"]}),
        ({}, {"min_amount_cents": -1}, {"min_amount_cents": ["value_is_out_of_range"]}),
        ({}, {"properties": {"amount": 5}}, {"properties": ["invalid_amount"]}),
        ({}, {"charge_model": "percentage", "properties": {"rate": "x", "fixed_amount": "y"}}, {
            "properties": ["invalid_rate", "invalid_fixed_amount"],
        }),
        ({}, {"charge_model": "graduated", "properties": {"graduated_ranges": []}}, {
            "properties": ["missing_graduated_ranges"],
        }),
        ({}, {"properties": {"amount": "1", "pricing_group_keys": ["k"] * 21}}, {
            "properties": ["value_is_too_long"],
        }),
        ({}, {"filters": [{"properties": {"amount": "1"}}]}, {"values": ["value_is_mandatory"]}),
        ({}, {"filters": [{"values": {"region": []}}]}, {"values": ["value_is_mandatory"]}),
        ({}, {"filters": [{"values": {"planet": ["mars"]}}]}, {"values": ["value_is_invalid"]}),
        ({}, {"filters": [{"values": {"region": ["asia"]}}]}, {"values": ["value_is_invalid"]}),
        ({}, {"filters": [{"values": {"region": ["us"]}, "properties": {"amount": "x"}}]}, {
            "properties": ["invalid_amount"],
        }),
    ],
)  # fmt: skip
def test_charge_that_makes_no_sense_is_refused(
    client: httpx.Client, metric_id: str, metric: Json, charge: Json, errors: Json
) -> None:
    """Every rule of a charge, with its code."""
    if metric:
        metric_id = post(client, "billable_metrics", make_metric(code="other", **metric))["lago_id"]
    wanted = make_charge(metric_id) | {"properties": {}} | charge

    assert details(client.post(CHARGES, json={"charge": wanted})) == errors


@pytest.mark.parametrize("model", ["standard", "graduated", "volume"])
def test_charge_for_a_recurring_metric_may_be_prorated(client: httpx.Client, metric_id: str, model: str) -> None:
    """With the models that Lago prorates."""
    recurring = post(client, "billable_metrics", make_metric(code="seats", recurring=True))["lago_id"]

    charge = post(client, "plans/startup/charges", {
        "charge": {"billable_metric_id": recurring, "charge_model": model, "prorated": True},
    })  # fmt: skip

    assert charge["prorated"] is True


def test_charge_keeps_only_what_its_model_knows(client: httpx.Client, metric_id: str) -> None:
    """`grouped_by` is the older name of `pricing_group_keys`; both are shown."""
    properties = {"amount": "1", "rate": "5", "grouped_by": ["cloud"], "colour": "red"}

    charge = post(client, "plans/startup/charges", {"charge": make_charge(metric_id, properties=properties)})

    assert charge["properties"] == {"amount": "1", "grouped_by": ["cloud"], "pricing_group_keys": ["cloud"]}


def test_charge_routes_change_one_charge_at_a_time(client: httpx.Client, metric_id: str) -> None:
    """Create, list, show, change, delete; codes may hold a slash."""
    created = post(client, "plans/startup/charges", {"charge": make_charge(metric_id, code="disk/fast")})
    assert created["code"] == "disk/fast"
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id)})

    assert client.get(f"{CHARGES}/disk/fast").json()["charge"] == created
    assert client.get(CHARGES).json()["meta"]["total_count"] == 2
    changed = client.put(f"{CHARGES}/disk/fast", json={"charge": {"properties": {"amount": "9"}}})
    assert changed.json()["charge"]["properties"] == {"amount": "9"}
    assert client.delete(f"{CHARGES}/disk/fast").json()["charge"]["code"] == "disk/fast"
    assert [charge["code"] for charge in client.get(CHARGES).json()["charges"]] == ["storage"]
    assert client.get(f"{CHARGES}/disk/fast").json()["code"] == "charge_not_found"


def test_charge_with_a_taken_code_is_refused(client: httpx.Client, metric_id: str) -> None:
    """Codes are unique within a plan."""
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id)})
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id, code="other")})

    taken = {"code": ["value_already_exist"]}
    assert details(client.post(CHARGES, json={"charge": make_charge(metric_id, code="storage")})) == taken
    assert details(client.put(f"{CHARGES}/other", json={"charge": {"code": "storage"}})) == taken


def test_charge_filters_are_recognised_by_their_values(client: httpx.Client, metric_id: str) -> None:
    """A filter with the same values is the same one, in whatever order they are named."""
    us = {"values": {"region": ["us", "eu"], "tier": ["hot"]}, "properties": {"amount": "1"}}
    eu = {"values": {"region": ["eu"]}, "properties": {"amount": "2"}, "invoice_display_name": "Europe"}
    charge = post(client, "plans/startup/charges", {"charge": make_charge(metric_id, filters=[us, eu])})
    first, second = charge["filters"]
    assert (first["values"], first["charge_code"]) == ({"region": ["eu", "us"], "tier": ["hot"]}, "storage")

    again = {"values": {"tier": ["hot"], "region": ["eu", "us"]}, "properties": {"amount": "3"}}
    everything = {"values": {"region": ["__ALL_FILTER_VALUES__"]}}
    changed = client.put(f"{CHARGES}/storage", json={"charge": {"filters": [everything, again]}}).json()["charge"]

    assert [each["properties"] for each in changed["filters"]] == [{"amount": "0"}, {"amount": "3"}]
    assert changed["filters"][1]["lago_id"] == first["lago_id"]
    assert second["lago_id"] not in {each["lago_id"] for each in changed["filters"]}
    assert client.put(f"{CHARGES}/storage", json={"charge": {"filters": []}}).json()["charge"]["filters"] == []


def test_charge_filter_must_fit_the_model_it_stays_with(client: httpx.Client, metric_id: str) -> None:
    """A charge with standard filters cannot become a percentage and keep them."""
    eu = {"values": {"region": ["eu"]}, "properties": {"amount": "2"}}
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id, filters=[eu])})

    answer = client.put(f"{CHARGES}/storage", json={"charge": {"charge_model": "percentage"}})

    assert details(answer) == {"properties": ["invalid_rate"]}


def test_charge_filters_through_the_official_client(
    lago: LagoClient, client: httpx.Client, metric_id: str
) -> None:
    """Create, show, list, change and delete single filters with lago-python-client."""
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id)})
    wanted = LagoChargeFilter(values={"region": ["eu"]}, properties={"amount": "2"})

    created = lago.plans.create_charge_filter("startup", "storage", wanted)
    found = lago.plans.find_charge_filter("startup", "storage", created.lago_id)
    listed = lago.plans.find_all_charge_filters("startup", "storage")
    renamed = lago.plans.update_charge_filter(
        "startup", "storage", created.lago_id, LagoChargeFilter(invoice_display_name="Europe")
    )

    assert (found.values, found.properties) == ({"region": ["eu"]}, {"amount": "2"})
    assert [each.lago_id for each in listed["filters"]] == [created.lago_id]
    assert (renamed.invoice_display_name, renamed.values) == ("Europe", {"region": ["eu"]})
    lago.plans.destroy_charge_filter("startup", "storage", created.lago_id)
    assert lago.plans.find_all_charge_filters("startup", "storage")["filters"] == []


def test_charge_filter_with_the_values_of_another_is_refused(client: httpx.Client, metric_id: str) -> None:
    """On creation and on change."""
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id)})
    filters = "plans/startup/charges/storage/filters"
    post(client, filters, {"filter": {"values": {"region": ["eu"]}}})
    other = post(client, filters, {"filter": {"values": {"region": ["us"]}}})

    double = {"filter": {"values": {"region": ["eu"]}}}
    taken = {"values": ["value_already_exist"]}
    assert details(client.post(f"/api/v1/{filters}", json=double)) == taken
    assert details(client.put(f"/api/v1/{filters}/{other['lago_id']}", json=double)) == taken


@pytest.mark.parametrize("filter_id", ["no-uuid", "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_charge_filter_that_does_not_exist_is_not_found(
    client: httpx.Client, metric_id: str, filter_id: str
) -> None:
    """Also where the id is none."""
    post(client, "plans/startup/charges", {"charge": make_charge(metric_id)})

    answer = client.get(f"{CHARGES}/storage/filters/{filter_id}")

    assert answer.json()["code"] == "charge_filter_not_found"
