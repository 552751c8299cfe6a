"""Request bodies with valid defaults, and the calls that create what a test needs first."""

from typing import Any

import httpx

Json = dict[str, Any]


def make_tax(**changes: Any) -> Json:
    """A tax of 20 %."""
    return {"tax": {"name": "VAT", "code": "vat", "rate": "20.0"} | changes}


def make_metric(**changes: Any) -> Json:
    """A sum of gigabytes, told apart by region and tier."""
    metric = {
        "name": "Storage",
        "code": "storage",
        "aggregation_type": "sum_agg",
        "field_name": "gb",
        "filters": [
            {"key": "region", "values": ["us", "eu"]},
            {"key": "tier", "values": ["hot", "cold"]},
        ],
    }
    return {"billable_metric": metric | changes}


def make_charge(metric_id: str, **changes: Any) -> Json:
    """A standard charge of 0.05 a unit (the charge itself, without its root key)."""
    return {
        "billable_metric_id": metric_id,
        "charge_model": "standard",
        "properties": {"amount": "0.05"},
    } | changes


def make_plan(**changes: Any) -> Json:
    """A monthly plan of 49.00 EUR without charges."""
    plan = {
        "name": "Startup",
        "code": "startup",
        "interval": "monthly",
        "amount_cents": 4900,
        "amount_currency": "EUR",
        "pay_in_advance": False,
    }
    return {"plan": plan | changes}


def make_customer(**changes: Any) -> Json:
    """A customer with nothing but its external id and name."""
    return {"customer": {"external_id": "acme", "name": "Acme"} | changes}


def post(client: httpx.Client, path: str, body: Json) -> Json:
    """The resource that a creation answers, below its root key."""
    answer = client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    resource: Json = next(iter(answer.json().values()))
    return resource


def details(answer: httpx.Response) -> Json:
    """The `error_details` of a 422, with its envelope checked."""
    body: Json = answer.json()
    assert answer.status_code == 422, answer.text
    assert (body["status"], body["error"], body["code"]) == (422, "Unprocessable Entity", "validation_errors")
    errors: Json = body["error_details"]
    return errors
