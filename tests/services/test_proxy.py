"""The proxy forwards faithfully, and each fault does what it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.services.ports import LOOPBACK
from tests.services.proxy import ProxyMode, TcpProxy


class EchoServer:
    """Answers every chunk with the same chunk and remembers what it was sent."""

    def __init__(self) -> None:
        self.received = b""
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=[connection], daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(65536):
                    self.received += chunk
                    connection.sendall(chunk)
            except OSError:
                return

    def wait_for(self, size: int) -> None:
        """Wait until exactly so many bytes came: what was passed on may still be on its way."""
        ends_at = time.monotonic() + 5
        while len(self.received) < size and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert len(self.received) == size

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # close alone leaves it open while a thread waits in accept
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    with suppress(OSError):  # the test closed it
        server.close()


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[TcpProxy]:
    with TcpProxy(LOOPBACK, echo.port) as running:
        yield running


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=5)


def ask(client: socket.socket, request: bytes) -> bytes:
    """Send a request and return as many bytes of answer, or what came before the end."""
    client.sendall(request)
    answer = b""
    while len(answer) < len(request) and (chunk := client.recv(65536)):
        answer += chunk
    return answer


def send_all_and_finish(client: socket.socket, request: bytes) -> None:
    client.sendall(request)
    client.shutdown(socket.SHUT_WR)


def is_silent(client: socket.socket, seconds: float = 0.2) -> bool:
    client.settimeout(seconds)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_pass_request_and_answer_go_through(proxy: TcpProxy) -> None:
    """Without a fault the client cannot tell the proxy from the server."""
    with connect(proxy) as client:
        assert ask(client, b"event") == b"event"


def test_pass_half_close_still_delivers_the_whole_answer(proxy: TcpProxy) -> None:
    """A client that has said all it has to say receives the answer to its last byte, and then the end."""
    sent = bytes(range(256)) * 8000
    received = bytearray()
    with connect(proxy) as client:
        writer = threading.Thread(target=send_all_and_finish, args=[client, sent])
        writer.start()
        while chunk := client.recv(65536):
            received += chunk
        writer.join()
    assert bytes(received) == sent


def test_refuse_new_connection_is_refused_and_open_one_goes_on(proxy: TcpProxy) -> None:
    """Refusing concerns new connections; passing again listens on the same port."""
    with connect(proxy) as client:
        ask(client, b"open")
        proxy.set_mode(ProxyMode.REFUSE)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert ask(client, b"still here") == b"still here"
    proxy.set_mode(ProxyMode.PASS)
    with connect(proxy) as client:
        assert ask(client, b"again") == b"again"


def test_cut_open_connection_is_reset_and_next_one_passes(proxy: TcpProxy) -> None:
    """A cut ends what is open and nothing else."""
    with connect(proxy) as client:
        ask(client, b"open")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        assert ask(client, b"new") == b"new"


def test_blackhole_open_connection_is_silent_until_the_mode_changes(proxy: TcpProxy, echo: EchoServer) -> None:
    """What was sent into the silence arrives after it, as TCP's own retries would have it."""
    with connect(proxy) as client:
        ask(client, b"before")
        proxy.set_mode(ProxyMode.BLACKHOLE)
        client.sendall(b"held")
        assert is_silent(client)
        assert echo.received == b"before"
        proxy.set_mode(ProxyMode.PASS)
        assert client.recv(64) == b"held"


def test_blackhole_new_connection_is_accepted_and_silent(proxy: TcpProxy, echo: EchoServer) -> None:
    """A client sees an open connection and waits for its own timeout."""
    proxy.set_mode(ProxyMode.BLACKHOLE)
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert is_silent(client)
    assert echo.received == b""


def test_delay_round_trip_takes_twice_the_delay(proxy: TcpProxy) -> None:
    """Each direction is held back once."""
    proxy.delay_seconds = 0.1
    with connect(proxy) as client:
        started = time.monotonic()
        assert ask(client, b"slow") == b"slow"
    assert time.monotonic() - started >= 0.2


def test_cut_after_request_server_has_it_and_client_does_not_know(proxy: TcpProxy, echo: EchoServer) -> None:
    """The request was carried out, and the client gets a reset where its answer should be."""
    proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST)
    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        ask(client, b"charge")
    assert echo.received == b"charge"
    assert proxy.answers_cut == 1


def test_cut_after_request_limited_to_one_lets_the_retry_through(proxy: TcpProxy, echo: EchoServer) -> None:
    """A client that retries by itself meets the fault once."""
    proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST, answers_to_cut=1)
    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        ask(client, b"charge")
    with connect(proxy) as client:
        assert ask(client, b"charge") == b"charge"
    assert echo.received == b"chargecharge"
    assert proxy.answers_cut == 1


def test_pass_server_gone_closes_the_client(proxy: TcpProxy, echo: EchoServer) -> None:
    """A connection whose server cannot be reached ends at once instead of hanging."""
    echo.close()
    with pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)


def test_close_with_open_connections_ends_them(echo: EchoServer) -> None:
    """Nothing of the proxy is left when its block ends."""
    with TcpProxy(LOOPBACK, echo.port) as own:
        client = connect(own)
        ask(client, b"open")
    with client, pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(own)


HEAD = b"POST /?query=INSERT HTTP/1.1\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_hold_request_stops_in_its_middle_until_released(proxy: TcpProxy, echo: EchoServer, share: float) -> None:
    """Only the request with the pattern stands still, with its answer; released, all of it arrives."""
    body = b"x" * 100
    proxy.hold(b"INSERT", share)
    with connect(proxy) as other, connect(proxy) as client:
        other.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
        assert other.recv(100).startswith(b"GET")
        seen = len(echo.received)
        client.sendall(HEAD)
        client.sendall(body)
        assert proxy.wait_until_held(5)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert len(echo.received) - seen == round(share * len(HEAD + body))
        client.settimeout(5)
        proxy.release()
        answer = b""
        while len(answer) < len(HEAD + body):
            answer += client.recv(1000)
        assert answer == HEAD + body


def test_held_request_cut_ends_there(proxy: TcpProxy, echo: EchoServer) -> None:
    """The server keeps the part it got and nothing else; the next request passes."""
    proxy.hold(b"INSERT", 0.5)
    with connect(proxy) as client:
        client.sendall(HEAD + b"x" * 100)
        assert proxy.wait_until_held(5)
        proxy.cut()
        echo.wait_for(round(0.5 * (len(HEAD) + 100)))
    with connect(proxy) as client:
        client.sendall(HEAD)
        assert client.recv(1000) == HEAD
