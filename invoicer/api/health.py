"""Whether the invoicer works, for machines that watch it; no key needed."""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy import text

from invoicer.db.session import SessionFactory, transaction
from invoicer.jobs.job_metrics import WAITS_FOR_USAGE

Check = Callable[[], object]
"""Returns when a part works; raises when it does not."""
TellLag = Callable[[], Mapping[str, object]]
"""What of the stream is not counted yet, for people to read; asks nobody."""

router = APIRouter(tags=["health"])


def database_check(sessions: SessionFactory) -> Check:
    """Whether the database answers."""

    def check() -> None:
        with transaction(sessions, reads_only=True) as session:
            session.execute(text("SELECT 1"))

    return check


def millrace_version() -> str:
    """The installed version; "unknown" when run from a source tree."""
    try:
        return version("millrace")
    except PackageNotFoundError:
        return "unknown"


@router.head("/health", include_in_schema=False)  # what many a load balancer asks with
@router.get("/health")
def health(request: Request) -> JSONResponse:
    """200 when every part answers, 503 with the state of each otherwise.

    `usage` tells how many records of the stream are not counted yet, and whether something due waits for them: a
    lag is no reason to send requests elsewhere.
    """
    checks: Mapping[str, Check] = request.app.state.checks
    parts = {name: _state(name, check) for name, check in checks.items()}
    works = all(state == "ok" for state in parts.values())
    body = {
        "version": millrace_version(),
        "message": "Success" if works else "Unavailable",
        "parts": parts,
        "usage": {**request.app.state.tell_lag(), "billing_waits": _billing_waits(request.app.state.registry)},
    }
    return JSONResponse(body, status_code=200 if works else 503)


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
def ready() -> dict[str, str]:
    """200 as soon as the process takes requests."""
    return {"status": "ok"}


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """The process's measurements in Prometheus text format."""
    registry: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _billing_waits(registry: CollectorRegistry) -> bool:
    return bool(registry.get_sample_value(WAITS_FOR_USAGE))


def _state(name: str, check: Check) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever breaks a part, the others are still reported
        structlog.get_logger().warning("health_check_failed", part=name, reason=str(error))
        return "unavailable"
    return "ok"
