"""Who is calling, for endpoints that read usage or do due work: they hold no transaction while they do."""

from typing import Annotated

from fastapi import Depends, Request

from invoicer.api.dependencies import CurrentContext, authenticate, documented_scheme, take_turn
from invoicer.db import Organization
from invoicer.db.session import transaction


def authenticate_briefly(
    request: Request,
    context: CurrentContext,
    _turn: Annotated[None, Depends(take_turn, scope="function")],
    _documented: Annotated[object, Depends(documented_scheme)],
) -> Organization:
    """The organization of the request's key, read in a transaction that is over when the endpoint begins.

    Raises: Unauthorized.
    """
    with transaction(context.sessions, reads_only=True) as session:
        return authenticate(request, session, None)


Caller = Annotated[Organization, Depends(authenticate_briefly)]
"""Who is calling; the endpoint opens its own transactions, one at a time."""
