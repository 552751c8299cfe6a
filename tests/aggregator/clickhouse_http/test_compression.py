"""Compressed bodies, one or many frames, whole or cut."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import lz4.frame  # type: ignore[import-untyped]  # the package ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.clickhouse_http.compression import (
    STEP_BYTES,
    Encoding,
    choose_encoding,
    open_decoder,
    open_encoder,
)
from aggregator.clickhouse_http.errors import ClickHouseHttpError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
}


def decode(encoding: str, *chunks: bytes) -> bytes:
    decoder = open_decoder(encoding)
    assert decoder is not None
    plain = b"".join(step for chunk in chunks for step in decoder.decode(chunk))
    decoder.finish()
    return plain


@pytest.mark.parametrize("encoding", COMPRESSORS)
@given(frames=st.lists(st.binary(), min_size=1, max_size=4), cut=st.integers(1, 40))
def test_decoder_several_frames_cut_anywhere_yields_the_body(encoding: str, frames: list[bytes], cut: int) -> None:
    """Frames in a row are one body, however the network cuts them."""
    sent = b"".join(COMPRESSORS[encoding](frame) for frame in frames)
    chunks = [sent[start : start + cut] for start in range(0, len(sent), cut)]

    assert decode(encoding, *chunks) == b"".join(frames)


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_decoder_body_that_unfolds_a_thousandfold_comes_in_bounded_steps(encoding: str) -> None:
    """A small body cannot fill memory in one step."""
    decoder = open_decoder(encoding)
    assert decoder is not None

    sizes = [len(step) for step in decoder.decode(COMPRESSORS[encoding](bytes(20_000_000)))]

    assert sum(sizes) == 20_000_000
    assert max(sizes) <= STEP_BYTES


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_decoder_body_that_is_cut_off_is_refused(encoding: str) -> None:
    """A body that ends inside a frame is an error, not a shorter body."""
    sent = COMPRESSORS[encoding](b"1\tapi\n" * 1000)

    with pytest.raises(ClickHouseHttpError, match="cut off") as refused:
        decode(encoding, sent[:-5])

    assert refused.value.code == 271


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_decoder_other_bytes_are_refused(encoding: str) -> None:
    """Plain text under a compressed Content-Encoding is the caller's error."""
    with pytest.raises(ClickHouseHttpError) as refused:
        decode(encoding, b"INSERT INTO t VALUES (1)")

    assert (refused.value.code, refused.value.status) == (271, 400)


def test_decoder_of_an_unknown_coding_is_refused() -> None:
    """Brotli is named in the error."""
    with pytest.raises(ClickHouseHttpError, match="'br' is not supported") as refused:
        open_decoder("br")

    assert refused.value.status == 501


@pytest.mark.parametrize("encoding", list(Encoding))
@given(blocks=st.lists(st.binary(), max_size=4))
def test_encoder_answer_in_blocks_is_read_back(encoding: Encoding, blocks: list[bytes]) -> None:
    """What an encoder writes in pieces, a decoder reads as the same bytes."""
    encoder = open_encoder(encoding)

    sent = b"".join(encoder.compress(block) for block in blocks) + encoder.flush()

    assert decode(encoding, sent) == b"".join(blocks)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (None, None),
        ("identity", None),
        ("br, zstd", Encoding.ZSTD),
        ("lz4,zstd,gzip,deflate", Encoding.LZ4),
        ("gzip;q=0, deflate", Encoding.DEFLATE),
    ],
)
def test_choose_encoding_takes_the_first_it_speaks(accepted: str | None, chosen: Encoding | None) -> None:
    """Order counts, quality only when it refuses."""
    assert choose_encoding(accepted) == chosen
