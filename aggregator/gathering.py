"""Gathering records into batches, bounded by events, bytes and time."""

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of the records of a batch: memory stays bounded whatever the size of the packs."""

T = TypeVar("T")


class Gatherer(Generic[T]):
    """One batch that is being filled while another one is counted; to add a record takes no task and no lock."""

    def __init__(self, *, events_max: int, seconds_max: float, bytes_max: int = BATCH_BYTES_MAX) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._begun = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._clear()

    def _clear(self) -> None:
        self._items: list[T] = []
        self._events = 0
        self._bytes = 0
        self._begun.clear()
        self._full.clear()
        self._room.set()

    def add(self, item: T, *, events: int, size_bytes: int) -> bool:
        """Add a record unless there is no room; one that is too large for any batch is a batch of its own."""
        if not self._has_room(events, size_bytes):
            self._full.set()
            self._room.clear()
            return False
        self._items.append(item)
        self._events += events
        self._bytes += size_bytes
        self._begun.set()
        if self._events >= self._events_max or self._bytes >= self._bytes_max:
            self._full.set()
        return True

    async def wait_for_room(self) -> None:
        """Wait, after a record that was not added, until a batch is taken."""
        await self._room.wait()

    async def take(self) -> Sequence[T]:
        """The next batch: as soon as it is full, or `seconds_max` after its first record."""
        await self._begun.wait()
        try:
            async with asyncio.timeout(self._seconds_max):
                await self._full.wait()
        except TimeoutError:
            pass
        items = self._items
        self._clear()
        return items

    def _has_room(self, events: int, size_bytes: int) -> bool:
        if not self._items:
            return True
        return self._events + events <= self._events_max and self._bytes + size_bytes <= self._bytes_max
