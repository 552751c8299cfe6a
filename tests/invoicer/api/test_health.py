"""What machines that watch the process are told."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from invoicer.api.app import create_app
from invoicer.context import Context
from schemas.errors import TransientError
from tests.invoicer.asgi_transport import AsgiTransport
from tests.invoicer.fakes import FakeUsage


@pytest.fixture
def watched(context: Context, usage: FakeUsage) -> Iterator[httpx.Client]:
    """An application that also watches a store which a test can take away."""

    def check() -> None:
        if usage.is_away:
            raise TransientError("clickhouse", "away in this test")

    registry = CollectorRegistry()
    Counter("invoices", "Invoices made.", registry=registry).inc()
    app: FastAPI = create_app(context, registry=registry, checks={"usage": check})
    with httpx.Client(transport=AsgiTransport(app), base_url="http://millrace") as client:
        yield client


def test_health_when_every_part_answers_is_ok(watched: httpx.Client) -> None:
    """No key is needed."""
    answer = watched.get("/health")

    assert answer.status_code == 200
    assert answer.json()["message"] == "Success"
    assert answer.json()["parts"] == {"database": "ok", "usage": "ok"}
    assert answer.json()["version"]


def test_health_when_a_part_is_away_says_which(watched: httpx.Client, usage: FakeUsage) -> None:
    """503, so that nothing is sent here; the reason goes to the log, not to strangers."""
    usage.is_away = True

    with capture_logs() as logs:
        answer = watched.get("/health")

    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": "ok", "usage": "unavailable"}
    assert logs[0]["reason"] == "clickhouse: away in this test"


def test_health_when_a_part_works_and_has_something_to_say_says_it(context: Context) -> None:
    """Billing that waits for the stream is no reason to send requests elsewhere."""
    app: FastAPI = create_app(
        context, registry=CollectorRegistry(), checks={"scheduler": lambda: "waits_for_usage"}
    )
    with httpx.Client(transport=AsgiTransport(app), base_url="http://millrace") as client:
        answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["parts"] == {"database": "ok", "scheduler": "waits_for_usage"}


def test_ready_and_metrics_answer_without_a_key(watched: httpx.Client) -> None:
    """Liveness and Prometheus."""
    assert watched.get("/ready").json() == {"status": "ok"}
    assert "invoices_total 1.0" in watched.get("/metrics").text
