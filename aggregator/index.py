"""The exact dedup index: which events are counted already. It is a cache of ClickHouse, never a second truth.

Layout (LMDB, one environment for all partitions):

    events       event_id (16 bytes) → fingerprint (8 bytes) + hour of arrival (4 bytes), big-endian
    checkpoints  partition (4 bytes) → next offset (8 bytes): every stored event of that partition below it is here

An entry says "this event is stored", which stays true whoever owns its partition, so entries are never wrong, only
missing; what is missing lies at or above the checkpoint and is fetched from ClickHouse before the partition is
worked on. That is why a moved partition leaves no stale data behind and one environment serves all of them.

The hour of arrival permits a retention: a sweep deletes entries below an hour, and a sync skips rows below it.

Entries and checkpoint are written in one transaction. The file is synced with every commit except its meta page:
a power cut may take back the last transactions, whole, and the checkpoint with them; the next sync brings them
again.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import lmdb

MAP_BYTES_MIN = 64 * 1024 * 1024
"""First size of the map; it doubles when it is full. The file itself only grows with its content."""
_HOUR_US = 3600 * 1_000_000
_VALUE = Struct(">QI")
_PARTITION = Struct(">I")
_OFFSET = Struct(">Q")


class IndexEntry(NamedTuple):
    """A stored event, as the index keeps it."""

    event_id: bytes
    fingerprint: int
    ingested_at_us: int


StoredSince = Callable[[int, int], Iterator[Sequence[tuple[IndexEntry, int]]]]
"""Given a partition and an offset: blocks of the stored events at or above it, each with its offset."""


class DedupIndex:
    """The index under one directory; one process at a time. Calls take turns, since the map only grows at rest."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(str(directory), map_size=MAP_BYTES_MIN, max_dbs=2, metasync=False)
        self._events = self._env.open_db(b"events")
        self._checkpoints = self._env.open_db(b"checkpoints")
        self._lock = threading.Lock()

    def lookup(self, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The fingerprints of those events that are stored."""
        with self._lock, self._env.begin() as transaction, transaction.cursor(self._events) as cursor:
            found = cursor.getmulti(event_ids)
        return {event_id: _VALUE.unpack(value)[0] for event_id, value in found}

    def checkpoint(self, partition: int) -> int:
        """The offset below which every stored event of `partition` is in the index; 0 at first."""
        with self._lock, self._env.begin() as transaction:
            value = transaction.get(_PARTITION.pack(partition), db=self._checkpoints)
        return 0 if value is None else int(_OFFSET.unpack(value)[0])

    def add(self, entries: Iterable[IndexEntry], checkpoints: Mapping[int, int]) -> None:
        """Add stored events and move checkpoints, together or not at all; a checkpoint never moves back."""
        pairs = sorted(
            (entry.event_id, _VALUE.pack(entry.fingerprint, max(entry.ingested_at_us, 0) // _HOUR_US))
            for entry in entries
        )

        def write(transaction: lmdb.Transaction) -> None:
            with transaction.cursor(self._events) as cursor:
                cursor.putmulti(pairs, overwrite=False)
            for partition, offset in checkpoints.items():
                self._raise_checkpoint(transaction, partition, offset)

        self._write(write)

    def sync_from_store(self, partition: int, stored_since: StoredSince) -> int:
        """Fetch what ClickHouse has of `partition` above the checkpoint; returns how many entries that were.

        Steps: 1. entries, block by block (stopping here leaves more entries, all of them right);
        2. the checkpoint, after the last block.
        """
        start = self.checkpoint(partition)
        count, end = 0, start
        for block in stored_since(partition, start):
            self.add((entry for entry, _ in block), {})
            count += len(block)
            end = max(end, max((offset for _, offset in block), default=-1) + 1)
        self.add((), {partition: end})
        return count

    def close(self) -> None:
        """Release the files."""
        self._env.close()

    def _raise_checkpoint(self, transaction: lmdb.Transaction, partition: int, offset: int) -> None:
        key = _PARTITION.pack(partition)
        known = transaction.get(key, db=self._checkpoints)
        if known is None or _OFFSET.unpack(known)[0] < offset:
            transaction.put(key, _OFFSET.pack(offset), db=self._checkpoints)

    def _write(self, write: Callable[[lmdb.Transaction], None]) -> None:
        with self._lock:
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        write(transaction)
                except lmdb.MapFullError:
                    self._env.set_mapsize(self._env.info()["map_size"] * 2)
                else:
                    return
