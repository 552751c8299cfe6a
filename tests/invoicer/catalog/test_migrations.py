"""The migrations and the models say the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from invoicer.db import Base
from invoicer.db.migrate import upgrade
from invoicer.db.session import open_engine


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite file."""
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def postgresql(database_url: str) -> Iterator[Engine]:
    """An empty PostgreSQL database."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def check_models_and_migrations_agree(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        compared = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(compared, Base.metadata) == []
        assert set(Base.metadata.tables) <= set(inspect(connection).get_table_names())


def test_migrated_sqlite_database_agrees_with_the_models(sqlite: Engine) -> None:
    """Nothing is left to generate."""
    check_models_and_migrations_agree(sqlite)


@pytest.mark.cluster
def test_migrated_postgresql_database_agrees_with_the_models(postgresql: Engine) -> None:
    """Nothing is left to generate."""
    check_models_and_migrations_agree(postgresql)


def test_upgrade_when_repeated_changes_nothing(sqlite: Engine) -> None:
    """Every start of a process upgrades."""
    upgrade(sqlite)
    with sqlite.connect() as connection:
        before = inspect(connection).get_table_names()

    upgrade(sqlite)

    with sqlite.connect() as connection:
        assert inspect(connection).get_table_names() == before
