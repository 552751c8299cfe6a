"""Billable metrics over HTTP."""

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models.billable_metric import (
    BillableMetric as LagoMetric,
)
from lago_python_client.models.billable_metric import (
    BillableMetricEvaluateExpression,
    BillableMetricEvaluateExpressionEvent,
    BillableMetricFilter,
    BillableMetricFilters,
)

from tests.invoicer.api.bodies import Json, details, make_charge, make_metric, make_plan, post


def test_metric_through_the_official_client_makes_the_round_trip(lago: LagoClient) -> None:
    """Create, show, list, change and delete with lago-python-client."""
    filters = BillableMetricFilters(__root__=[BillableMetricFilter(key="region", values=["us", "eu", "us"])])
    created = lago.billable_metrics.create(
        LagoMetric(
            name="Storage",
            code="storage.gb/h",
            aggregation_type="weighted_sum_agg",
            weighted_interval="seconds",
            field_name="gb",
            recurring=True,
            rounding_function="ceil",
            rounding_precision=-1,
            filters=filters,
        )
    )
    assert (created.code, created.weighted_interval, created.rounding_precision) == ("storage.gb/h", "seconds", -1)
    assert created.filters.__root__[0].values == ["eu", "us"]

    assert lago.billable_metrics.find("storage.gb/h").lago_id == created.lago_id
    assert lago.billable_metrics.update(LagoMetric(name="Disk"), "storage.gb/h").name == "Disk"
    assert [metric.name for metric in lago.billable_metrics.find_all()["billable_metrics"]] == ["Disk"]
    assert lago.billable_metrics.destroy("storage.gb/h").code == "storage.gb/h"
    assert lago.billable_metrics.find_all()["meta"]["total_count"] == 0


def test_metric_shows_its_counters_everywhere_but_alone(client: httpx.Client) -> None:
    """Upstream's deprecated counters, constant 0, are absent from the single view."""
    created = post(client, "billable_metrics", make_metric())
    shown = client.get("/api/v1/billable_metrics/storage").json()["billable_metric"]

    counters = {"active_subscriptions_count", "draft_invoices_count", "plans_count"}
    assert set(created) - set(shown) == counters
    assert {created[name] for name in counters} == {0}
    assert shown == {
        "lago_id": created["lago_id"],
        "name": "Storage",
        "code": "storage",
        "description": None,
        "aggregation_type": "sum_agg",
        "weighted_interval": None,
        "recurring": False,
        "rounding_function": None,
        "rounding_precision": None,
        "created_at": "2026-03-15T12:00:00Z",
        "field_name": "gb",
        "expression": None,
        "filters": [
            {"key": "region", "values": ["eu", "us"]},
            {"key": "tier", "values": ["cold", "hot"]},
        ],
    }


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"name": ""}, {"name": ["value_is_mandatory"]}),
        ({"code": None}, {"code": ["value_is_mandatory"]}),
        ({"aggregation_type": "average"}, {"aggregation_type": ["value_is_invalid"]}),
        ({"field_name": None}, {"field_name": ["value_is_mandatory"]}),
        (
            {"aggregation_type": "max_agg", "recurring": True},
            {"recurring": ["not_compatible_with_aggregation_type"]},
        ),
        (
            {"aggregation_type": "latest_agg", "recurring": True},
            {"recurring": ["not_compatible_with_aggregation_type"]},
        ),
        (
            {"aggregation_type": "count_agg", "recurring": True},
            {"recurring": ["not_compatible_with_aggregation_type"]},
        ),
        ({"aggregation_type": "weighted_sum_agg"}, {"weighted_interval": ["value_is_mandatory"]}),
        ({"weighted_interval": "hours"}, {"weighted_interval": ["value_is_invalid"]}),
        ({"rounding_function": "trunc"}, {"rounding_function": ["value_is_invalid"]}),
        ({"rounding_precision": 19}, {"rounding_precision": ["value_is_out_of_range"]}),
        ({"expression": "1 +"}, {"expression": ["invalid_expression"]}),
        ({"expression": "x" * 2001}, {"expression": ["value_is_too_long"]}),
        ({"filters": [{"key": "region", "values": []}]}, {"values": ["value_is_mandatory"]}),
        ({"filters": [{"key": " ", "values": ["a"]}]}, {"filters.0.key": ["value_is_mandatory"]}),
        (
            {"field_name": None, "expression": "1 +", "code": "taken"},
            {
                "field_name": ["value_is_mandatory"],
                "expression": ["invalid_expression"],
                "code": ["value_already_exist"],
            },
        ),
    ],
)
def test_metric_that_makes_no_sense_is_refused(client: httpx.Client, changes: Json, errors: Json) -> None:
    """Every rule of a definition, with its code."""
    post(client, "billable_metrics", make_metric(code="taken"))

    assert details(client.post("/api/v1/billable_metrics", json=make_metric(**changes))) == errors


def test_metric_that_counts_has_no_field(client: httpx.Client) -> None:
    """A count measures no property."""
    metric = post(client, "billable_metrics", make_metric(aggregation_type="count_agg"))

    assert metric["field_name"] is None


