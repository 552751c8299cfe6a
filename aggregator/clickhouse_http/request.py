"""One HTTP request, sorted: the query, its parameters, the engine settings, and how to answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.clickhouse_http.compression import Encoding, choose_encoding
from aggregator.clickhouse_http.errors import ErrorCode, raised_here

DEFAULT_FORMAT = "TabSeparated"
PARAMETER_PREFIX = "param_"

TRANSPORT_PARAMETERS = frozenset(
    {
        "query",
        "query_id",
        "user",
        "password",
        "database",
        "default_format",
        "quota_key",
        "role",
        "session_id",
        "session_timeout",
        "session_check",
        "stacktrace",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "close_session",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "http_wait_end_of_query",
        "http_response_buffer_size",
        "http_write_exception_in_output_format",
        "cancel_http_readonly_queries_on_client_close",
        "http_receive_timeout",
        "http_send_timeout",
    }
)
"""URL parameters that are about the transport; everything else is an engine setting."""

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_OFF = frozenset({"", "0", "false"})


@dataclass(frozen=True)
class HttpQuery:
    """What the URL and the headers say; the body is read apart, as a stream."""

    query: str | None
    query_id: str | None
    database: str | None
    default_format: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    answer_encoding: Encoding | None
    is_get: bool


def read_http_query(method: str, parameters: Mapping[str, str], headers: Mapping[str, str]) -> HttpQuery:
    """Sort a request.

    Raises:  ClickHouseHttpError, code 36, for a name that cannot be a setting; 48 for block compression.
    """
    _refuse_block_compression(parameters)
    wants_compression = parameters.get("enable_http_compression", "") not in _OFF
    return HttpQuery(
        query=parameters.get("query"),
        query_id=parameters.get("query_id"),
        database=headers.get("x-clickhouse-database") or parameters.get("database") or None,
        default_format=headers.get("x-clickhouse-format") or parameters.get("default_format") or DEFAULT_FORMAT,
        parameters={
            name.removeprefix(PARAMETER_PREFIX): value
            for name, value in parameters.items()
            if name.startswith(PARAMETER_PREFIX)
        },
        settings=_read_settings(parameters),
        answer_encoding=choose_encoding(headers.get("accept-encoding")) if wants_compression else None,
        is_get=method in {"GET", "HEAD"},
    )


def _refuse_block_compression(parameters: Mapping[str, str]) -> None:
    for name in ("compress", "decompress"):
        if parameters.get(name, "") not in _OFF:
            raise raised_here(
                ErrorCode.NOT_IMPLEMENTED,
                f"{name}={parameters[name]} (ClickHouse's block compression) is not supported here; "
                "use HTTP compression (enable_http_compression=1, Content-Encoding) or none.",
            )


def _read_settings(parameters: Mapping[str, str]) -> dict[str, str]:
    settings = {
        name: value
        for name, value in parameters.items()
        if name not in TRANSPORT_PARAMETERS and not name.startswith(PARAMETER_PREFIX)
    }
    for name in settings:
        if not _SETTING_NAME.fullmatch(name):
            raise raised_here(ErrorCode.BAD_ARGUMENTS, f"{name!r} is not the name of a setting.")
    return settings
