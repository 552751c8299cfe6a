"""The entries of the dedup index on disk: runs of entries that arrived in the same stretch of time.

An event id is a hash, so a new one belongs anywhere in a tree of them, and in a large tree each costs a page that
is read, copied and written. A run is a tree that stays small: the newest run of a stretch takes what arrives in it
until it is full, then the next one begins. Which runs may hold an id, their Bloom filters say without touching
them; and what is older than the retention goes as whole runs.

Layout (LMDB):

    runs           run number (4 bytes) → first hour, hour behind the last (4 bytes each), capacity (8 bytes)
    filters        run number → the bits of its filter, as long as nothing was added behind them
    run-<number>   event_id (16 bytes) → fingerprint (8 bytes)

A filter without an entry's bits would make a counted event unknown. So the first write to a run takes its saved
filter away, in the same transaction; a run without one is read through when the index is opened.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

import lmdb

from aggregator.bloom import BloomFilter, HashedIds

RUNS_MAX = 1_024
"""LMDB wants to know. Of four thousand million entries there would be some 400 runs."""
RUN_ENTRIES_MIN = 512 * 1024
"""What a run takes in a small index: 25 MB, of which a batch of 50,000 touches every page."""
RUN_SHARE = 64
"""In a large index a run takes this part of all entries, so that there are never many of them."""
SETTLED_WRITES = 256
"""A filter is saved when so many writes went to other runs, or its run is full."""
_FILL_ENTRIES = 65_536
_TREE = b"run-"
_NUMBER = Struct(">I")
_ROW = Struct(">IIQ")
_FINGERPRINT = Struct(">Q")
pack_fingerprint = _FINGERPRINT.pack

_Tree = Any
"""A tree of LMDB inside its environment; the driver has no public name for it."""
Pair = tuple[bytes, bytes]
"""An event id, and its fingerprint as it is stored."""


class Hours(NamedTuple):
    """A stretch of time in hours since 1970, half-open."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Writing:
    """A transaction, and what is to be done in memory when it is durable."""

    transaction: lmdb.Transaction
    when_durable: list[Callable[[], None]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Run:
    """Some entries that arrived in the same stretch of time, and their filter; full from `capacity` entries on."""

    number: int
    hours: Hours
    capacity: int
    tree: _Tree
    filter: BloomFilter
    entries: int = 0
    is_filter_saved: bool = False
    written_at: int = 0

    @property
    def key(self) -> bytes:
        return _NUMBER.pack(self.number)

    @property
    def is_full(self) -> bool:
        return self.entries >= self.capacity


class IndexRuns:
    """All runs of an environment. Callers take turns, and hand in the transaction."""

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env
        self._rows = env.open_db(b"runs")
        self._filters = env.open_db(b"filters")
        self._writes = 0
        with env.begin(db=self._rows) as transaction, transaction.cursor() as cursor:
            rows = [(bytes(key), _ROW.unpack(value)) for key, value in cursor]
        self._runs = [self._load(key, Hours(first, end), capacity) for key, (first, end, capacity) in rows]
        self._next_number = self._runs[-1].number + 1 if self._runs else 0

    def numbers_without_run(self) -> list[int]:
        """Of trees that a stop left behind, between `delete` and `remove_tree`."""
        runs = {_tree_name(run.number) for run in self._runs}
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            trees = [bytes(name) for name in cursor.iternext(values=False)]
        return [int(name.removeprefix(_TREE)) for name in trees if name.startswith(_TREE) and name not in runs]

    @property
    def entries(self) -> int:
        """Entries of all runs."""
        return sum(run.entries for run in self._runs)

    def find(self, transaction: lmdb.Transaction, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The fingerprints of those ids that are in a run; of its first one where an id is in several."""
        found: dict[bytes, int] = {}
        hashed = HashedIds(event_ids)
        for run in self._runs:
            asked = [event_ids[place] for place in run.filter.passing(hashed)]
            if asked:
                with transaction.cursor(run.tree) as cursor:
                    for event_id, value in cursor.getmulti(asked):
                        found.setdefault(bytes(event_id), _FINGERPRINT.unpack(value)[0])
        return found

    def put(self, writing: Writing, hours: Hours, pairs: Sequence[Pair]) -> None:
        """Add what arrived in a stretch of time; an id that its run holds already keeps its fingerprint."""
        transaction = writing.transaction
        run = self._with_room(hours) or self._begin(writing, hours)
        with transaction.cursor(run.tree) as cursor:
            # In the order of the keys, which a tree takes fastest.
            cursor.putmulti(sorted(pairs, key=itemgetter(0)), overwrite=False)
        transaction.delete(run.key, db=self._filters)
        entries = int(transaction.stat(run.tree)["entries"])

        def take_over() -> None:
            self._writes += 1
            run.filter.add(HashedIds([event_id for event_id, _ in pairs]))
            run.entries, run.is_filter_saved, run.written_at = entries, False, self._writes

        writing.when_durable.append(take_over)

    def expired(self, horizon: int) -> Run | None:
        """The first run that holds nothing from the hour `horizon` on."""
        return next((run for run in self._runs if run.hours.end <= horizon), None)

    def delete(self, writing: Writing, run: Run) -> None:
        """Delete a run with all its entries; its empty tree is left for `remove_tree`."""
        writing.transaction.drop(run.tree, delete=False)
        for table in (self._rows, self._filters):
            writing.transaction.delete(run.key, db=table)
        writing.when_durable.append(partial(self._runs.remove, run))

    def remove_tree(self, writing: Writing, number: int) -> None:
        """Remove the empty tree of a run that is gone.

        In a transaction of its own: LMDB closes the tree at once, also when the transaction fails.
        """
        transaction = writing.transaction
        transaction.drop(self._env.open_db(_tree_name(number), txn=transaction), delete=True)

    def settled(self) -> Run | None:
        """The first run that will hardly be written to again and whose filter is not saved."""
        return next((run for run in self._runs if not run.is_filter_saved and self._is_settled(run)), None)

    def save_filter(self, writing: Writing, run: Run) -> None:
        """Save the filter of a run, so that opening the index need not read the run."""
        writing.transaction.put(run.key, run.filter.to_bytes(), db=self._filters)
        writing.when_durable.append(partial(setattr, run, "is_filter_saved", True))

    def _is_settled(self, run: Run) -> bool:
        return run.is_full or self._writes - run.written_at >= SETTLED_WRITES

    def _with_room(self, hours: Hours) -> Run | None:
        return next((run for run in self._runs if run.hours == hours and not run.is_full), None)

    def _begin(self, writing: Writing, hours: Hours) -> Run:
        number, self._next_number = self._next_number, self._next_number + 1
        capacity = max(RUN_ENTRIES_MIN, self.entries // RUN_SHARE)
        tree = self._env.open_db(_tree_name(number), txn=writing.transaction)
        run = Run(number, hours, capacity, tree, BloomFilter(capacity))
        writing.transaction.put(run.key, _ROW.pack(*hours, capacity), db=self._rows)
        writing.when_durable.append(partial(self._runs.append, run))
        return run

    def _load(self, key: bytes, hours: Hours, capacity: int) -> Run:
        number = _NUMBER.unpack(key)[0]
        tree = self._env.open_db(_tree_name(number))
        with self._env.begin() as transaction:
            entries = int(transaction.stat(tree)["entries"])
            saved = transaction.get(key, db=self._filters)
            bits = BloomFilter(capacity) if saved is None else BloomFilter.from_bytes(saved)
            if saved is None:
                for event_ids in _all_ids(transaction, tree):
                    bits.add(HashedIds(event_ids))
        return Run(number, hours, capacity, tree, bits, entries, is_filter_saved=saved is not None)


def _all_ids(transaction: lmdb.Transaction, tree: _Tree) -> Iterator[list[bytes]]:
    with transaction.cursor(tree) as cursor:
        ids = cursor.iternext(keys=True, values=False)
        while chunk := list(islice(ids, _FILL_ENTRIES)):
            yield [bytes(event_id) for event_id in chunk]


def _tree_name(number: int) -> bytes:
    return _TREE + b"%d" % number
