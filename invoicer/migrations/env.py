"""Run by Alembic: connects it to the models, on the connection it was given or on MILLRACE_DATABASE_URL."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, Connection

from invoicer.db import Base
from invoicer.db.session import open_engine
from schemas.settings import Settings


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """How a new revision writes a JSON column; Alembic's own rendering names a type it does not import."""
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")'
    return False


def migrate_on(connection: Connection) -> None:
    """Run the wanted migrations on `connection`, all in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate() -> None:
    """Run the wanted migrations.

    Raises: ValueError when asked for SQL text instead of a run, which batches on SQLite cannot give.
    """
    if context.is_offline_mode():
        raise ValueError("migrations run on a database; there is no offline mode")
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate_on(connection)
        return
    engine = open_engine(Settings().database_url)
    with engine.begin() as opened:
        migrate_on(opened)
    engine.dispose()


migrate()
