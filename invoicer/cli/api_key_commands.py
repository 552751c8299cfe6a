"""The commands `millrace api-keys list`, `add` and `revoke`: they work on the database itself."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import inspect, make_url
from sqlalchemy.orm import Session

from invoicer.catalog.api_keys import add_api_key, list_api_keys, revoke_api_key
from invoicer.db import ApiKey, Organization
from invoicer.db.session import open_engine, session_factory, transaction
from schemas.errors import NotAllowed, NotFound, TransientError
from schemas.settings import settings_or_exit
from schemas.time_text import iso_seconds

api_keys = typer.Typer(
    name="api-keys",
    help="See which API keys there are, make another one, and take one back that has leaked.\n\n"
    "They are in the database MILLRACE_DATABASE_URL, or with --data-dir in that of an embedded instance; it may "
    "be running.",
    short_help="Make API keys, and take them back.",
    no_args_is_help=True,
)

DataDir = Annotated[
    Path | None,
    typer.Option(
        exists=True, file_okay=False, help="Embedded mode: its data directory. (default: MILLRACE_DATABASE_URL)"
    ),
]


@api_keys.command(name="list", short_help="Show the keys.")
def list_keys(data_dir: DataDir = None) -> None:
    """Show when each key was made and whom it acts for, never the key itself: only its hash is kept."""
    console = Console(emoji=False)
    table = Table("id", "made at", "organization")
    with _database(data_dir, console) as session:
        for key, organization in list_api_keys(session):
            table.add_row(str(key.id), iso_seconds(key.created_at), organization.name)
    console.print(table)


@api_keys.command(short_help="Make another key.")
def add(data_dir: DataDir = None) -> None:
    """Make another key for the organization and print it; it is shown only now."""
    console = Console(emoji=False)
    with _database(data_dir, console) as session:
        _, organization = list_api_keys(session)[0]
        key = add_api_key(session, organization, datetime.now(UTC))
    console.print(key, markup=False, highlight=False, soft_wrap=True)


@api_keys.command(short_help="Take a key back.")
def revoke(
    key_id: Annotated[uuid.UUID, typer.Argument(help="The key's id, as `list` shows it.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Take a key back: it is refused at once, and for events within MILLRACE_CATALOG_REFRESH_SECONDS.

    The one that MILLRACE_API_KEY names, or the file api_key of an embedded instance, comes back at the next start:
    change that first.
    """
    console = Console(emoji=False)
    with _database(data_dir, console) as session:
        try:
            revoke_api_key(session, key_id, datetime.now(UTC))
        except NotFound:
            raise _failed(console, f"there is no key {key_id}; `millrace api-keys list` shows all") from None
        except NotAllowed:
            reason = "this is the only key of its organization; make another one first: `millrace api-keys add`"
            raise _failed(console, reason) from None
    console.print(f"{key_id} is no key any more")


@contextmanager
def _database(data_dir: Path | None, console: Console) -> Iterator[Session]:
    """One transaction with the database that has the keys."""
    url = make_url(
        settings_or_exit().database_url if data_dir is None else f"sqlite:///{data_dir / 'catalog.sqlite'}"
    )
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise _failed(
            console, f"there is no database {url.database}; --data-dir or MILLRACE_DATABASE_URL names it"
        )
    engine = open_engine(url.render_as_string(hide_password=False))
    try:
        with transaction(session_factory(engine)) as session:
            tables = inspect(session.connection()).get_table_names()
            if not {ApiKey.__tablename__, Organization.__tablename__} <= set(tables):
                raise _failed(console, f"{url!r} has no Millrace yet: start it once")
            yield session
    except TransientError as error:
        raise _failed(console, str(error)) from None
    finally:
        engine.dispose()


def _failed(console: Console, reason: str) -> typer.Exit:
    console.print(reason, style="red", markup=False, soft_wrap=True)
    return typer.Exit(1)
