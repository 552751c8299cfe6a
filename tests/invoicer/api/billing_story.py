"""A small catalog, put in through the API as a user would, for tests of what is billed."""

from typing import Any

import httpx


def post(client: httpx.Client, path: str, root: str, **values: Any) -> dict[str, Any]:
    """Create a resource and return it."""
    answer = client.post(f"/api/v1/{path}", json={root: values})
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()[root]
    return created


def make_metric(client: httpx.Client, code: str = "calls", **changes: Any) -> dict[str, Any]:
    """A metric that counts events."""
    values = {"name": code.title(), "code": code, "aggregation_type": "count_agg"} | changes
    return post(client, "billable_metrics", "billable_metric", **values)


def make_plan(client: httpx.Client, code: str = "team", **changes: Any) -> dict[str, Any]:
    """A monthly plan at USD 120 in arrears, without charges."""
    values = {
        "name": code.title(),
        "code": code,
        "interval": "monthly",
        "amount_cents": 12_000,
        "amount_currency": "USD",
        "pay_in_advance": False,
    }
    return post(client, "plans", "plan", **(values | changes))


def make_calls_plan(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """The plan team, with calls at 0.10 each."""
    charge = {
        "billable_metric_id": make_metric(client)["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "0.1"},
    }
    return make_plan(client, charges=[charge | changes.pop("charge", {})], **changes)


def subscribe(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    """Customer acme on the plan team as acme-1."""
    values = {"external_customer_id": "acme", "external_id": "acme-1", "plan_code": "team"} | changes
    return post(client, "subscriptions", "subscription", **values)


def move_clock(client: httpx.Client, now: str) -> None:
    """Let time pass until `now`."""
    answer = client.put("/api/v1/test_clock", json={"test_clock": {"now": now}})
    assert answer.status_code == 200, answer.text


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    """The body of a successful read."""
    answer = client.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def invoices(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Every visible invoice, the latest first."""
    listed: list[dict[str, Any]] = get(client, "invoices", **query)["invoices"]
    return listed
