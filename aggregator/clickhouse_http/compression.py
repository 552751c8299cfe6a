"""HTTP compression of request bodies and answers: gzip, deflate, lz4 frames and zstd frames.

A client may send several compressed frames one after the other (clickhouse-connect does so per block); they are
read as one body. Decoding is bounded per step, so a small body cannot unfold into memory at once.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol, assert_never

import lz4.frame  # type: ignore[import-untyped]  # the package ships no types

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from aggregator.clickhouse_http.errors import ErrorCode, raised_here

STEP_BYTES = 1024 * 1024
"""How much one step of a decoder may unfold."""

FAST_GZIP_LEVEL = 3
"""ClickHouse's own default: on one machine the network is not what is scarce."""


class Encoding(StrEnum):
    """The content codings that both sides of this interface speak."""

    GZIP = "gzip"
    DEFLATE = "deflate"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Encoder(Protocol):
    """Compresses an answer piece by piece."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class FrameDecoder(Protocol):
    """One compressed frame: what lz4 and zstd decoders have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ZlibFrame:
    """A gzip member or a zlib stream with the interface of the other decoders."""

    def __init__(self, window_bits: int) -> None:
        self._decoder = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max(max_length, 0))


class BodyDecoder:
    """Decodes a body of one or more frames."""

    def __init__(self, open_frame: Callable[[], FrameDecoder]) -> None:
        self._open_frame = open_frame
        self._frame: FrameDecoder | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of `data` in steps of at most 1 MiB.

        Raises:  ClickHouseHttpError, code 271, when the bytes are not of this coding.
        """
        try:
            while data or (self._frame is not None and not self._frame.needs_input):
                frame = self._frame = self._frame or self._open_frame()
                step = frame.decompress(data, STEP_BYTES)
                data = b""
                if step:
                    yield step
                if frame.eof:
                    data, self._frame = frame.unused_data or b"", None
        except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
            raise raised_here(
                ErrorCode.CANNOT_DECOMPRESS, f"Cannot decompress the request body: {error}"
            ) from error

    def finish(self) -> None:
        """Check that the last frame was complete.

        Raises:  ClickHouseHttpError, code 271, when it was cut off.
        """
        if self._frame is not None:
            raise raised_here(ErrorCode.CANNOT_DECOMPRESS, "The compressed request body is cut off.")


def open_decoder(content_encoding: str | None) -> BodyDecoder | None:
    """Return the decoder of a Content-Encoding; None for a plain body.

    Raises:  ClickHouseHttpError, code 48, for a coding that is not supported.
    """
    name = (content_encoding or "identity").strip().lower()
    if name == "identity":
        return None
    if name not in set(Encoding):
        raise raised_here(ErrorCode.NOT_IMPLEMENTED, f"Content-Encoding {name!r} is not supported.")
    match Encoding(name):
        case Encoding.GZIP:
            return BodyDecoder(lambda: ZlibFrame(31))
        case Encoding.DEFLATE:
            return BodyDecoder(lambda: ZlibFrame(15))
        case Encoding.LZ4:
            return BodyDecoder(lz4.frame.LZ4FrameDecompressor)
        case Encoding.ZSTD:
            return BodyDecoder(zstd.ZstdDecompressor)
        case unreachable:
            assert_never(unreachable)


def choose_encoding(accept_encoding: str | None) -> Encoding | None:
    """Choose the first coding of an Accept-Encoding that is supported and not refused with `q=0`."""
    for part in (accept_encoding or "").split(","):
        name, _, quality = part.replace(" ", "").lower().partition(";")
        if name in set(Encoding) and quality not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            return Encoding(name)
    return None


def open_encoder(encoding: Encoding) -> Encoder:
    """Return a fresh encoder: one frame an answer."""
    match encoding:
        case Encoding.GZIP:
            return zlib.compressobj(FAST_GZIP_LEVEL, wbits=31)
        case Encoding.DEFLATE:
            return zlib.compressobj(FAST_GZIP_LEVEL)
        case Encoding.LZ4:
            return Lz4Encoder()
        case Encoding.ZSTD:
            return zstd.ZstdCompressor()
        case unreachable:
            assert_never(unreachable)


class Lz4Encoder:
    """An lz4 frame; its header goes out with the first piece."""

    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._has_begun = False

    def compress(self, data: bytes, /) -> bytes:
        return self._begin() + bytes(self._compressor.compress(data))

    def flush(self) -> bytes:
        return self._begin() + bytes(self._compressor.flush())

    def _begin(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        return bytes(self._compressor.begin())
