"""The exact dedup index: which events are counted already. It is a cache of ClickHouse, never a second truth.

Layout (LMDB, one environment for all partitions): the entries in runs (`aggregator.index_runs`), and

    checkpoints  partition (4 bytes) → next offset (8 bytes): every stored event of that partition below it is
                 here, unless it arrived before `complete_from`
    state        the layout, and what the retention needs: hours (4 bytes)

An entry says "this event is stored", which stays true whoever owns its partition, so entries are never wrong, only
missing. What is missing lies at or above the checkpoint and is fetched from ClickHouse before the partition is
worked on, or it arrived before `complete_from`, and ClickHouse is asked for it. That is why a moved partition
leaves no stale data behind, one environment serves all of them, and a bound on the disk costs no exactness.

The clock of the retention is the stream's: the latest arrival the index has seen. A run takes entries of a
sixteenth of the retention, and is deleted whole when all of them arrived longer than the retention before.

Entries and checkpoint are written in one transaction, and so are what is deleted and from when on the index is
complete. The file is synced with every commit except its meta page: a power cut may take back the last
transactions, whole, and the checkpoint with them; the next sync brings them again.
"""

import fcntl
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple, Protocol

import lmdb
import numpy as np

from aggregator.index_entries import Entries, Indexed
from aggregator.index_runs import Hours, IndexRuns, Run, Writing
from schemas.errors import MillraceError

MAP_BYTES_MIN = 64 * 1024 * 1024
"""First size of the map; it doubles when it is full. The file itself only grows with its content."""
STRETCHES = 16
"""A run takes what arrives in this part of the retention, which is how much longer an entry may stay."""
LAYOUT = b"pieces 1"
"""An index of another layout is thrown away and fetched from ClickHouse again."""
_TREES = 4
_HOUR_US = 3600 * 1_000_000
_HOURS_A_DAY = 24
_HOUR = Struct(">I")
_PARTITION = Struct(">I")
_OFFSET = Struct(">Q")

_LAYOUT, _LATEST, _COMPLETE_FROM = b"layout", b"latest", b"complete_from"


class IndexEntry(NamedTuple):
    """A stored event, as it is read back for the index."""

    event_id: bytes
    fingerprint: int
    ingested_at_us: int


class StoredSpan(NamedTuple):
    """Of some stored events: one past their highest offset, and their first and last arrival."""

    end_offset: int
    oldest_us: int
    newest_us: int


class StoredEvents(Protocol):
    """What ClickHouse has of a partition."""

    def stored_span(self, partition: int, offset: int) -> StoredSpan | None:
        """Of the stored events at or above an offset; None without any."""
        ...

    def stored_since(
        self, partition: int, offset: int, arrived_from_us: int
    ) -> Iterator[Sequence[tuple[IndexEntry, int]]]:
        """Those of them that arrived at or after an instant, in blocks, each with its offset."""
        ...


class IndexSize(NamedTuple):
    """Entries, and bytes of the file that are in use or free for reuse."""

    entries: int
    file_bytes: int


class IndexInUse(MillraceError):
    """Another process has the index open: what that one adds, the filters of this one would not know."""


