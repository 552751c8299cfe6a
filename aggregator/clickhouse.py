"""ClickHouse, embedded or remote: the only module that knows the driver.

A client serves one thread at a time, so threads borrow one from a small pool. Driver errors leave this module as
`TransientError` when the same call may succeed later, and unchanged otherwise: an unknown error is not transient.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError, StreamFailureError

from schemas.clickhouse import CREATE_STATEMENTS, DURABLE_SETTINGS
from schemas.errors import TransientError

EMBEDDED_DATABASE = "millrace"
CLIENTS_MAX = 8
"""Clients of one process; a caller waits for a free one rather than opening more."""
BORROW_SECONDS_MAX = 30.0
CONNECT_SECONDS_MAX = 5
ANSWER_SECONDS_MAX = 120
SUBSCRIPTIONS_MAX = 100
"""Subscriptions of one query. Their names travel as one field of a form: 255 characters of four bytes each, and
their organization's id, stay below the 128 KiB that ClickHouse reads of a field."""

_TRANSIENT_CODES = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED: the server is shutting down
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY: a replica without its keeper
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS: merges are behind
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)
_PROJECTION_NOT_USED = 584
_GATEWAY_STATUS = re.compile(r"response code 50[234]\b")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Row = Sequence[Any]
"""The values of a row; the reader knows which columns it asked for."""
Parameters = Mapping[str, object]


class ProjectionNotUsed(Exception):
    """A query was to read a projection only, and ClickHouse would read more of it than of the table."""


class ClickHouse:
    """A pool of clients of one database; safe to share between threads."""

    def __init__(self, open_client: Callable[[], Client]) -> None:
        self._open_client = open_client
        self._idle: list[Client] = []
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(CLIENTS_MAX)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Borrow a client for one conversation.

        Raises: TransientError when the server is away, too busy, or no client comes free in time.
        """
        if not self._free.acquire(timeout=BORROW_SECONDS_MAX):
            raise TransientError("clickhouse", f"all {CLIENTS_MAX} clients are busy")
        try:
            with translate_errors():
                client = self._take()
                try:
                    yield client
                finally:
                    with self._lock:
                        self._idle.append(client)
        finally:
            self._free.release()

    def _take(self) -> Client:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._open_client()

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement without rows."""
        with self.client() as client:
            client.command(sql, parameters=dict(parameters or {}))

    def rows(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """All rows of a query; for answers known to be small."""
        with self.client() as client:
            return list(client.query(sql, parameters=dict(parameters or {}), tz_mode="aware").result_rows)

    def blocks(self, sql: str, parameters: Parameters | None = None) -> Iterator[Sequence[Row]]:
        """The rows of a query block by block, for answers of any size; holds one client until it ends."""
        with (
            self.client() as client,
            client.query_row_block_stream(sql, parameters=dict(parameters or {}), tz_mode="aware") as stream,
        ):
            yield from stream

    def insert(self, table: str, rows: pa.Table, settings: Mapping[str, str]) -> None:
        """Insert a table of columns; when it raises TransientError, some, all or none of it may be stored."""
        with self.client() as client:
            client.insert_arrow(table, rows, settings=dict(settings))

    def close(self) -> None:
        """Close the idle clients; an embedded engine stops with its last one."""
        with self._lock:
            clients, self._idle = self._idle, []
        for client in clients:
            client.close()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn driver errors that a retry may cure into TransientError.

    Raises: ProjectionNotUsed where a query insists on a projection in vain.
    """
    try:
        yield
    except ClickHouseError as error:
        if getattr(error, "code", None) == _PROJECTION_NOT_USED:
            raise ProjectionNotUsed(str(error)[:500]) from error
        if is_transient(error):
            raise TransientError("clickhouse", str(error)[:500]) from error
        raise


def is_transient(error: ClickHouseError) -> bool:
    """Whether the same call may succeed later.

    An error of the server carries its code; one of the transport (refused, cut, timed out, ended in the middle of
    the answer) has none.
    """
    code = getattr(error, "code", None)
    if code is not None:
        return code in _TRANSIENT_CODES
    return type(error) in (OperationalError, StreamFailureError) or bool(_GATEWAY_STATUS.search(str(error)))


def connect_embedded(data_dir: Path) -> ClickHouse:
    """The engine inside this process, its files under `data_dir`; one directory a process."""
    data_dir.mkdir(parents=True, exist_ok=True)

    def open_client(database: str | None = EMBEDDED_DATABASE) -> Client:
        return clickhouse_connect.get_client(interface="chdb", path=str(data_dir), database=database)

    with translate_errors():
        _create_database(open_client(None), EMBEDDED_DATABASE)
    return ClickHouse(open_client)


def connect_server(url: str) -> ClickHouse:
    """The server at `http(s)://user:password@host:port/database`; its database is made when missing.

    Raises: ValueError for a URL of another form; TransientError when the server does not answer.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/") or "default"
    if parts.scheme not in {"http", "https"} or parts.hostname is None or not _IDENTIFIER.fullmatch(database):
        raise ValueError("expected http(s)://user:password@host:port/database as the ClickHouse URL")
    secure = parts.scheme == "https"
    host, port = parts.hostname, parts.port or (8443 if secure else 8123)
    user, password = unquote(parts.username or "default"), unquote(parts.password or "")

    def open_client(database: str = database) -> Client:
        return clickhouse_connect.get_client(
            host=host,
            port=port,
            username=user,
            password=password,
            secure=secure,
            database=database,
            autogenerate_session_id=False,  # a session would serialize queries and carry state
            query_retries=0,  # retries are decided by the caller, who knows what is safe
            connect_timeout=CONNECT_SECONDS_MAX,
            send_receive_timeout=ANSWER_SECONDS_MAX,
        )

    with translate_errors():
        _create_database(open_client("default"), database)
    return ClickHouse(open_client)


def _create_database(client: Client, database: str) -> None:
    try:
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    finally:
        client.close()


def create_tables(clickhouse: ClickHouse, *, durable: bool) -> None:
    """Create what is missing; safe to run again, and by several processes at once.

    `durable` makes an acknowledged insert survive a power cut at the price of a sync; on a cluster that is what
    the replicas are for.
    """
    for statement in CREATE_STATEMENTS:
        clickhouse.command(statement)
    if durable:
        for statement in DURABLE_SETTINGS:
            clickhouse.command(statement)
