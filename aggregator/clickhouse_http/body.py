"""The body of a request as a bounded stream of plain bytes."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread

from aggregator.clickhouse_http.compression import BodyDecoder, open_decoder
from aggregator.clickhouse_http.errors import ErrorCode, raised_here
from aggregator.clickhouse_http.statement import STATEMENT_BYTES_MAX, InsertStatement, is_insert, split_insert

SPOOL_BYTES = 1024 * 1024
"""Insert data goes to disk in pieces of about this size: each costs a change of thread."""


async def plain_body(
    query: str | None, chunks: AsyncIterator[bytes], content_encoding: str | None, bytes_max: int
) -> AsyncIterator[bytes]:
    """Yield the query of the URL, a newline, and the decompressed body: to ClickHouse they are one text.

    Raises:  ClickHouseHttpError, code 307 (413), once the body is larger than `bytes_max`.
    """
    if query is not None:
        yield query.rstrip().encode() + b"\n"
    decoder = open_decoder(content_encoding)
    size = 0
    async for chunk in chunks:
        for piece in (chunk,) if decoder is None else decoder.decode(chunk):
            size += len(piece)
            if size > bytes_max:
                raise raised_here(ErrorCode.TOO_MANY_BYTES, f"The request body is larger than {bytes_max} bytes.")
            if piece:
                yield piece
    _finish(decoder)


def _finish(decoder: BodyDecoder | None) -> None:
    if decoder is not None:
        decoder.finish()


async def read_statement(body: AsyncIterator[bytes]) -> tuple[bytes, InsertStatement | None]:
    """Read until it is clear what the body is: an INSERT whose data may follow, or a query, read to its end."""
    head = b""
    async for piece in body:
        head += piece
        insert = split_insert(head)
        # A name that ends where the text ends so far may go on in the next piece.
        if insert is not None and insert.data_start < len(head):
            return head, insert
        if len(head) >= STATEMENT_BYTES_MAX or not is_insert(head):
            break
    insert = split_insert(head)
    if insert is None:
        head += b"".join([piece async for piece in body])
    return head, insert


async def data_after(head: bytes, insert: InsertStatement, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the data of an INSERT: what was read of it with the statement, then the rest of the body."""
    if head[insert.data_start :]:
        yield head[insert.data_start :]
    async for piece in body:
        yield piece


@asynccontextmanager
async def spooled(data: AsyncIterator[bytes]) -> AsyncIterator[Path]:
    """Write the data of an INSERT to a temporary file, which goes away with the block.

    The engine is asked only once all of it has arrived: a client that is slow holds no handle, and one that goes
    away has inserted nothing.
    """
    with tempfile.NamedTemporaryFile(prefix="millrace-insert-", suffix=".data", buffering=0) as file:
        async for piece in _in_pieces(data, SPOOL_BYTES):
            await anyio.to_thread.run_sync(file.write, piece)
        yield Path(file.name)


async def _in_pieces(data: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Gather small pieces into larger ones; the last may be small."""
    gathered = bytearray()
    async for piece in data:
        gathered += piece
        if len(gathered) >= size:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