class DedupIndex:
    """The index under one directory; one process at a time. Calls take turns, since the map only grows at rest.

    Raises: IndexInUse when another process has it.
    """

    def __init__(self, directory: Path, *, retention_days: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._owner = _own(directory)
        self._env = _open(directory)
        self._checkpoints = self._env.open_db(b"checkpoints")
        self._state = self._env.open_db(b"state")
        self._runs = IndexRuns(self._env)
        self._lock = threading.Lock()
        self._retention_hours = retention_days * _HOURS_A_DAY
        self._stretch_hours = max(self._retention_hours // STRETCHES, 1)
        self._read_hours()

    @property
    def complete_from_us(self) -> int:
        """The arrival from which on nothing below the checkpoints is missing; 0 while nothing was left out."""
        return self._complete_from * _HOUR_US

    def lookup(self, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The fingerprints of those events that are stored."""
        with self._lock, self._env.begin(buffers=True) as transaction:
            return self._runs.find(transaction, event_ids)

    def checkpoint(self, partition: int) -> int:
        """The offset below which every event of `partition` from `complete_from_us` on is here; 0 at first."""
        with self._lock, self._env.begin() as transaction:
            value = transaction.get(_PARTITION.pack(partition), db=self._checkpoints)
        return 0 if value is None else int(_OFFSET.unpack(value)[0])

    def add(self, entries: Collection[Indexed], checkpoints: Mapping[int, int]) -> None:
        """Add stored events and move checkpoints, together or not at all; a checkpoint never moves back."""
        added = Entries.of(entries)
        hours = np.array([entry.ingested_at_us for entry in entries], np.int64).clip(min=0) // _HOUR_US
        latest = int(hours.max(initial=0))
        horizon = self._horizon(max(self._latest, latest))
        first_hours = hours.clip(min=horizon) // self._stretch_hours * self._stretch_hours

        def write(writing: Writing) -> None:
            for first in np.unique(first_hours).tolist():
                stretch = Hours(first, first + self._stretch_hours)
                self._runs.put(writing, stretch, added.at(first_hours == first))
            if latest > self._latest:
                writing.transaction.put(_LATEST, _HOUR.pack(latest), db=self._state)
            for partition, offset in checkpoints.items():
                self._raise_checkpoint(writing.transaction, partition, offset)

        self._write(write)

    def sync_from_store(self, partition: int, store: StoredEvents) -> int:
        """Fetch what ClickHouse has of `partition` above the checkpoint, as far as the retention reaches.

        Returns how many entries that were. Steps: 1. entries, block by block (stopping here leaves more entries,
        all of them right); 2. the checkpoint after the last block, and from when on all are there.
        """
        start = self.checkpoint(partition)
        span = store.stored_span(partition, start)
        if span is None:
            return 0
        kept_from = self._horizon(max(self._latest, span.newest_us // _HOUR_US))
        count, end = 0, span.end_offset
        for block in store.stored_since(partition, start, kept_from * _HOUR_US):
            self.add([entry for entry, _ in block], {})
            count += len(block)
            end = max(end, max((offset for _, offset in block), default=-1) + 1)
        is_complete = span.oldest_us >= kept_from * _HOUR_US

        def write(writing: Writing) -> None:
            if not is_complete:
                self._raise_complete_from(writing.transaction, kept_from)
            self._raise_checkpoint(writing.transaction, partition, end)

        self._write(write)
        return count

    def sweep(self) -> int:
        """Delete a run that arrived before the retention, where there is one.

        Returns how many entries that were. Bounds: one run a call. A crash leaves all or nothing of it.
        """
        expired = self._runs.expired(self._horizon(self._latest))
        if expired is None:
            return 0
        self._write(lambda writing: self._delete(writing, expired))
        return expired.entries

    def size(self) -> IndexSize:
        """How large the index is."""
        with self._lock:
            pages = int(self._env.info()["last_pgno"]) + 1
            return IndexSize(self._runs.entries, pages * int(self._env.stat()["psize"]))

    def close(self) -> None:
        """Release the files."""
        self._env.close()
        self._owner.close()

    def _read_hours(self) -> None:
        with self._env.begin(db=self._state) as transaction:
            self._latest = _hour(transaction.get(_LATEST))
            self._complete_from = _hour(transaction.get(_COMPLETE_FROM))

    def _horizon(self, latest: int) -> int:
        return max(latest - self._retention_hours, 0)

    def _delete(self, writing: Writing, run: Run) -> None:
        self._runs.delete(writing, run)
        self._raise_complete_from(writing.transaction, run.hours.end)

    def _raise_complete_from(self, transaction: lmdb.Transaction, hour: int) -> None:
        if hour > self._complete_from:
            transaction.put(_COMPLETE_FROM, _HOUR.pack(hour), db=self._state)

    def _raise_checkpoint(self, transaction: lmdb.Transaction, partition: int, offset: int) -> None:
        key = _PARTITION.pack(partition)
        known = transaction.get(key, db=self._checkpoints)
        if known is None or _OFFSET.unpack(known)[0] < offset:
            transaction.put(key, _OFFSET.pack(offset), db=self._checkpoints)

    def _write(self, write: Callable[[Writing], None]) -> None:
        with self._lock:
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        writing = Writing(transaction)
                        write(writing)
                except lmdb.MapFullError:
                    self._env.set_mapsize(self._env.info()["map_size"] * 2)
                else:
                    for take_over in writing.when_durable:
                        take_over()
                    self._read_hours()
                    return


def _own(directory: Path) -> IO[bytes]:
    """Hold a directory until the file is closed, or the process ends, however it does."""
    file = (directory / "owner").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise IndexInUse(f"the index in {directory} is in use by another process") from None
    return file


def _open(directory: Path) -> lmdb.Environment:
    """The environment of a directory; an empty one where there is none of this layout."""
    env = _environment(directory)
    with env.begin(db=env.open_db(b"state")) as transaction:
        if transaction.get(_LAYOUT) == LAYOUT:
            return env
    env.close()
    for name in ("data.mdb", "lock.mdb"):
        (directory / name).unlink()
    env = _environment(directory)
    with env.begin(write=True, db=env.open_db(b"state")) as transaction:
        transaction.put(_LAYOUT, LAYOUT)
    return env


def _environment(directory: Path) -> lmdb.Environment:
    return lmdb.open(str(directory), map_size=MAP_BYTES_MIN, max_dbs=_TREES, metasync=False)


def _hour(value: bytes | None) -> int:
    return 0 if value is None else int(_HOUR.unpack(value)[0])
