"""What an endpoint asks for by type: the context, the time, one transaction, and who is calling.

A request holds one database connection from its key check to its commit, and the commit comes before the
answer: a 200 is never followed by a rollback. What waits for nothing is `async`: it runs where it is asked for,
without the way to a worker thread and back.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Annotated

from anyio import WouldBlock
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.context import Context
from invoicer.db import ApiKey, Organization
from invoicer.db.session import transaction
from schemas.catalog import hash_api_key
from schemas.errors import Unauthorized

TRANSACTIONS_MAX = 10
"""Requests with a transaction at once. Below the connection pool (15) and the worker threads (40): a request
that waits for either while others hold both would wait for itself."""
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
documented_scheme = HTTPBearer(auto_error=False, description="The organization's API key.")


async def get_context(request: Request) -> Context:
    """The surroundings the app was made with."""
    context: Context = request.app.state.context
    return context


CurrentContext = Annotated[Context, Depends(get_context)]


async def get_now(context: CurrentContext) -> datetime:
    """The time of this request: one instant for everything it does."""
    return context.clock.now()


Now = Annotated[datetime, Depends(get_now)]


async def take_turn(request: Request) -> AsyncIterator[None]:
    """Wait, without holding a thread or a connection, until a transaction may be opened."""
    turns = request.app.state.turns
    try:
        turns.acquire_nowait()
    except WouldBlock:  # `acquire` alone would visit the event loop even when a turn is free
        await turns.acquire()
    try:
        yield
    finally:
        turns.release()


def open_session(
    request: Request,
    context: CurrentContext,
    _turn: Annotated[None, Depends(take_turn, scope="function")],
) -> Iterator[Session]:
    """The transaction of this request; one that only reads does not queue for SQLite's write lock."""
    with transaction(context.sessions, reads_only=request.method in _READING_METHODS) as session:
        yield session


DbSession = Annotated[Session, Depends(open_session, scope="function")]
"""One transaction a request: committed before the answer is sent, rolled back on any error."""


def read_key_hash(request: Request) -> str:
    """The hash of the API key that a request carries.

    Raises: Unauthorized without one.
    """
    words = request.headers.get("authorization", "").split()
    if len(words) < 2:
        raise Unauthorized
    return hash_api_key(words[1])


def authenticate(
    request: Request, session: DbSession, _documented: Annotated[object, Depends(documented_scheme)]
) -> Organization:
    """The organization whose key is the second word of the Authorization header; the scheme is not looked at.

    Raises: Unauthorized.
    Source: Lago API conventions, transport.
    """
    owner = (
        select(Organization)
        .join(ApiKey, ApiKey.organization_id == Organization.id)
        .where(ApiKey.key_hash == read_key_hash(request))
    )
    organization = session.scalar(owner)
    if organization is None:
        raise Unauthorized
    return organization


CurrentOrganization = Annotated[Organization, Depends(authenticate)]
"""Who is calling. An endpoint without it is open to everybody."""
