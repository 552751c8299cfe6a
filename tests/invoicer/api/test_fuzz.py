"""Whatever anybody sends, the API never breaks: requests made from its own description."""

import os
from typing import Any, cast

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode

from tests.invoicer.api.bodies import make_charge, make_customer, make_metric, make_plan, make_tax, post
from tests.invoicer.conftest import API_KEY

EXAMPLES = int(os.environ.get("MILLRACE_TEST_FUZZ_EXAMPLES", "15"))
"""Requests per operation and kind; more of them belong into a nightly run."""


@pytest.fixture
def filled_app(app: FastAPI, client: httpx.Client) -> FastAPI:
    """The application with one of everything, each called "0"."""
    post(client, "taxes", make_tax(code="0"))
    metric = post(client, "billable_metrics", make_metric(code="0"))
    charge = make_charge(metric["lago_id"], code="0", filters=[{"values": {"region": ["eu"]}}])
    post(client, "plans", make_plan(code="0", charges=[charge]))
    post(client, "customers", make_customer(external_id="0"))
    return app


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
def test_no_described_operation_ever_breaks(filled_app: FastAPI, mode: GenerationMode) -> None:
    """Requests that fit the description, and ones that do not, are answered without a 500."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", filled_app)
    operations = [cast(Any, result).ok() for result in schema.get_all_operations()]
    if mode is GenerationMode.NEGATIVE:
        operations = [operation for operation in operations if operation.body]  # any text fits a path
    assert len(operations) > 10

    for operation in operations:
        _send_many(operation, mode)


def _send_many(operation: Any, mode: GenerationMode) -> None:
    @seed(20260315)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=booleans())
    def send(case: Any, is_known: bool) -> None:
        if is_known:
            case.path_parameters = dict.fromkeys(case.path_parameters, "0")
        case.call_and_validate(checks=[not_a_server_error], headers={"Authorization": f"Bearer {API_KEY}"})

    send()
