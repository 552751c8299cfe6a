"""One process reconciles at a time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import text

from invoicer.db.session import SessionFactory, transaction

WAIT_SECONDS_MAX = 5
_LOCK = 0x6D696C6C7265636F
"""PostgreSQL advisory lock: "millreco" in ASCII."""


def reconciling_turn(sessions: SessionFactory) -> Callable[[], AbstractContextManager[None]]:
    """A turn to enter before reconciling; it ends with its transaction, however the process ends.

    A SQLite file belongs to one process, which takes its turns itself.
    Raises: TransientError, when entered, while another process has it or the database is away.
    """

    @contextmanager
    def turn() -> Iterator[None]:
        with transaction(sessions, reads_only=True) as session:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text(f"SET LOCAL lock_timeout = '{WAIT_SECONDS_MAX}s'"))
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield

    return turn
