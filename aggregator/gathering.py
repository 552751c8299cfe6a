"""Gathering records into batches, bounded by events, bytes and time."""

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""Bytes of the records of a batch: memory stays bounded whatever the size of the packs."""

T = TypeVar("T")


class Gatherer(Generic[T]):
    """One batch that is being filled while another one is counted; `add` waits while it is full."""

    def __init__(self, *, events_max: int, seconds_max: float, bytes_max: int = BATCH_BYTES_MAX) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._changed = asyncio.Condition()
        self._clear()

    def _clear(self) -> None:
        self._items: list[T] = []
        self._events = 0
        self._bytes = 0
        self._is_full = False

    async def add(self, item: T, *, events: int, size_bytes: int) -> None:
        """Add a record as soon as there is room; one that is too large for any batch is a batch of its own."""
        async with self._changed:
            while not self._has_room(events, size_bytes):
                self._is_full = True
                self._changed.notify_all()
                await self._changed.wait()
            self._items.append(item)
            self._events += events
            self._bytes += size_bytes
            self._is_full = self._events >= self._events_max or self._bytes >= self._bytes_max
            self._changed.notify_all()

    async def take(self) -> Sequence[T]:
        """The next batch: as soon as it is full, or `seconds_max` after its first record."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._items)
            if not self._is_full:
                try:
                    async with asyncio.timeout(self._seconds_max):
                        await self._changed.wait_for(lambda: self._is_full)
                except TimeoutError:
                    pass
            items = self._items
            self._clear()
            self._changed.notify_all()
        return items

    def _has_room(self, events: int, size_bytes: int) -> bool:
        if not self._items:
            return True
        return self._events + events <= self._events_max and self._bytes + size_bytes <= self._bytes_max
