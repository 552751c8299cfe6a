"""The invoicer on a SQLite file of its own, at a fixed date, reached as its users reach it."""

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from lago_python_client.client import Client as LagoClient
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url

from invoicer.api.app import create_routes, equip
from invoicer.catalog.bootstrap import ensure_organization
from invoicer.context import Context
from invoicer.db import Base, Organization
from invoicer.db.session import SessionFactory, open_engine, session_factory, transaction
from schemas.clock import MovableClock
from schemas.settings import Settings
from tests.invoicer.asgi_transport import AsgiTransport
from tests.invoicer.fakes import FakeArrivals, FakeAuditor, FakeEvents, FakeGate, FakeUsage

API_KEY = "a-key-of-the-tests"
START = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
_SERVER_START_SECONDS_MAX = 10.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a process that keeps everything under the test's directory."""
    # Validated, not constructed: construction would read the environment.
    return Settings.model_validate(
        {
            "api_key": API_KEY,
            "organization_name": "Hooli",
            "data_dir": tmp_path,
            "database_url": f"sqlite:///{tmp_path}/catalog.sqlite",
        }
    )


@pytest.fixture
def clock() -> MovableClock:
    """A clock that stands at noon of 2026-03-15 UTC until a test moves it."""
    return MovableClock(START)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and nothing in them. A copy costs a twentieth of making another."""
    path = tmp_path_factory.mktemp("empty") / "catalog.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
def sessions(settings: Settings, empty_database: Path) -> Iterator[SessionFactory]:
    """A database with all tables and nothing in them."""
    shutil.copy(empty_database, str(make_url(settings.database_url).database))
    engine = open_engine(settings.database_url)
    yield session_factory(engine)
    engine.dispose()


@pytest.fixture
def usage() -> FakeUsage:
    """The usage store; empty until a test fills it."""
    return FakeUsage()


@pytest.fixture
def events() -> FakeEvents:
    """The event store; empty until a test fills it."""
    return FakeEvents()


@pytest.fixture
def stored() -> FakeArrivals:
    """The same by arrival; empty until a test fills it."""
    return FakeArrivals()


@pytest.fixture
def gate() -> FakeGate:
    """The watermark gate; open until a test closes it."""
    return FakeGate()


@pytest.fixture
def auditor() -> FakeAuditor:
    """The auditor; finds nothing until a test tells it to."""
    return FakeAuditor()


@pytest.fixture
def context(
    sessions: SessionFactory,
    clock: MovableClock,
    usage: FakeUsage,
    events: FakeEvents,
    stored: FakeArrivals,
    gate: FakeGate,
    auditor: FakeAuditor,
    settings: Settings,
) -> Context:
    """The invoicer's surroundings."""
    return Context(
        sessions=sessions,
        clock=clock,
        usage=usage,
        events=events,
        stored=stored,
        gate=gate,
        auditor=auditor,
        settings=settings,
    )


@pytest.fixture
def organization(context: Context) -> Organization:
    """The first organization, with `API_KEY`."""
    with transaction(context.sessions) as session:
        return ensure_organization(session, context.settings, context.clock.now(), API_KEY)


@pytest.fixture(scope="session")
def routes() -> FastAPI:
    """The HTTP application of all tests: FastAPI takes 0.2 s of CPU time to prepare its routes.

    No test adds any: it would add them for the tests that follow too.
    """
    return create_routes()


@pytest.fixture
def app(routes: FastAPI, context: Context, organization: Organization) -> FastAPI:
    """The HTTP application, with the organization in its database."""
    equip(routes, context, registry=CollectorRegistry())
    return routes


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    """An HTTP client that talks to the application in this process, with the organization's key.

    An unexpected exception is raised in the test instead of being answered with a 500.
    """
    key = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(transport=AsgiTransport(app), base_url="http://millrace", headers=key) as http:
        yield http


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[httpx.Client]:
    """The same without a key."""
    with httpx.Client(transport=AsgiTransport(app), base_url="http://millrace") as http:
        yield http


@pytest.fixture
def server_url(app: FastAPI) -> Iterator[str]:
    """The application behind a real server on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    deadline = time.monotonic() + _SERVER_START_SECONDS_MAX
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def lago(server_url: str) -> LagoClient:
    """The official Python client, talking to the real server."""
    return LagoClient(api_key=API_KEY, api_url=server_url)
