"""Reads a request's JSON: bounded, and without anything that could not be stored or answered."""

import json
import math
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request

from schemas.errors import BadRequest, InputError, PayloadTooLarge

NESTING_MAX = 32
"""Levels of lists and objects in a body: more than any resource has, far from every recursion limit."""
_SURROGATES = ("\ud800", "\udfff")


async def read_bytes(request: Request, *, limit_bytes: int) -> bytes:
    """The whole body.

    Raises: PayloadTooLarge as soon as more than `limit_bytes` have arrived.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise PayloadTooLarge(limit_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises: BadRequest when it is not JSON, holds a number that is not finite, or nests too deep; InputError
    naming each field whose text holds a NUL or half of a surrogate pair, which no database can keep.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not valid JSON") from error
    faulty = {path: ["value_is_invalid"] for path, text in _texts(value) if not is_storable(text)}
    if faulty:
        raise InputError(faulty)
    return value


def is_storable(text: str) -> bool:
    """Whether a text can be kept and answered: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any(_SURROGATES[0] <= character <= _SURROGATES[1] for character in text)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in `value`, keys included, with its path below the root key; an explicit stack, no recursion."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while pending:
        path, current = pending.pop()
        if len(path) > NESTING_MAX:
            raise BadRequest(f"the body nests deeper than {NESTING_MAX} levels")
        match current:
            case str():
                yield _path_text(path), current
            case list():
                pending.extend(((*path, str(index)), item) for index, item in enumerate(current))
            case dict():
                yield from ((_path_text(path), key) for key in current)
                pending.extend(((*path, key), item) for key, item in current.items())


def _path_text(path: tuple[str, ...]) -> str:
    parts = [part for part in path[1:] if is_storable(part)]
    return ".".join(parts) or "body"
