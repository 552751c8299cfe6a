"""A TCP proxy that puts faults between a client and a server.

A test of a silent network:

    with TcpProxy("127.0.0.1", server_port) as proxy:
        client = connect(proxy.port)
        proxy.set_mode(ProxyMode.BLACKHOLE)     # silence, in both directions
        proxy.set_mode(ProxyMode.PASS)          # what was held back arrives now
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

from tests.services.entered import EnteredService
from tests.services.ports import LOOPBACK

CHUNK_BYTES = 64 * 1024
CALL_SECONDS_MAX = 10
# SO_LINGER with a time of zero turns a close into a reset, which the other end sees at once as an error.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HEADERS_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class ProxyMode(StrEnum):
    """What the proxy does to connections, the open ones included unless said otherwise."""

    PASS = "pass"
    """Forward everything, late by `delay_seconds`."""
    REFUSE = "refuse"
    """Refuse new connections; the open ones go on until `cut`."""
    BLACKHOLE = "blackhole"
    """Accept connections and forward nothing; what is held back arrives when the mode changes."""
    CUT_AFTER_REQUEST = "cut_after_request"
    """Forward requests, and reset the connection when its answer comes: done, but the client cannot know."""


class TcpProxy(EnteredService):
    """One listening port on the loopback address, forwarded to one server; entered and left like a file.

    `delay_seconds` holds back every chunk in each direction, so a round trip takes at least twice as long.
    `answers_to_cut` bounds how many answers CUT_AFTER_REQUEST drops before the mode becomes PASS again;
    None means all. `answers_cut` counts them.

    `hold` stops one request in its middle; `release` lets it go on, `cut` ends it there.
    """

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self.upstream = (upstream_host, upstream_port)
        self.port = 0
        self.delay_seconds = 0.0
        self.answers_to_cut: int | None = None
        self.answers_cut = 0
        self.mode = ProxyMode.PASS
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._links: set[_Link] = set()
        self._hold: _Hold | None = None

    def start(self) -> None:
        """Listen on a free port and forward until `close`."""
        self._thread.start()
        self._call(self._listen())

    def set_mode(self, mode: ProxyMode, *, answers_to_cut: int | None = None) -> None:
        """Change what happens from now on; returns when the change is in force."""
        self._call(self._change(mode, answers_to_cut))

    def hold(self, pattern: bytes, share: float) -> None:
        """Stop the next HTTP request that `pattern` is found in, once, when `share` of its bytes went through.

        Its answer is held too, so that a share of 1 means: done, and the client is not told yet. Everything else
        goes on as the mode says.
        """
        self._call(self._arm(_Hold(re.compile(pattern), share)))

    def wait_until_held(self, seconds: float) -> bool:
        """Whether the request came within that time and stands still now."""
        assert self._hold is not None, "hold() comes first"
        return self._hold.is_held.wait(seconds)

    def release(self) -> None:
        """Let the held request and its answer go on; nothing is held any more."""
        self._call(self._let_go())

    def cut(self) -> None:
        """Reset every open connection at both ends; the mode stays."""
        self._call(self._cut())

    def close(self) -> None:
        """Reset every connection, stop listening and end the thread."""
        if self._thread.is_alive():
            self._call(self._shut())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_SECONDS_MAX)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)

    async def _listen(self) -> None:
        self._flowing.set()
        self._listener = socket.create_server((LOOPBACK, self.port))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept(self._listener))

    async def _change(self, mode: ProxyMode, answers_to_cut: int | None) -> None:
        self.mode, self.answers_to_cut = mode, answers_to_cut
        if mode is ProxyMode.REFUSE:
            self._stop_listening()
        elif self._listener is None:
            await self._listen()
        if mode is ProxyMode.BLACKHOLE:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _arm(self, hold: _Hold) -> None:
        self._hold = hold

    async def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.let_go.set()
            self._hold = None

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _cut(self) -> None:
        for link in tuple(self._links):
            link.cut()

    async def _shut(self) -> None:
        self._stop_listening()
        await self._cut()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        while listener is self._listener:
            client, _ = await self._loop.sock_accept(listener)
            self._spawn(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=CHUNK_BYTES)
        link = _Link(writer)
        self._links.add(link)
        try:
            await self._flowing.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(*self.upstream, limit=CHUNK_BYTES)
            link.add(upstream_writer)
            await asyncio.gather(
                self._forward_requests(reader, upstream_writer, link),
                self._forward_answers(upstream_reader, writer, link),
            )
            link.close()
        except OSError:
            pass  # either end went away: the finally passes that on to the other
        finally:
            link.cut()
            self._links.discard(link)

    async def _forward_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        while chunk := await self._receive(reader):
            if link.hold is None and self._hold is not None and self._hold.takes(chunk):
                link.hold = self._hold
            if link.hold is None:
                writer.write(chunk)
                await writer.drain()
            else:
                await link.hold.forward(chunk, writer)
        writer.write_eof()

    async def _forward_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        while chunk := await self._receive(reader):
            if self.mode is ProxyMode.CUT_AFTER_REQUEST:
                self._count_cut()
                link.cut()
                return
            if link.hold is not None:
                await link.hold.let_go.wait()
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next chunk, held back as the mode and the delay say; empty at the end of the stream."""
        chunk = await reader.read(CHUNK_BYTES)
        if self.delay_seconds > 0:
            await asyncio.sleep(self.delay_seconds)
        await self._flowing.wait()
        return chunk

    def _count_cut(self) -> None:
        self.answers_cut += 1
        if self.answers_to_cut is not None:
            self.answers_to_cut -= 1
            if self.answers_to_cut <= 0:
                self.mode, self.answers_to_cut = ProxyMode.PASS, None


class _Hold:
    """One request that stops in its middle, on the first connection it comes on."""

    def __init__(self, pattern: re.Pattern[bytes], share: float) -> None:
        self.is_held = threading.Event()
        self.let_go = asyncio.Event()
        self._pattern = pattern
        self._share = share
        self._bytes_left: int | None = None

    def takes(self, chunk: bytes) -> bool:
        """Whether this chunk begins the request, which none did before."""
        if self._bytes_left is not None or self._pattern.search(chunk) is None:
            return False
        length = _CONTENT_LENGTH.search(chunk)
        head = chunk.find(_HEADERS_END)
        assert length is not None, "the request does not say how long it is"
        assert head >= 0, "the request's headers came in pieces"
        self._bytes_left = round(self._share * (head + len(_HEADERS_END) + int(length[1])))
        return True

    async def forward(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        """Forward what may pass, and the rest when it is let go."""
        allowed = chunk[: self._bytes_left]
        self._bytes_left = (self._bytes_left or 0) - len(allowed)
        writer.write(allowed)
        await writer.drain()
        if self._bytes_left == 0:
            self.is_held.set()
            await self.let_go.wait()
        writer.write(chunk[len(allowed) :])
        await writer.drain()


class _Link:
    """The sockets of one forwarded connection, closed together."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]
        self.hold: _Hold | None = None

    def add(self, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    def close(self) -> None:
        """Close both ends in order, once what was forwarded has been sent."""
        for writer in self._writers:
            writer.close()

    def cut(self) -> None:
        """Reset both ends at once, dropping what is not sent yet; leaves an end alone that is closing already."""
        for writer in self._writers:
            if writer.transport.is_closing():
                continue
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()
