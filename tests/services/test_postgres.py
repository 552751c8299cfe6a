"""The server of our own is a real one: what was committed survives a crash, what was not does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psycopg
import pytest

from tests.services.fixtures import unique_name
from tests.services.ports import is_listening
from tests.services.postgres import PostgresServer, answers, as_libpq, as_sqlalchemy, with_database
from tests.services.postgres_source import postgres_server

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


def test_server_killed_and_restarted_keeps_what_was_committed(server: PostgresServer) -> None:
    """After SIGKILL of every process the committed row is there and the open transaction is gone."""
    url = server.create_database(unique_name("crash"))
    open_session = psycopg.connect(as_libpq(url))
    open_session.execute("CREATE TABLE fee (amount_cents bigint)")
    open_session.execute("INSERT INTO fee VALUES (1200)")
    open_session.commit()
    open_session.execute("INSERT INTO fee VALUES (9900)")
    server.kill()
    assert not is_listening(server.port)
    server.restart()
    with psycopg.connect(as_libpq(url)) as session:
        assert session.execute("SELECT amount_cents FROM fee").fetchall() == [(1200,)]


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
def test_server_setting_of_durability_is_on(server: PostgresServer, name: str) -> None:
    """Nothing that makes a commit durable is switched off for speed."""
    with psycopg.connect(as_libpq(server.url)) as session:
        assert session.execute("SELECT current_setting(%s)", [name]).fetchone() == ("on",)


def test_server_wrong_password_is_refused(server: PostgresServer) -> None:
    """Another user of the machine cannot enter by knowing the port."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=server.port, user="millrace", password="wrong", dbname="postgres")


def test_server_listens_on_the_loopback_address_only(server: PostgresServer) -> None:
    """Nothing but 127.0.0.1 leads to the server, not even another loopback address."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=2)


def test_server_stopped_answers_no_more() -> None:
    """A stopped server is gone, and its folder with it once the block ends."""
    with postgres_server() as own:
        own.stop()
        assert not answers(own.url, timeout_seconds=1)
    assert not own.folder.exists()


@pytest.mark.parametrize(
    "written", ["postgres://u:p@h:5432/d", "postgresql://u:p@h:5432/d", "postgresql+psycopg2://u:p@h:5432/d"]
)
def test_address_however_written_gets_the_projects_driver(written: str) -> None:
    """DATABASE_URL may be written for any driver."""
    assert as_sqlalchemy(written) == "postgresql+psycopg://u:p@h:5432/d"
    assert as_libpq(written) == "postgresql://u:p@h:5432/d"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5432/old", "postgresql://u:p@h:5432/new"),
        ("postgresql://u:p@h:5432", "postgresql://u:p@h:5432/new"),
        ("postgresql://u:p@h/old?sslmode=disable", "postgresql://u:p@h/new?sslmode=disable"),
    ],
)
def test_with_database_changes_only_the_database(url: str, expected: str) -> None:
    """Account, host and options stay as they were."""
    assert with_database(url, "new") == expected
