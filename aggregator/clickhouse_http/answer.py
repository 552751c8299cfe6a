"""Answers in ClickHouse's form: headers, compressed bodies, and errors before or in the middle of a result."""

import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from aggregator.clickhouse_http.compression import Encoder, Encoding, open_encoder
from aggregator.clickhouse_http.errors import ClickHouseHttpError, ErrorCode
from aggregator.clickhouse_http.execution import Summary

TEXT = "text/plain; charset=UTF-8"
EXCEPTION_MARKER = b"__exception__"
_JSON_FORMATS = (
    "JSON",
    "JSONCompact",
    "JSONStrings",
    "JSONCompactStrings",
    "JSONColumns",
    "JSONColumnsWithMetadata",
)
_MEDIA_TYPES = {
    **dict.fromkeys(_JSON_FORMATS, "application/json; charset=UTF-8"),
    **dict.fromkeys(("JSONEachRow", "JSONLines", "NDJSON"), "application/x-ndjson; charset=UTF-8"),
    **dict.fromkeys(("TabSeparated", "TSV", "TabSeparatedWithNames", "TSVWithNames"), "text/tab-separated-values"),
    **dict.fromkeys(("CSV", "CSVWithNames", "CSVWithNamesAndTypes"), "text/csv; charset=UTF-8"),
    **dict.fromkeys(("Native", "RowBinary", "Arrow", "ArrowStream", "Parquet", "ORC"), "application/octet-stream"),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What every answer says about the query and the server."""

    query_id: str
    server_name: str
    timezone: str

    def headers(self) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": self.query_id,
            "X-ClickHouse-Server-Display-Name": self.server_name,
            "X-ClickHouse-Timezone": self.timezone,
        }


def result_headers(
    identity: Identity, summary: Summary, format_name: str | None, encoding: Encoding | None
) -> dict[str, str]:
    """Write the headers of a result; a statement without one has no format."""
    headers = identity.headers() | {"X-ClickHouse-Summary": summary.header()}
    if format_name is not None:
        headers["X-ClickHouse-Format"] = format_name
    headers["Content-Type"] = _MEDIA_TYPES.get(format_name or "", TEXT)
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    return headers


def error_response(error: ClickHouseHttpError, headers: Mapping[str, str]) -> Response:
    """Answer an error: its status, its code in a header, its text in the body."""
    extra = {"X-ClickHouse-Exception-Code": str(int(error.code)), "Content-Type": TEXT}
    if error.code == ErrorCode.REQUIRED_PASSWORD:
        extra["WWW-Authenticate"] = 'Basic realm="ClickHouse HTTP API"'
    if error.code == ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES:
        extra["Retry-After"] = "1"
    return Response(error.text + "\n", error.status, headers={**headers, **extra})


def new_exception_tag() -> str:
    """Make the mark that tells an error in the middle of a result from data: 16 letters and digits."""
    return secrets.token_hex(8)


def exception_trailer(error: ClickHouseHttpError, tag: str) -> bytes:
    """Write an error at the end of a result that had already begun.

    Source:  ClickHouse HTTP interface, X-ClickHouse-Exception-Tag.
    """
    text = error.text.encode()
    mark = tag.encode()
    return b"\r\n%s\r\n%s\r\n%s\n%d %s\r\n%s\r\n" % (
        EXCEPTION_MARKER,
        mark,
        text,
        len(text),
        mark,
        EXCEPTION_MARKER,
    )


async def stream_body(
    first: list[bytes], rest: AsyncIterator[bytes], encoding: Encoding | None, tag: str
) -> AsyncIterator[bytes]:
    """Yield a result block by block, compressed; an error in the middle ends it with the exception trailer."""
    encoder = None if encoding is None else open_encoder(encoding)
    try:
        for block in first:
            yield _encode(encoder, block)
        async for block in rest:
            yield _encode(encoder, block)
    except ClickHouseHttpError as error:
        _log.warning("a streamed query failed: %s", error.text)
        yield _encode(encoder, exception_trailer(error, tag))
    if encoder is not None:
        yield encoder.flush()


def encode_whole(blocks: list[bytes], encoding: Encoding | None) -> bytes:
    """Join a result, compressed when asked for."""
    body = b"".join(blocks)
    if encoding is None:
        return body
    encoder = open_encoder(encoding)
    return encoder.compress(body) + encoder.flush()


def _encode(encoder: Encoder | None, block: bytes) -> bytes:
    return block if encoder is None else encoder.compress(block)
