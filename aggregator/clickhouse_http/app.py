"""The ASGI app: routes, authentication, and one request from its query to its answer."""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aggregator.clickhouse_http.answer import (
    Identity,
    encode_whole,
    error_response,
    new_exception_tag,
    result_headers,
    stream_body,
)
from aggregator.clickhouse_http.body import data_after, plain_body, read_statement, spooled
from aggregator.clickhouse_http.credentials import Credentials, check_credentials
from aggregator.clickhouse_http.engine import Connect, Engine, Handle
from aggregator.clickhouse_http.errors import ClickHouseHttpError, ErrorCode, raised_here
from aggregator.clickhouse_http.execution import Result, remaining_blocks, run_insert, start_query
from aggregator.clickhouse_http.form import is_form, read_form
from aggregator.clickhouse_http.inspection import Inspector
from aggregator.clickhouse_http.limits import HttpLimits
from aggregator.clickhouse_http.read_only import read_only_settings, refuse_outside_reach
from aggregator.clickhouse_http.request import HttpQuery, read_http_query
from aggregator.clickhouse_http.statement import InsertStatement

SERVER_NAME = "millrace"
CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True)
class Interface:
    """What the handlers share; one per app."""

    engine: Engine
    account: Credentials
    writable: bool
    limits: HttpLimits
    new_query_id: Callable[[], str]
    inspector: Inspector

    def settings(self, request: HttpQuery) -> dict[str, str]:
        """Build the engine settings of a request; a GET never changes anything, as on a server."""
        if not self.writable:
            return read_only_settings(request.settings, self.limits)
        settings = {"max_execution_time": str(self.limits.execution_seconds_max), **request.settings}
        if request.is_get:
            settings.setdefault("readonly", "2")
        return settings


def create_app(
    connect: Connect,
    *,
    user: str,
    password: str,
    writable: bool = False,
    limits: HttpLimits | None = None,
    new_query_id: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> Starlette:
    """Build the HTTP interface of an embedded engine.

    `connect` opens one more handle of the engine of this process (`chdb.connect(path)`, always the same path). The
    app holds one handle from startup to shutdown, so its lifespan has to run.
    """
    bounds = limits or HttpLimits()
    account = Credentials(user, password)
    interface = Interface(Engine(connect, bounds), account, writable, bounds, new_query_id, Inspector())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await interface.engine.open()
        try:
            yield
        finally:
            await interface.engine.close()

    async def root(request: Request) -> Response:
        return await answer(interface, request)

    return Starlette(
        routes=[
            Route("/", root, methods=["GET", "POST"]),
            Route("/ping", _say_ok, methods=["GET"]),
            Route("/replicas_status", _say_ok, methods=["GET"]),
        ],
        lifespan=lifespan,
    )


async def _say_ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


async def answer(interface: Interface, request: Request) -> Response:
    """Answer one request to `/`; every refusal and every engine error in ClickHouse's form."""
    parameters = dict(request.query_params)
    if request.method != "POST" and "query" not in parameters:
        return await _say_ok(request)
    query_id = parameters.get("query_id") or interface.new_query_id()
    identity = Identity(query_id, SERVER_NAME, interface.engine.timezone)
    try:
        check_credentials(interface.account, headers=request.headers, parameters=parameters)
        if is_form(request.headers):
            parameters |= await _read_form(interface, request)
        http_query = read_http_query(request.method, parameters, request.headers)
        return await _execute(interface, request, http_query, identity)
    except ClickHouseHttpError as error:
        return error_response(error, identity.headers())
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _read_form(interface: Interface, request: Request) -> dict[str, str]:
    encoding, bytes_max = request.headers.get("content-encoding"), interface.limits.body_bytes_max
    return await read_form(request.headers, plain_body(None, request.stream(), encoding, bytes_max))


async def _execute(interface: Interface, request: Request, http_query: HttpQuery, identity: Identity) -> Response:
    body = plain_body(
        http_query.query,
        _no_body() if is_form(request.headers) else request.stream(),
        request.headers.get("content-encoding"),
        interface.limits.body_bytes_max,
    )
    settings = interface.settings(http_query)
    with interface.engine.admit():
        head, insert = await read_statement(body)
        if insert is None:
            return await _query(interface, http_query, settings, identity, head)
        async with spooled(data_after(head, insert, body)) as data:
            return await _insert(interface, http_query, settings, identity, insert, data)


async def _no_body() -> AsyncIterator[bytes]:
    """What is left of a form behind its fields."""
    yield b""


async def _insert(
    interface: Interface,
    http_query: HttpQuery,
    settings: Mapping[str, str],
    identity: Identity,
    insert: InsertStatement,
    data: Path,
) -> Response:
    async with interface.engine.using(
        http_query.database, settings, lambda handle: run_insert(handle, insert, data, http_query.parameters)
    ) as summary:
        pass
    return Response(headers=result_headers(identity, summary, None, None))


async def _query(
    interface: Interface, http_query: HttpQuery, settings: Mapping[str, str], identity: Identity, text: bytes
) -> Response:
    async with AsyncExitStack() as stack:
        result = await stack.enter_async_context(
            interface.engine.using(
                http_query.database,
                settings,
                lambda handle: _run(interface, handle, http_query, settings, text),
                keeps=lambda result: result.rest is not None,
            )
        )
        headers = result_headers(identity, result.summary, result.format_name, http_query.answer_encoding)
        if result.rest is None:
            return Response(encode_whole(result.blocks, http_query.answer_encoding), headers=headers)
        # The handle belongs to the stream, which closes it when it ends or the client leaves.
        return _stream(interface.engine, stack.pop_all(), result, http_query, headers)


def _run(
    interface: Interface, handle: Handle, http_query: HttpQuery, settings: Mapping[str, str], text: bytes
) -> Result:
    try:
        query = text.decode().strip()
    except UnicodeDecodeError as error:
        raise raised_here(ErrorCode.SYNTAX_ERROR, f"The query is not UTF-8 text: {error}") from error
    if not query:
        raise raised_here(ErrorCode.SYNTAX_ERROR, "Syntax error: Empty query.")
    inspection = interface.inspector.inspect(handle, query, settings)
    if not interface.writable:
        refuse_outside_reach(handle, inspection, http_query.parameters)
    return start_query(
        handle,
        query,
        inspection,
        default_format=http_query.default_format,
        parameters=http_query.parameters,
        buffer_bytes=interface.limits.buffer_bytes,
    )


def _stream(
    engine: Engine, held: AsyncExitStack, result: Result, http_query: HttpQuery, headers: dict[str, str]
) -> Response:
    tag = new_exception_tag()

    async def blocks() -> AsyncIterator[bytes]:
        async with held:
            if result.rest is None:
                return
            try:
                rest = remaining_blocks(engine, result.rest)
                async for block in stream_body(result.blocks, rest, http_query.answer_encoding, tag):
                    yield block
            finally:
                result.rest.close()

    return StreamingResponse(blocks(), headers=headers | {"X-ClickHouse-Exception-Tag": tag})
