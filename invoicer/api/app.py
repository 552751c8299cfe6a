"""Puts the API together."""

from collections.abc import Mapping

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from invoicer.api import health
from invoicer.api.dependencies import TRANSACTIONS_MAX
from invoicer.api.errors import install_error_handlers
from invoicer.api.event_intake import describe_event_intake
from invoicer.api.health import Check, TellLag, database_check, millrace_version
from invoicer.api.routers import api_routers
from invoicer.context import Context

API_PREFIX = "/api/v1"


def create_app(
    context: Context,
    *,
    registry: CollectorRegistry,
    checks: Mapping[str, Check] | None = None,
    tell_lag: TellLag = dict,
) -> FastAPI:
    """The invoicer's HTTP application, ready to answer."""
    app = create_routes()
    equip(app, context, registry=registry, checks=checks, tell_lag=tell_lag)
    return app


def create_routes() -> FastAPI:
    """The application without anything to work with: what it answers, and how it answers errors."""
    app = FastAPIOffline(  # its /docs loads nothing from other hosts
        title="Millrace",
        version=millrace_version(),
        docs_url="/docs",
        openapi_url="/openapi.json",
        redoc_url=None,
        redirect_slashes=False,
    )
    install_error_handlers(app)
    for router in api_routers():
        app.include_router(router, prefix=API_PREFIX)
    app.include_router(health.router)
    describe_event_intake(app)
    return app


def equip(
    app: FastAPI,
    context: Context,
    *,
    registry: CollectorRegistry,
    checks: Mapping[str, Check] | None = None,
    tell_lag: TellLag = dict,
) -> None:
    """Give the routes what they work with.

    `checks` are asked by /health, next to the database's own; what `tell_lag` says is shown there.
    """
    app.state.context = context
    app.state.registry = registry
    app.state.turns = CapacityLimiter(TRANSACTIONS_MAX)
    app.state.checks = {"database": database_check(context.sessions), **(checks or {})}
    app.state.tell_lag = tell_lag
