"""What callers are answered when something is wrong."""

import json
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from invoicer.api.app import create_app
from invoicer.api.dependencies import CurrentOrganization
from invoicer.api.route import make_router
from invoicer.context import Context
from invoicer.db import Organization
from schemas.errors import TransientError
from tests.invoicer.api.bodies import details, make_customer, make_metric, make_plan, make_tax, post
from tests.invoicer.asgi_transport import AsgiTransport
from tests.invoicer.conftest import API_KEY

NOWHERE = {"status": 404, "error": "Not Found", "code": "resource_not_found"}
MISSING_TAX = {"status": 400, "error": "BadRequest: param is missing or the value is empty or invalid: tax"}


@pytest.fixture
def faulty_client(context: Context, organization: Organization) -> Iterator[httpx.Client]:
    """A client of an application with two more routes that fail, answered as a server would."""
    router = make_router("faults")

    @router.get("/away")
    def away(_caller: CurrentOrganization) -> None:
        raise TransientError("clickhouse", "connection refused", retry_after_seconds=7)

    @router.get("/broken")
    def broken(_caller: CurrentOrganization) -> None:
        raise RuntimeError("a bug")

    app = create_app(context, registry=CollectorRegistry())
    app.include_router(router, prefix="/faults")
    transport = AsgiTransport(app, raise_app_exceptions=False)
    key = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(transport=transport, base_url="http://millrace", headers=key) as client:
        yield client


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"7", b'{"plan": {}}', b'{"tax": null}', b'{"tax": 3}']
)
def test_body_without_its_root_key_is_a_bad_request(client: httpx.Client, body: bytes) -> None:
    """Lago names the key that is missing."""
    answer = client.post("/api/v1/taxes", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()) == (400, MISSING_TAX)


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"tax": NaN}', b'{"tax": {"rate": 1e999}}', b"[" * 5000, b"9" * 5000]
)
def test_body_that_is_no_json_is_a_bad_request(client: httpx.Client, body: bytes) -> None:
    """Also numbers that JSON has not, and nesting past every bound."""
    answer = client.post("/api/v1/taxes", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"] == "BadRequest: the body is not valid JSON"


def test_body_that_nests_too_deep_is_a_bad_request(client: httpx.Client) -> None:
    """33 levels are one too many."""
    answer = client.post("/api/v1/taxes", content=b'{"tax": ' + b"[" * 32 + b"1" + b"]" * 32 + b"}")

    assert answer.json()["error"] == "BadRequest: the body nests deeper than 32 levels"


def test_body_over_its_limit_is_refused(client: httpx.Client, app: FastAPI) -> None:
    """413, without reading the rest."""
    limit = app.state.context.settings.body_bytes_max

    answer = client.post("/api/v1/taxes", content=b" " * (limit + 1))

    assert answer.status_code == 413
    assert answer.json()["code"] == "payload_too_large"


def test_body_sent_as_a_form_is_read_as_json(client: httpx.Client) -> None:
    """curl calls everything a form unless told otherwise."""
    headers = {"content-type": "application/x-www-form-urlencoded"}

    answer = client.post(
        "/api/v1/taxes", content=b'{"tax": {"name": "a", "code": "b", "rate": 1}}', headers=headers
    )

    assert answer.status_code == 200


def test_issues_are_answered_all_at_once(client: httpx.Client) -> None:
    """One call names every field that is wrong, with Lago's codes."""
    body = make_tax(
        name="  ", code="x" * 256, rate="much", description=["no text"], applied_to_organization="maybe"
    )

    assert details(client.post("/api/v1/taxes", json=body)) == {
        "name": ["value_is_mandatory"],
        "code": ["value_is_too_long"],
        "rate": ["value_is_invalid"],
        "description": ["value_is_invalid"],
        "applied_to_organization": ["value_is_invalid"],
    }


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"name": None}, "name", "value_is_mandatory"),
        ({"name": "\0"}, "name", "value_is_invalid"),
        ({"name": "\ud800"}, "name", "value_is_invalid"),
        ({"rate": -1}, "rate", "value_is_out_of_range"),
        ({"rate": 10**400}, "rate", "value_is_out_of_range"),
    ],
)
def test_value_that_cannot_be_kept_is_refused(
    client: httpx.Client, changes: dict[str, object], field: str, code: str
) -> None:
    """Nulls, text without a storable form, and numbers past every bound: never a 500."""
    answer = client.post("/api/v1/taxes", content=json_text(make_tax(**changes)))

    assert details(answer) == {field: [code]}


