"""The route every router of the API is made of: it reads bodies as Lago does and answers Lago's errors."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from invoicer.api.json_body import is_storable, parse_json, read_bytes
from invoicer.api.outputs.error import DOCUMENTED_ERRORS
from invoicer.api.validation import input_error
from schemas.errors import InputError, NotFound

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_JSON_CONTENT_TYPE = (b"content-type", b"application/json")


class _JsonRequest(Request):
    """A request whose body is already read and parsed."""

    def __init__(self, request: Request, body: bytes) -> None:
        # Whatever the client called its body, it is JSON here: curl sends forms unless told otherwise.
        headers = [pair for pair in request.scope["headers"] if pair[0].lower() != _JSON_CONTENT_TYPE[0]]
        super().__init__({**request.scope, "headers": [*headers, _JSON_CONTENT_TYPE]}, request.receive)
        self._bytes = body
        self._value = parse_json(body) if body else None

    async def body(self) -> bytes:
        return self._bytes

    async def json(self) -> Any:
        return self._value


class LagoRoute(APIRoute):
    """Refuses what cannot be stored before the endpoint sees it, and names every issue of the rest."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, summary: str | None = None, **options: Any
    ) -> None:
        """Documents the route by the first sentence of its endpoint, unless told otherwise."""
        super().__init__(path, endpoint, summary=summary or _first_sentence(endpoint), **options)

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        reads_body = self.body_field is not None
        body_model = _body_model(self)

        async def handle_as_lago(request: Request) -> Response:
            _check_address(request)
            try:
                return await handle(await _with_json(request) if reads_body else request)
            except RequestValidationError as error:
                raise input_error(error.errors(), body_model) from error

        return handle_as_lago


def make_router(tag: str) -> APIRouter:
    """A router of `LagoRoute`s, listed under `tag` in the documentation."""
    return APIRouter(tags=[tag], route_class=LagoRoute, responses=DOCUMENTED_ERRORS)


def _first_sentence(endpoint: Callable[..., Any]) -> str | None:
    text = inspect.getdoc(endpoint)
    return text.splitlines()[0].removesuffix(".") if text else None


async def _with_json(request: Request) -> Request:
    limit = request.app.state.context.settings.body_bytes_max
    return _JsonRequest(request, await read_bytes(request, limit_bytes=limit))


def _check_address(request: Request) -> None:
    """Refuse a path or query with text that no database can keep.

    Raises: NotFound for the path, which therefore names nothing; InputError for the query.
    """
    if not all(is_storable(str(part)) for part in request.path_params.values()):
        raise NotFound("resource")
    faulty = [key for key, value in request.query_params.multi_items() if not is_storable(key + value)]
    if faulty:
        raise InputError({key if is_storable(key) else "query": ["value_is_invalid"] for key in faulty})


def _body_model(route: APIRoute) -> type[BaseModel] | None:
    """The model of the body, where it is a single one."""
    annotation = route.body_field.field_info.annotation if route.body_field is not None else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
