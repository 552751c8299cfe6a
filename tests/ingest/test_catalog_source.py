"""The catalog snapshot as the database keeps it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from ingest.catalog_source import snapshot_loader
from schemas.catalog import encode_snapshot
from schemas.errors import TransientError
from tests.ingest.builders import snapshot


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return create_engine(f"sqlite:///{tmp_path}/catalog.sqlite")


def store(engine: Engine, version: int) -> None:
    """Publish a snapshot the way the invoicer does."""
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS catalog_snapshot (id INTEGER, version INTEGER, document TEXT)")
        )
        connection.execute(text("DELETE FROM catalog_snapshot"))
        connection.execute(
            text("INSERT INTO catalog_snapshot VALUES (1, :version, :document)"),
            {"version": version, "document": encode_snapshot(snapshot(version))},
        )


def test_newer_snapshot_is_loaded_and_a_known_one_is_not(engine: Engine) -> None:
    """Only a version above the known one is worth a document."""
    store(engine, 7)
    load = snapshot_loader(engine)
    assert load(6) == snapshot(7)
    assert load(7) is None
    assert load(8) is None


def test_missing_table_is_transient(engine: Engine) -> None:
    """Before the first migration the catalog is not there yet, and the process waits."""
    with pytest.raises(TransientError, match="database"):
        snapshot_loader(engine)(0)
