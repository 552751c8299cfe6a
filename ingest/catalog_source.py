"""Reads the catalog snapshot that the invoicer publishes: one row, looked at by version."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from schemas.catalog import CatalogSnapshot, LoadSnapshot, decode_snapshot
from schemas.errors import TransientError

_NEWER_SNAPSHOT = text("SELECT document FROM catalog_snapshot WHERE id = 1 AND version > :known")


def snapshot_loader(engine: Engine) -> LoadSnapshot:
    """A `LoadSnapshot` on the table `catalog_snapshot`; the document is only fetched when it is newer.

    Raises (the loader): TransientError when the database cannot be asked, its table not being there yet included.
    """

    def load(known_version: int) -> CatalogSnapshot | None:
        with _database_errors(), engine.connect() as connection:
            document = connection.execute(_NEWER_SNAPSHOT, {"known": known_version}).scalar_one_or_none()
        return None if document is None else decode_snapshot(document)

    return load


@contextmanager
def _database_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise TransientError("database", str(getattr(error, "orig", None) or error)) from error
