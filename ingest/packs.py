"""Packs: how the lines of concurrent requests are laid into Kafka records. Pure; the publisher keeps the time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Sender = TypeVar("Sender")
"""Whoever waits for a line to be durable; only its identity matters here."""


@dataclass(slots=True)
class Pack(Generic[Sender]):
    """Lines of one partition that become one record, and how many of them each sender waits for."""

    partition: int
    lines: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    senders: Counter[Sender] = field(default_factory=Counter)


class PackGathering(Generic[Sender]):
    """Gathers lines into packs, one open pack a partition.

    Bounds: `events_max` lines and `bytes_max` bytes a pack, line breaks included. A single line over
    `bytes_max` becomes a pack of its own; validation keeps events far below that.
    """

    def __init__(self, *, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._open: dict[int, Pack[Sender]] = {}

    def add(self, partition: int, lines: list[bytes], sender: Sender) -> Iterator[Pack[Sender]]:
        """Lay `lines` into the partition's open pack; those that they filled, or did not fit into, are returned.

        To be gone through to its end: the lines are laid on the way.
        """
        size_bytes = sum(map(len, lines)) + len(lines)
        pack = self._open.get(partition)
        open_lines, open_bytes = (0, 0) if pack is None else (len(pack.lines), pack.size_bytes)
        fits = open_lines + len(lines) < self._events_max and open_bytes + size_bytes <= self._bytes_max
        if fits:
            self._lay(partition, lines, size_bytes, sender)
            return
        for line in lines:
            yield from self._add_one(partition, line, sender)

    def _add_one(self, partition: int, line: bytes, sender: Sender) -> Iterator[Pack[Sender]]:
        size_bytes = len(line) + 1
        pack = self._open.get(partition)
        if pack is not None and pack.size_bytes + size_bytes > self._bytes_max:
            yield self._open.pop(partition)
        pack = self._lay(partition, [line], size_bytes, sender)
        if len(pack.lines) >= self._events_max:
            yield self._open.pop(partition)

    def _lay(self, partition: int, lines: list[bytes], size_bytes: int, sender: Sender) -> Pack[Sender]:
        pack = self._open.get(partition)
        if pack is None:
            pack = self._open[partition] = Pack(partition)
        pack.lines += lines
        pack.size_bytes += size_bytes
        pack.senders[sender] += len(lines)
        return pack

    def drain(self) -> Iterator[Pack[Sender]]:
        """Close and hand over every open pack."""
        packs = list(self._open.values())
        self._open.clear()
        yield from packs
