"""The exact dedup index: which events are counted already. It is a cache of ClickHouse, never a second truth.

Layout (LMDB, one environment for all partitions):

    events       event_id (16 bytes) → fingerprint (8 bytes) + hour of arrival (4 bytes), big-endian
    checkpoints  partition (4 bytes) → next offset (8 bytes): every stored event of that partition below it is
                 here, unless it arrived before `complete_from`
    state        what the retention needs: hours (4 bytes) and the place of the sweep (an event_id)

An entry says "this event is stored", which stays true whoever owns its partition, so entries are never wrong, only
missing. What is missing lies at or above the checkpoint and is fetched from ClickHouse before the partition is
worked on, or it arrived before `complete_from`, and ClickHouse is asked for it. That is why a moved partition
leaves no stale data behind, one environment serves all of them, and a bound on the disk costs no exactness.

The clock of the retention is the stream's: the latest arrival the index has seen. A sweep goes through the entries
in the order of their keys, some with every batch, and deletes those that arrived longer than the retention before;
in key order, since entries that arrived together are spread over the whole tree, and to delete them by their time
would write about a page for each. A new pass starts when the clock is a sixteenth of the retention further.

Entries and checkpoint are written in one transaction, and so are what a sweep deletes and how far it came. The
file is synced with every commit except its meta page: a power cut may take back the last transactions, whole, and
the checkpoint with them; the next sync brings them again.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Protocol

import lmdb

MAP_BYTES_MIN = 64 * 1024 * 1024
"""First size of the map; it doubles when it is full. The file itself only grows with its content."""
SWEEP_KEYS_MIN = 4_096
"""Entries that a sweep looks at with each batch, some 2 ms."""
SWEEP_KEYS_PER_EVENT = 4
"""And with each event counted: a pass over a full index then takes a quarter of the retention."""
SWEEP_PAUSE_SHARE = 16
"""A pass starts when a sixteenth of the retention has gone by since the one before."""
_HOUR_US = 3600 * 1_000_000
_HOURS_A_DAY = 24
_VALUE = Struct(">QI")
_HOUR = Struct(">I")
_PARTITION = Struct(">I")
_OFFSET = Struct(">Q")
_HOUR_AT = 8
_FIRST_KEY = bytes(16)

_LATEST, _COMPLETE_FROM, _SWEPT_TO, _SWEEPING_TO, _SWEEP_PLACE = (
    b"latest", b"complete_from", b"swept_to", b"sweeping_to", b"sweep_place"
)  # fmt: skip


class Indexed(Protocol):
    """What the index keeps of a stored event; an arrival before 1970, by a test clock, is kept as of then."""

    @property
    def event_id(self) -> bytes: ...

    @property
    def fingerprint(self) -> int: ...

    @property
    def ingested_at_us(self) -> int: ...


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


class DedupIndex:
    """The index under one directory; one process at a time. Calls take turns, since the map only grows at rest."""

    def __init__(self, directory: Path, *, retention_days: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(str(directory), map_size=MAP_BYTES_MIN, max_dbs=3, metasync=False)
        self._events = self._env.open_db(b"events")
        self._checkpoints = self._env.open_db(b"checkpoints")
        self._state = self._env.open_db(b"state")
        self._lock = threading.Lock()
        self._retention_hours = retention_days * _HOURS_A_DAY
        self._read_hours()
        self._read_sweep()

    @property
    def complete_from_us(self) -> int:
        """The arrival from which on nothing below the checkpoints is missing; 0 while nothing was left out."""
        return self._complete_from * _HOUR_US

    def lookup(self, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The fingerprints of those events that are stored."""
        with self._lock, self._env.begin() as transaction, transaction.cursor(self._events) as cursor:
            found = cursor.getmulti(event_ids)
        return {event_id: _VALUE.unpack(value)[0] for event_id, value in found}

    def checkpoint(self, partition: int) -> int:
        """The offset below which every event of `partition` from `complete_from_us` on is here; 0 at first."""
        with self._lock, self._env.begin() as transaction:
            value = transaction.get(_PARTITION.pack(partition), db=self._checkpoints)
        return 0 if value is None else int(_OFFSET.unpack(value)[0])

    def add(self, entries: Collection[Indexed], checkpoints: Mapping[int, int]) -> None:
        """Add stored events and move checkpoints, together or not at all; a checkpoint never moves back."""
        pack = _VALUE.pack
        pairs = [
            (entry.event_id, pack(entry.fingerprint, max(entry.ingested_at_us, 0) // _HOUR_US))
            for entry in entries
        ]
        pairs.sort(key=itemgetter(0))
        latest = max((entry.ingested_at_us for entry in entries), default=0) // _HOUR_US

        def write(transaction: lmdb.Transaction) -> None:
            with transaction.cursor(self._events) as cursor:
                cursor.putmulti(pairs, overwrite=False)
            if latest > self._latest:
                transaction.put(_LATEST, _HOUR.pack(latest), db=self._state)
            for partition, offset in checkpoints.items():
                self._raise_checkpoint(transaction, partition, offset)

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

        def write(transaction: lmdb.Transaction) -> None:
            if not is_complete:
                self._raise_complete_from(transaction, kept_from)
            self._raise_checkpoint(transaction, partition, end)

        self._write(write)
        return count

    def sweep(self, events_counted: int) -> int:
        """Go on deleting what arrived before the retention; returns how many entries were deleted.

        Bounds: looks at `SWEEP_KEYS_MIN` entries and `SWEEP_KEYS_PER_EVENT` for each event counted since the last
        call; at none while no pass is due. A crash leaves all or nothing of a call.
        """
        if not self._is_sweeping and not self._start_pass():
            return 0
        keys_max = SWEEP_KEYS_MIN + SWEEP_KEYS_PER_EVENT * events_counted
        expired, place = self._find_expired(keys_max)
        if expired or place is None:
            self._write(lambda transaction: self._delete(transaction, expired, place))
        self._place = place or _FIRST_KEY
        return len(expired)

    def size(self) -> IndexSize:
        """How large the index is."""
        with self._lock, self._env.begin() as transaction:
            entries = int(transaction.stat(self._events)["entries"])
            pages = int(self._env.info()["last_pgno"]) + 1
        return IndexSize(entries, pages * int(self._env.stat()["psize"]))

    def close(self) -> None:
        """Release the files."""
        self._env.close()

    def _read_hours(self) -> None:
        with self._env.begin(db=self._state) as transaction:
            self._latest = _hour(transaction.get(_LATEST))
            self._complete_from = _hour(transaction.get(_COMPLETE_FROM))
            self._swept_to = _hour(transaction.get(_SWEPT_TO))

    def _read_sweep(self) -> None:
        """Where the last deletion was; what was looked at behind it is looked at again."""
        with self._env.begin(db=self._state) as transaction:
            self._sweeping_to = _hour(transaction.get(_SWEEPING_TO))
            self._place = bytes(transaction.get(_SWEEP_PLACE, _FIRST_KEY))

    def _horizon(self, latest: int) -> int:
        return max(latest - self._retention_hours, 0)

    @property
    def _is_sweeping(self) -> bool:
        return self._sweeping_to > self._swept_to

    def _start_pass(self) -> bool:
        """Whether enough time has gone by since the last pass; if so, the next one begins."""
        horizon = self._horizon(self._latest)
        if horizon - self._swept_to < max(self._retention_hours // SWEEP_PAUSE_SHARE, 1):
            return False
        self._sweeping_to, self._place = horizon, _FIRST_KEY
        return True

    def _find_expired(self, keys_max: int) -> tuple[list[bytes], bytes | None]:
        """The expired among the next keys, and where the next look begins: None behind the last key."""
        horizon = _HOUR.pack(self._sweeping_to)
        with self._lock, self._env.begin() as transaction, transaction.cursor(self._events) as cursor:
            if not cursor.set_range(self._place):
                return [], None
            pairs = cursor.iternext(keys=True, values=True)
            expired = [key for key, value in islice(pairs, keys_max) if value[_HOUR_AT:] < horizon]
            following = next(pairs, None)
        return expired, None if following is None else bytes(following[0])

    def _delete(self, transaction: lmdb.Transaction, expired: Iterable[bytes], place: bytes | None) -> None:
        with transaction.cursor(self._events) as cursor:
            for event_id in expired:
                if cursor.set_key(event_id):
                    cursor.delete()
        if expired:
            self._raise_complete_from(transaction, self._sweeping_to)
        sweeping_to = _HOUR.pack(self._sweeping_to)
        transaction.put(_SWEEPING_TO, sweeping_to, db=self._state)
        transaction.put(_SWEEP_PLACE, place or _FIRST_KEY, db=self._state)
        if place is None:
            transaction.put(_SWEPT_TO, sweeping_to, db=self._state)

    def _raise_complete_from(self, transaction: lmdb.Transaction, hour: int) -> None:
        if hour > self._complete_from:
            transaction.put(_COMPLETE_FROM, _HOUR.pack(hour), db=self._state)

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
                    self._read_hours()
                    return


def _hour(value: bytes | None) -> int:
    return 0 if value is None else int(_HOUR.unpack(value)[0])