def test_metric_with_a_custom_aggregation_is_forbidden(client: httpx.Client) -> None:
    """A feature that an organization would have to be given."""
    answer = client.post("/api/v1/billable_metrics", json=make_metric(aggregation_type="custom_agg"))

    assert answer.status_code == 403
    assert answer.json() == {"status": 403, "error": "Forbidden", "code": "feature_unavailable"}


def test_metric_on_a_plan_changes_only_its_names_and_filters(client: httpx.Client) -> None:
    """What events are measured by stays, silently."""
    metric = post(client, "billable_metrics", make_metric())
    post(client, "plans", make_plan(charges=[make_charge(metric["lago_id"])]))
    wanted = make_metric(
        name="Disk", code="disk", description="d", aggregation_type="max_agg", field_name="tb", filters=[]
    )

    changed = client.put("/api/v1/billable_metrics/storage", json=wanted).json()["billable_metric"]

    assert (changed["name"], changed["description"], changed["filters"]) == ("Disk", "d", [])
    assert (changed["code"], changed["aggregation_type"], changed["field_name"]) == ("storage", "sum_agg", "gb")


def test_metric_on_no_plan_changes_altogether(client: httpx.Client) -> None:
    """Nothing is billed by it yet."""
    post(client, "billable_metrics", make_metric())
    wanted = {"billable_metric": {"code": "calls", "aggregation_type": "count_agg"}}

    changed = client.put("/api/v1/billable_metrics/storage", json=wanted).json()["billable_metric"]

    assert (changed["code"], changed["aggregation_type"], changed["field_name"]) == ("calls", "count_agg", None)
    assert client.get("/api/v1/billable_metrics/storage").status_code == 404


def test_metric_when_deleted_leaves_its_plans(client: httpx.Client) -> None:
    """Its charges go with it, its code is free again."""
    metric = post(client, "billable_metrics", make_metric())
    post(client, "plans", make_plan(charges=[make_charge(metric["lago_id"])]))

    client.delete("/api/v1/billable_metrics/storage")

    assert client.get("/api/v1/plans/startup").json()["plan"]["charges"] == []
    assert post(client, "billable_metrics", make_metric())["lago_id"] != metric["lago_id"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([{"key": "region", "values": ["eu"]}, {"key": "tier", "values": ["hot"]}], [{"region": ["eu"]}]),
        ([{"key": "region", "values": ["us"]}], [{"region": ["us"]}]),
        ([{"key": "tier", "values": ["hot"]}], []),
    ],
)
def test_charge_filter_follows_what_its_metric_still_declares(
    client: httpx.Client, filters: list[Json], expected: list[Json]
) -> None:
    """Withdrawn values go; a filter without a key or left without values goes too, and so does a double."""
    metric = post(client, "billable_metrics", make_metric())
    narrow = {"values": {"region": ["us", "eu"]}, "properties": {"amount": "1"}}
    narrower = {"values": {"region": ["us"]}, "properties": {"amount": "2"}}
    charge = make_charge(metric["lago_id"], filters=[narrow, narrower])
    post(client, "plans", make_plan(charges=[charge]))

    client.put("/api/v1/billable_metrics/storage", json={"billable_metric": {"filters": filters}})

    shown = client.get("/api/v1/plans/startup").json()["plan"]["charges"][0]["filters"]
    assert [each["values"] for each in shown] == expected


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("event.properties.gb * 2", "3.0"),
        ("concat(event.code, '-', 'x')", "storage-x"),
        ("round(event.timestamp)", "1773576000.0"),
    ],
)
def test_expression_is_tried_on_an_event(client: httpx.Client, expression: str, value: str) -> None:
    """Without a timestamp the event happens now: 2026-03-15 12:00 UTC."""
    event = {"code": "storage", "properties": {"gb": 1.5}}

    answer = client.post(
        "/api/v1/billable_metrics/evaluate_expression", json={"expression": expression, "event": event}
    )

    assert answer.json() == {"expression_result": {"value": value}}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"expression": ["value_is_mandatory"]}),
        ({"expression": "1 +"}, {"expression": ["invalid_expression"]}),
        ({"expression": 5}, {"expression": ["invalid_expression"]}),
        ({"expression": "1"}, {"event": ["invalid_event"]}),
        ({"expression": "1", "event": []}, {"event": ["invalid_event"]}),
        ({"expression": "1", "event": {"timestamp": "noon"}}, {"event": ["invalid_event"]}),
        ({"expression": "event.properties.gb", "event": {"properties": {}}}, {"event": ["invalid_event"]}),
    ],
)
def test_expression_that_cannot_be_tried_is_refused(client: httpx.Client, body: Json, errors: Json) -> None:
    """The two names Lago answers with."""
    answer = client.post("/api/v1/billable_metrics/evaluate_expression", json=body)

    assert details(answer) == errors


def test_expression_from_the_official_client_arrives_without_a_body(lago: LagoClient) -> None:
    """Version 1.55.0 forgets to send it; it gets Lago's answer."""
    event = BillableMetricEvaluateExpressionEvent(code="a", properties={})
    with pytest.raises(LagoApiError) as refused:
        lago.billable_metrics.evaluate_expression(BillableMetricEvaluateExpression(expression="1", event=event))

    assert refused.value.status_code == 422
    assert refused.value.response["error_details"] == {"expression": ["value_is_mandatory"]}