def json_text(value: object) -> bytes:
    """JSON with escapes, so that half a surrogate pair can be sent."""
    return json.dumps(value).encode()


@pytest.mark.parametrize("amount", [2**63, -1, 10**30, "12.5", "much", True])
def test_amount_outside_its_bounds_is_refused(client: httpx.Client, amount: object) -> None:
    """What no 64-bit column could hold never reaches it."""
    errors = details(client.post("/api/v1/plans", json=make_plan(amount_cents=amount)))

    assert list(errors) == ["amount_cents"]


def test_nested_issue_is_named_by_its_path(client: httpx.Client) -> None:
    """`charges.1.charge_model`: the second charge's model."""
    metric_id = post(client, "billable_metrics", make_metric())["lago_id"]
    charges = [
        {"billable_metric_id": metric_id, "charge_model": "standard"},
        {"billable_metric_id": "no uuid", "charge_model": "free"},
    ]

    assert details(client.post("/api/v1/plans", json=make_plan(charges=charges))) == {
        "charges.1.billable_metric_id": ["value_is_invalid"],
        "charges.1.charge_model": ["value_is_invalid"],
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/nothing"), ("GET", "/"), ("PATCH", "/api/v1/taxes"), ("DELETE", "/api/v1/organizations")],
)
def test_unknown_route_or_method_is_not_found(client: httpx.Client, method: str, path: str) -> None:
    """Lago answers both the same."""
    answer = client.request(method, path)

    assert (answer.status_code, answer.json()) == (404, NOWHERE)


@pytest.mark.parametrize("resource", ["taxes", "plans", "billable_metrics", "customers"])
def test_unknown_resource_is_named(client: httpx.Client, resource: str) -> None:
    """`tax_not_found`, `plan_not_found`, …"""
    names = {"taxes": "tax", "plans": "plan", "billable_metrics": "billable_metric", "customers": "customer"}

    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/api/v1/{resource}/missing")
        assert (answer.status_code, answer.json()["code"]) == (404, f"{names[resource]}_not_found")


def test_path_or_query_with_a_nul_is_refused(client: httpx.Client) -> None:
    """A NUL names nothing, and no database can look for one."""
    assert client.get("/api/v1/taxes/%00").status_code == 404
    assert details(client.get("/api/v1/customers?search_term=%00")) == {"search_term": ["value_is_invalid"]}


def test_service_that_is_away_is_a_503_with_a_time_to_retry(faulty_client: httpx.Client) -> None:
    """The same call may be made again."""
    answer = faulty_client.get("/faults/away")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert answer.json() == {"status": 503, "error": "Service Unavailable", "code": "clickhouse_unavailable"}


def test_unexpected_failure_is_a_500_in_json_and_is_logged(faulty_client: httpx.Client) -> None:
    """The official client needs JSON even then; people need the log."""
    with capture_logs() as logs:
        answer = faulty_client.get("/faults/broken")

    assert (answer.status_code, answer.json()) == (500, {"status": 500, "error": "Internal Server Error"})
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("request_failed", "error")]


def test_failed_request_leaves_nothing_behind(client: httpx.Client) -> None:
    """A customer that names an unknown tax is not created."""
    answer = client.post("/api/v1/customers", json=make_customer(tax_codes=["missing"]))

    assert answer.json()["code"] == "tax_not_found"
    assert client.get("/api/v1/customers/acme").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *(f"customers/acme/{part}" for part in ("wallets", "payments", "portal_url", "payment_methods")),
        *(f"plans/startup/{part}" for part in ("entitlements", "fixed_charges")),
    ],
)
def test_list_that_is_not_offered_blames_neither_customer_nor_plan(client: httpx.Client, path: str) -> None:
    """Both exist; their ids may hold slashes, and would take the name of the list in."""
    post(client, "customers", make_customer())
    post(client, "plans", make_plan())
    answer = client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.json()) == (404, NOWHERE)
