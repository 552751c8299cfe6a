"""Brings a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

import invoicer

_MIGRATIONS = Path(invoicer.__file__).parent / "migrations"
_UPGRADE_LOCK = 0x6D696C6C72616365
"""PostgreSQL advisory lock: "millrace" in ASCII."""


def upgrade(engine: Engine) -> None:
    """Upgrade to the newest revision, in one transaction; nothing happens when it is there already.

    Several processes may start at once: on PostgreSQL an advisory lock, on SQLite the write lock lets one of
    them work while the others wait and then find it done.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for a connection, wherever the package is installed."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
