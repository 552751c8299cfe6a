"""Running a query or an insert on a handle and describing what came of it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from aggregator.clickhouse_http.engine import (
    Engine,
    Handle,
    ResultBlock,
    ResultStream,
    quote_string,
    translate_engine_errors,
)
from aggregator.clickhouse_http.errors import ClickHouseHttpError
from aggregator.clickhouse_http.inspection import Inspection, escape_parameter
from aggregator.clickhouse_http.statement import InsertStatement

STREAMABLE_FORMATS = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "JSONStringsEachRow",
        "JSONCompactEachRow",
        "JSONCompactStringsEachRow",
        "LineAsString",
    }
)
"""Formats without a header or a footer: chDB writes each block of a stream as a document of its own."""


@dataclass(frozen=True)
class Summary:
    """The counters of `X-ClickHouse-Summary`, as far as they are known when the headers go out."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    def header(self) -> str:
        """Write the header: a JSON object of decimal strings, as ClickHouse does."""
        counters = {name: str(value) for name, value in vars(self).items()}
        return orjson.dumps({**counters, "total_rows_to_read": str(self.read_rows)}).decode()

    def plus(self, block: ResultBlock, size: int) -> "Summary":
        """Count one more block; its storage counters are totals so far, its rows are its own."""
        return replace(
            self,
            read_rows=max(self.read_rows, block.storage_rows_read()),
            read_bytes=max(self.read_bytes, block.storage_bytes_read()),
            written_rows=self.written_rows + block.rows_written(),
            written_bytes=self.written_bytes + block.bytes_written(),
            result_rows=self.result_rows + block.rows_read(),
            result_bytes=self.result_bytes + size,
            elapsed_ns=max(self.elapsed_ns, int(block.elapsed() * 1_000_000_000)),
        )


@dataclass
class Result:
    """The blocks of an answer so far, and the stream that yields the rest while there is one."""

    format_name: str | None
    summary: Summary = field(default_factory=Summary)
    blocks: list[bytes] = field(default_factory=list)
    rest: ResultStream | None = None

    def add(self, block: ResultBlock) -> None:
        data = block.bytes()
        self.blocks.append(data)
        self.summary = self.summary.plus(block, len(data))


def start_query(
    handle: Handle,
    query: str,
    inspection: Inspection,
    *,
    default_format: str,
    parameters: Mapping[str, str],
    buffer_bytes: int,
) -> Result:
    """Run a query and read its first `buffer_bytes`, or all of it when its format cannot be streamed."""
    format_name = inspection.format_name or default_format
    if not inspection.has_result:
        return _run_whole(handle, query, Result(None), default_format, parameters)
    result = Result(format_name)
    if not _can_stream(inspection, format_name):
        return _run_whole(handle, query, result, default_format, parameters)
    result.rest = handle.send_query(query, default_format, params=parameters)
    while result.rest is not None and sum(map(len, result.blocks)) < buffer_bytes:
        block = next(result.rest, None)
        if block is None:
            result.rest = None
        else:
            result.add(block)
    if not result.blocks and format_name == "Native":
        result.blocks.append(native_header(handle, inspection, parameters))
    return result


def _run_whole(
    handle: Handle, query: str, result: Result, default_format: str, parameters: Mapping[str, str]
) -> Result:
    result.add(handle.query(query, default_format, params=parameters))
    return result


def _can_stream(inspection: Inspection, format_name: str) -> bool:
    """Say whether chDB can stream it: a SELECT in a format of independent rows, without a row of totals."""
    if not inspection.kind.startswith("Select") or format_name not in STREAMABLE_FORMATS:
        return False
    return not inspection.has_row_of_totals


async def remaining_blocks(engine: Engine, stream: ResultStream) -> AsyncIterator[bytes]:
    """Yield the rest of a streamed result; each block is pulled when the client has taken the one before."""
    while (block := await engine.call(lambda: next(stream, None))) is not None:
        yield block.bytes()


def native_header(handle: Handle, inspection: Inspection, parameters: Mapping[str, str]) -> bytes:
    """Describe the columns of an empty result as a Native block without rows.

    chDB writes nothing at all for an empty Native result, where a server sends its columns. They are asked for
    with the same query in a format that names them.
    """
    tree = {**inspection.tree, "format_ast": {"type": "Identifier", "name": "RowBinaryWithNamesAndTypes"}}
    try:
        printed = translate_engine_errors(
            lambda: handle.query(
                "SELECT formatQueryFromJSON({tree:String})",
                "TabSeparatedRaw",
                params={"tree": escape_parameter(orjson.dumps(tree).decode())},
            )
        )
    except ClickHouseHttpError:
        # SHOW … of nothing: the engine cannot print every kind, and clients read a body without columns as well.
        return b""
    named = handle.query(printed.bytes().decode(), "RowBinaryWithNamesAndTypes", params=parameters).bytes()
    return native_block_without_rows(named)


def native_block_without_rows(named: bytes) -> bytes:
    """Turn names, then types (RowBinaryWithNamesAndTypes) into name and type in turn (a Native block)."""
    count, position = _read_varint(named, 0)
    strings = []
    for _ in range(2 * count):
        size, start = _read_varint(named, position)
        position = start + size
        strings.append(named[position - size - _varint_width(size) : position])
    columns = zip(strings[:count], strings[count:], strict=True)
    return named[: _varint_width(count)] + b"\x00" + b"".join(name + kind for name, kind in columns)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _varint_width(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


def run_insert(handle: Handle, insert: InsertStatement, data: Path, parameters: Mapping[str, str]) -> Summary:
    """Run an INSERT whose data is in a file, the way the driver does when it is embedded itself.

    chDB reads binary data whole only from a file; its push interface does not enforce
    `max_partitions_per_insert_block`. Data that cannot be parsed stores nothing, unless it is larger than
    `max_insert_block_size`: blocks that were full before are stored, as on a server.
    """
    source = f"FROM INFILE {quote_string(str(data))} COMPRESSION 'none'"
    query = f"{insert.target} {source} {insert.settings} FORMAT {insert.data_format}"
    done = handle.query(query, "Null", params=parameters)
    written = Summary().plus(done, 0)
    return replace(written, read_rows=written.written_rows, read_bytes=written.written_bytes, result_rows=0)
