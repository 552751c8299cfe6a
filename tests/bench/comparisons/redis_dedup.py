"""Dedup in Redis before the producer: an id is claimed with SET NX, and the event published when it was free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from schemas.errors import TransientError
from schemas.events import Event, Outcome
from schemas.publishing import EventPublisher

CONNECTIONS = 32
KEPT_SECONDS = 3_600
"""As long as the window of ingest remembers an id."""
_CLAIMED = b"+OK\r\n"
_TAKEN = b"$-1\r\n"


class RedisConnection:
    """One connection that speaks the two words of RESP that are needed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, event_id: bytes) -> None:
        """Send SET key 1 NX EX 3600."""
        key = event_id.hex().encode()
        self._writer.write(
            b"*6\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\n1\r\n$2\r\nNX\r\n$2\r\nEX\r\n$4\r\n%d\r\n"
            % (len(key), key, KEPT_SECONDS)
        )

    async def claimed(self) -> bool:
        """Whether the id of the oldest question without an answer was free.

        Raises: TransientError for any other answer.
        """
        reply = await self._reader.readline()
        if reply not in (_CLAIMED, _TAKEN):
            raise TransientError("redis", repr(reply))
        return reply == _CLAIMED

    def close(self) -> None:
        self._writer.close()


class RedisDedup:
    """An `EventPublisher` that publishes what Redis has not seen."""

    def __init__(self, publisher: EventPublisher, port: int, *, pipelined: bool) -> None:
        self._publisher = publisher
        self._port = port
        self._pipelined = pipelined
        self._idle: asyncio.Queue[RedisConnection] = asyncio.Queue()

    async def start(self) -> None:
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(RedisConnection(*await asyncio.open_connection("127.0.0.1", self._port)))
        await self._publisher.start()

    async def stop(self) -> None:
        await self._publisher.stop()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    async def check(self) -> None:
        await self._publisher.check()

    async def publish(self, events: Sequence[Event]) -> Sequence[Outcome]:
        async with self._connection() as redis:
            free = await self._claim(redis, events)
        await self._publisher.publish([event for event, is_free in zip(events, free, strict=True) if is_free])
        return [Outcome.ACCEPTED if is_free else Outcome.DUPLICATE for is_free in free]

    async def _claim(self, redis: RedisConnection, events: Sequence[Event]) -> list[bool]:
        free = []
        if self._pipelined:
            for event in events:
                redis.ask(event.event_id)
            free = [await redis.claimed() for _ in events]
        else:
            for event in events:
                redis.ask(event.event_id)
                free.append(await redis.claimed())
        return free

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[RedisConnection]:
        redis = await self._idle.get()
        try:
            yield redis
        finally:
            self._idle.put_nowait(redis)
