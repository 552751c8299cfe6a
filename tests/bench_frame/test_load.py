"""The load generator against a server that answers as told."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.load import LoadGenerator, get_request, post_request
from tests.bench.measurement import BenchmarkError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def serve(answer: bytes, *, delay_seconds: float = 0.0, piece_bytes: int = 1_000) -> Iterator[int]:
    """A server whose every answer is `answer`, in pieces; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65_536):
                time.sleep(delay_seconds)
                for start in range(0, len(answer), piece_bytes):
                    connection.sendall(answer[start : start + piece_bytes])
                    time.sleep(0.001)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def test_post_request_announces_the_length_of_its_body() -> None:
    """The server must know where the body ends."""
    request = post_request("/api/v1/events", "key", b'{"event":{}}')
    assert request.startswith(b"POST /api/v1/events HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 12\r\n" in request
    assert b"\r\nAuthorization: Bearer key\r\n" in request
    assert request.endswith(b'\r\n\r\n{"event":{}}')


@pytest.mark.parametrize("piece_bytes", [1, 7, 45, 1_000])
def test_closed_loop_counts_every_answer_however_it_is_cut(piece_bytes: int) -> None:
    """An answer is complete with its last byte, also when its head comes in pieces."""
    with serve(OK, piece_bytes=piece_bytes) as port, LoadGenerator("127.0.0.1", port, 2) as generator:
        load = generator.as_fast_as_answered(iter([get_request("/", "key")] * 7), seconds=30)
    assert load.requests == 7
    assert load.seconds < 30


def test_closed_loop_ends_with_its_time() -> None:
    """What is in flight at the end is waited for, nothing more is sent."""
    requests = iter([get_request("/", "key")] * 1_000)
    with serve(OK, delay_seconds=0.05) as port, LoadGenerator("127.0.0.1", port, 1) as generator:
        load = generator.as_fast_as_answered(requests, seconds=0.2)
    assert 1 <= load.requests <= 5
    assert len(list(requests)) == 1_000 - load.requests


def test_load_that_is_refused_has_no_figure() -> None:
    """A 503 is no throughput."""
    with (
        serve(REFUSED) as port,
        LoadGenerator("127.0.0.1", port, 1) as generator,
        pytest.raises(BenchmarkError, match="503 Service Unavailable"),
    ):
        generator.as_fast_as_answered(iter([get_request("/", "key")]), seconds=1)


def test_open_loop_counts_from_when_a_request_was_due() -> None:
    """A server that takes 0.05 s, asked every 0.01 s over one connection, falls behind further and further."""
    with serve(OK, delay_seconds=0.05) as port, LoadGenerator("127.0.0.1", port, 1) as generator:
        load = generator.at_rate([get_request("/", "key")] * 10, per_second=100)
    assert load.requests == 10
    assert load.latencies[0] >= 0.05
    assert load.latencies[-1] >= 10 * 0.05 - 9 * 0.01
