"""What machines that watch the process are told."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from invoicer.api.app import create_app
from invoicer.context import Context
from invoicer.jobs.job_metrics import JobMetrics
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


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_is_also_answered_to_head(watched: httpx.Client, path: str) -> None:
    """Load balancers ask so; a 404 would take the process out of their rotation."""
    assert watched.head(path).status_code == 200


def test_health_when_every_part_answers_is_ok(watched: httpx.Client) -> None:
    """No key is needed."""
    answer = watched.get("/health")

    assert answer.status_code == 200
    assert answer.json()["message"] == "Success"
    assert answer.json()["parts"] == {"database": "ok", "usage": "ok"}
    assert answer.json()["version"]
    assert answer.json()["usage"] == {"billing_waits": False}


def test_health_when_a_part_is_away_says_which(watched: httpx.Client, usage: FakeUsage) -> None:
    """503, so that nothing is sent here; the reason goes to the log, not to strangers."""
    usage.is_away = True

    with capture_logs() as logs:
        answer = watched.get("/health")

    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": "ok", "usage": "unavailable"}
    assert logs[0]["reason"] == "clickhouse: away in this test"


def test_ready_and_metrics_answer_without_a_key(watched: httpx.Client) -> None:
    """Liveness and Prometheus."""
    assert watched.get("/ready").json() == {"status": "ok"}
    assert "invoices_total 1.0" in watched.get("/metrics").text


def test_health_tells_how_far_counting_is_behind_and_that_billing_waits(context: Context) -> None:
    """Records that are not counted yet make nothing unavailable: billing waits for them, requests do not."""
    registry = CollectorRegistry()
    JobMetrics(registry).waits_for_usage.set(1)
    lag: dict[str, object] = {"uncounted_records": 3, "uncounted_records_at": "2026-08-13T12:00:00+00:00"}
    app = create_app(context, registry=registry, tell_lag=lambda: lag)
    with httpx.Client(transport=AsgiTransport(app), base_url="http://millrace") as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["usage"] == {**lag, "billing_waits": True}
