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

    def add(self, partition: int, line: bytes, sender: Sender) -> Pack[Sender] | None:
        """Lay `line` into the partition's open pack; the pack that it filled, or did not fit into, is returned."""
        pack = self._open.get(partition)
        closed: Pack[Sender] | None = None
        if pack is not None and pack.size_bytes + len(line) + 1 > self._bytes_max:
            pack, closed = None, pack
        if pack is None:
            pack = self._open[partition] = Pack(partition)
        pack.lines.append(line)
        pack.size_bytes += len(line) + 1
        pack.senders[sender] += 1
        if closed is None and len(pack.lines) >= self._events_max:
            closed = self._open.pop(partition)
        return closed

    def drain(self) -> Iterator[Pack[Sender]]:
        """Close and hand over every open pack."""
        packs = list(self._open.values())
        self._open.clear()
        yield from packs
