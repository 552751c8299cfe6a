"""The metric, the plan and the subscriptions of the benchmark, made over the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from schemas.period import TimeRange
from tests.bench.load import get_request
from tests.bench.measurement import BenchmarkError
from tests.bench.usage_events import METRIC
from tests.services.millrace import Instance

CUSTOMER = "acme"
PLAN = "pay-per-token"


def create(instance: Instance, collection: str, root: str, body: Mapping[str, object]) -> dict[str, Any]:
    """POST one resource and return it."""
    return unwrap(instance.api.post(collection, json={root: dict(body)}), root)


def create_metric(instance: Instance) -> dict[str, Any]:
    """The metric that sums the tokens of the events."""
    return create(instance, "billable_metrics", "billable_metric", METRIC)


def create_plan(instance: Instance, metric: Mapping[str, Any]) -> None:
    """The customer, and a monthly plan with one charge for the tokens."""
    create(instance, "customers", "customer", {"external_id": CUSTOMER, "name": "Acme", "currency": "USD"})
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "0.0002"},
    }
    plan = {"name": PLAN, "code": PLAN, "interval": "monthly", "amount_cents": 0, "amount_currency": "USD"}
    create(instance, "plans", "plan", plan | {"charges": [charge]})


def subscribe(instance: Instance, external_id: str, since: datetime) -> None:
    """A subscription that began at `since`; its months begin on that day."""
    body = {
        "external_customer_id": CUSTOMER,
        "plan_code": PLAN,
        "external_id": external_id,
        "billing_time": "anniversary",
        "subscription_at": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    create(instance, "subscriptions", "subscription", body)


def usage_path(external_id: str) -> str:
    """The current usage of a subscription, below /api/v1/."""
    return f"customers/{CUSTOMER}/current_usage?external_subscription_id={external_id}"


def usage_request(api_key: str, external_id: str) -> bytes:
    """The same as the bytes of a request."""
    return get_request(f"/api/v1/{usage_path(external_id)}", api_key)


def current_units(instance: Instance, external_id: str) -> Decimal:
    """The tokens of the current month."""
    usage = unwrap(instance.api.get(usage_path(external_id)), "customer_usage")
    return sum((Decimal(charge["units"]) for charge in usage["charges_usage"]), Decimal(0))


def current_period(instance: Instance, external_id: str) -> TimeRange:
    """The current month, half-open; the API shows the last second of it."""
    usage = unwrap(instance.api.get(usage_path(external_id)), "customer_usage")
    start, last = (datetime.fromisoformat(usage[name]) for name in ("from_datetime", "to_datetime"))
    return TimeRange(start, last + timedelta(seconds=1))


def unwrap(response: httpx.Response, root: str) -> dict[str, Any]:
    """The object under `root`.

    Raises: BenchmarkError for any answer but 200.
    """
    if response.status_code != httpx.codes.OK:
        raise BenchmarkError(f"{response.request.url} answered {response.status_code}: {response.text}")
    body: dict[str, Any] = response.json()[root]
    return body
