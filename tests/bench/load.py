"""The load generator: prepared HTTP/1.1 requests over keep-alive sockets, one in flight on each.

It shares the machine with what it measures, so it does no more than it must: requests are built beforehand, of an
answer only the status and the length are looked at, and one thread serves all connections.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.bench.latency import due_at
from tests.bench.measurement import BenchmarkError

ANSWER_SECONDS_MAX = 30.0
RECEIVE_BYTES = 1 << 18
SEND_BUFFER_BYTES = 1 << 20
"""A request fits into the socket's buffer, so that sending never waits for the server."""
START_DELAY_SECONDS = 0.05
_OK = b"HTTP/1.1 200"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """What came of a load: one latency in seconds for each request, all answered 200.

    `started_at` is on the clock of `time.perf_counter`.
    """

    started_at: float
    seconds: float
    latencies: Sequence[float]

    @property
    def requests(self) -> int:
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def post_request(path: str, api_key: str, body: bytes) -> bytes:
    """The bytes of a POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get_request(path: str, api_key: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {api_key}\r\n\r\n".encode()


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=ANSWER_SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.counts_from = 0.0
        self._head = b""
        self._missing: int | None = None

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, request: bytes, counts_from: float) -> None:
        """Send a request whose latency is counted from `counts_from`."""
        self.counts_from = counts_from
        self._socket.sendall(request)

    def receive(self, buffer: bytearray) -> bool:
        """Take what has arrived; whether the answer is complete.

        Raises: BenchmarkError for an answer that is not 200, or none.
        """
        received = self._socket.recv_into(buffer)
        if received == 0:
            raise BenchmarkError("the server closed a connection without an answer")
        if self._missing is None:
            self._head += bytes(memoryview(buffer)[:received])
            self._read_head()
        else:
            self._missing -= received
        if self._missing != 0:
            return False
        self._head, self._missing = b"", None
        return True

    def _read_head(self) -> None:
        end = self._head.find(_HEAD_END)
        if end < 0:
            return
        if not self._head.startswith(_OK):
            raise BenchmarkError(f"not answered 200: {self._head[:1000].decode('latin-1')}")
        at = self._head.lower().index(_LENGTH, 0, end + 2) + len(_LENGTH)
        length = int(self._head[at : self._head.index(b"\r", at)])
        self._missing = end + len(_HEAD_END) + length - len(self._head)

    def close(self) -> None:
        self._socket.close()


class LoadGenerator:
    """Some connections to one server."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._connections = {each.fileno(): each for each in (Connection(host, port) for _ in range(connections))}
        self._buffer = bytearray(RECEIVE_BYTES)
        self._poll = select.epoll()
        for fileno in self._connections:
            self._poll.register(fileno, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        for connection in self._connections.values():
            connection.close()

    def as_fast_as_answered(self, requests: Iterator[bytes], seconds: float) -> Load:
        """A closed loop: every connection sends its next request when it has its answer, for `seconds`.

        Ends earlier when the requests run out.
        """
        latencies: list[float] = []
        started_at = time.perf_counter()
        deadline = started_at + seconds
        in_flight = 0
        for connection, request in zip(self._connections.values(), requests, strict=False):
            connection.send(request, time.perf_counter())
            in_flight += 1
        while in_flight:
            for connection in self._answered(ANSWER_SECONDS_MAX):
                now = time.perf_counter()
                latencies.append(now - connection.counts_from)
                request_or_end = next(requests, None) if now < deadline else None
                if request_or_end is None:
                    in_flight -= 1
                else:
                    connection.send(request_or_end, now)
        return Load(started_at, time.perf_counter() - started_at, latencies)

    def at_rate(self, requests: Sequence[bytes], per_second: float) -> Load:
        """An open loop: request n is due at n / `per_second`, whatever became of those before it.

        Latencies count from when a request was due: a server that falls behind is charged for what it delays,
        also for a request that had to wait for a free connection.
        """
        latencies: list[float] = []
        idle = deque(self._connections.values())  # in turn: a server may close what is idle for seconds
        started_at = time.perf_counter() + START_DELAY_SECONDS
        number = 0
        while len(latencies) < len(requests):
            now = time.perf_counter()
            while idle and number < len(requests) and (due := due_at(started_at, number, per_second)) <= now:
                idle.popleft().send(requests[number], due)
                number += 1
            waits = number < len(requests) and bool(idle)
            pause = due_at(started_at, number, per_second) - now if waits else ANSWER_SECONDS_MAX
            for connection in self._answered(max(pause, 0)):
                latencies.append(time.perf_counter() - connection.counts_from)
                idle.append(connection)
        return Load(started_at, time.perf_counter() - started_at, latencies)

    def _answered(self, seconds_max: float) -> Iterator[Connection]:
        ready = self._poll.poll(seconds_max)
        if not ready and seconds_max >= ANSWER_SECONDS_MAX:
            raise BenchmarkError(f"no answer within {ANSWER_SECONDS_MAX:g} s")
        for fileno, _ in ready:
            connection = self._connections[fileno]
            if connection.receive(self._buffer):
                yield connection
