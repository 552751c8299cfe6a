"""Opening the database, and turning its driver's errors into ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from schemas.database import driver_options
from schemas.errors import TransientError

SessionFactory = sessionmaker[Session]
_SQLITE_BUSY_TIMEOUT_MS = 30_000
_READS_ONLY = "millrace_reads_only"


def open_engine(url: str) -> Engine:
    """An engine for PostgreSQL, or for a SQLite file, whose directory is made when missing."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, connect_args=driver_options(url))
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see _begin_immediate
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA busy_timeout={_SQLITE_BUSY_TIMEOUT_MS}")


def _begin_immediate(connection: Any) -> None:
    """Take SQLite's write lock at once: a reader that turns writer would fail instead of waiting."""
    reads_only = connection.get_execution_options().get(_READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def session_factory(engine: Engine) -> SessionFactory:
    """Sessions whose objects stay readable after the commit."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def transaction(factory: SessionFactory, *, reads_only: bool = False) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back on any error.

    `reads_only` promises that nothing is written, so that readers do not queue for SQLite's write lock.
    Raises: TransientError when the database is away or asks to try again.
    """
    try:
        with factory.begin() as session:
            session.connection(execution_options={_READS_ONLY: reads_only})
            yield session
    except OperationalError as error:
        raise TransientError("database", str(error.orig)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise TransientError("database", str(error.orig)) from error
        raise
