"""What the query strings of several endpoints have in common."""

from typing import Annotated

from fastapi import Query, Request

from invoicer.catalog.fields import AMOUNT_CENTS_MAX

VALUES_MAX = 100
"""Values one filter may name."""
AmountQuery = Annotated[int | None, Query(ge=-AMOUNT_CENTS_MAX, le=AMOUNT_CENTS_MAX)]
EntityCodesQuery = Annotated[list[str] | None, Query(alias="billing_entity_codes[]", max_length=VALUES_MAX)]


def keyed_values(request: Request, name: str) -> list[tuple[str, str]]:
    """The keys and values of `name[key]=value`, which may be repeated, in their order."""
    prefix = f"{name}["
    return [
        (parameter[len(prefix) : -1], value)
        for parameter, value in request.query_params.multi_items()
        if parameter.startswith(prefix) and parameter.endswith("]")
    ]
