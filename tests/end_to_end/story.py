"""The words the stories are told in: creating what is billed, sending events, waiting until they count."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from tests.services.millrace import Instance

Json = dict[str, Any]
SECONDS_MAX = 60
MORNING = 1_700_114_400
"""2023-11-16T06:00:00Z: inside the first period of a subscription that starts when the stories' clock does."""


def create(instance: Instance, collection: str, root: str, body: Json) -> Json:
    """POST one resource and return it."""
    return unwrap(instance.api.post(collection, json={root: body}), root)


def unwrap(response: httpx.Response, root: str) -> Json:
    """The object under `root` of a 200 answer; anything else fails with what was said."""
    assert response.status_code == httpx.codes.OK, f"{response.request.url} {response.status_code} {response.text}"
    body: Json = response.json()[root]
    return body


def sum_metric(instance: Instance, code: str, field: str, **changes: Any) -> Json:
    """A metric that sums `field`."""
    body = {"name": code, "code": code, "aggregation_type": "sum_agg", "field_name": field}
    return create(instance, "billable_metrics", "billable_metric", body | changes)


def standard_charge(metric: Json, amount: str) -> Json:
    """A charge of `amount` per unit."""
    return {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": amount},
    }


def plan(instance: Instance, code: str, charges: Iterable[Json], **changes: Any) -> Json:
    """A monthly plan in arrears that costs nothing but its usage."""
    body = {"name": code, "code": code, "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
    return create(instance, "plans", "plan", body | {"charges": list(charges)} | changes)


def subscribe(instance: Instance, customer: str, plan_code: str, external_id: str, **changes: Any) -> Json:
    """A calendar subscription, with its customer."""
    create(instance, "customers", "customer", {"external_id": customer, "name": customer, "currency": "USD"})
    body = {"external_customer_id": customer, "plan_code": plan_code, "external_id": external_id}
    return create(instance, "subscriptions", "subscription", body | changes)


def event(subscription: str, code: str, transaction_id: str, properties: Json, **changes: Any) -> Json:
    """An event payload."""
    return {
        "transaction_id": transaction_id,
        "external_subscription_id": subscription,
        "code": code,
        "properties": properties,
    } | changes


def send(instance: Instance, events: list[Json]) -> list[Json]:
    """Send a batch and return its answers."""
    response = instance.ingest.post("events/batch", json={"events": events})
    assert response.status_code == httpx.codes.OK, response.text
    answers: list[Json] = response.json()["events"]
    return answers


def current_usage(instance: Instance, customer: str, subscription: str) -> Json:
    """The current usage of one subscription."""
    params = {"external_subscription_id": subscription}
    return unwrap(instance.api.get(f"customers/{customer}/current_usage", params=params), "customer_usage")


def units_by_metric(usage: Json) -> dict[str, str]:
    """Metric code → units."""
    return {charge["billable_metric"]["code"]: charge["units"] for charge in usage["charges_usage"]}


def move_clock(instance: Instance, now: str) -> None:
    """Move the test clock; everything due on the way has run when this returns."""
    unwrap(instance.api.put("test_clock", json={"test_clock": {"now": now}}, timeout=120), "test_clock")


def invoices_of(instance: Instance, customer: str) -> list[Json]:
    """The customer's invoices in full, oldest first."""
    response = instance.api.get("invoices", params={"external_customer_id": customer})
    listed = response.json()["invoices"]
    full = [unwrap(instance.api.get(f"invoices/{each['lago_id']}"), "invoice") for each in listed]
    return sorted(full, key=lambda invoice: (invoice["issuing_date"], invoice["created_at"]))


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = SECONDS_MAX) -> None:
    """Wait until `condition` holds: in a cluster, an accepted event is counted a moment later."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


def wait_for_units(instance: Instance, customer: str, subscription: str, expected: dict[str, str]) -> None:
    """Wait until the current usage shows the expected units, and say what it showed instead."""
    seen: list[dict[str, str]] = [{}]

    def shows() -> bool:
        seen[0] = units_by_metric(current_usage(instance, customer, subscription))
        return seen[0] == expected

    try:
        wait_for(shows, f"units {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {seen[0]}") from None
