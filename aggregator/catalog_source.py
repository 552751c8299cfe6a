"""The published catalog, read from the database of the invoicer."""

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from schemas.catalog import CatalogSnapshot, LoadSnapshot, decode_snapshot
from schemas.database import driver_options
from schemas.errors import TransientError

_NEWER = text("SELECT document FROM catalog_snapshot WHERE id = 1 AND version > :version")


def catalog_loader(engine: Engine) -> LoadSnapshot:
    """A loader of the one row of `catalog_snapshot`; before the first publication there is nothing to load.

    The loader raises TransientError when the database does not answer.
    """

    def load(version: int) -> CatalogSnapshot | None:
        try:
            with engine.connect() as connection:
                document = connection.execute(_NEWER, {"version": version}).scalar_one_or_none()
        except SQLAlchemyError as error:
            raise TransientError("database", str(error)[:500]) from error
        return None if document is None else decode_snapshot(document)

    return load


def open_catalog_engine(database_url: str) -> Engine:
    """An engine for the loader; connections are checked before use."""
    return create_engine(database_url, pool_pre_ping=True, connect_args=driver_options(database_url))
