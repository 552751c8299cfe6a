"""The entries of the dedup index on disk: runs of entries that arrived in the same stretch of time.

An event id is a hash, so a new one belongs anywhere in a tree of them, and in a large tree each costs a page that
is read, copied and written. A run is a tree that stays small: the newest run of a stretch takes what arrives in it
until it is full, then the next one begins. What is older than the retention goes as whole runs.

Which runs may hold an id, Bloom filters say without touching the runs: one for each group of `GROUP_RUNS`
consecutive runs, which few new ids pass, and one for each run, which those few are asked of.

Layout (LMDB):

    runs           run number (4 bytes) → first hour, hour behind the last (4 bytes each), capacity (8 bytes)
    filters        run number → the bits of its filter, as long as nothing was added behind them
    group_filters  group number (4 bytes) → the bits of its filter
    run-<number>   event_id (16 bytes) → fingerprint (8 bytes)

A filter without an entry's bits would make a counted event unknown. So the first write to a run takes its saved
filter away, in the same transaction, and a run without one is read through when the index is opened, for its own
filter and its group's. The filter of a group is saved with that of every run: it has the bits of all runs whose
own filter is saved.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

import lmdb

from aggregator.bloom import BloomFilter, Chooser, HashedIds

RUNS_MAX = 1_024
"""LMDB wants to know. Of four thousand million entries there would be some 650 runs."""
RUN_ENTRIES_MIN = 512 * 1024
"""What a run takes in a small index: 25 MB, of which a batch of 50,000 touches every page."""
RUN_SHARE = 128
"""In a large index a run takes this part of all entries, so that there are never many of them."""
GROUP_RUNS = 8
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


class _Row(NamedTuple):
    """A run in the table of runs."""

    number: int
    first_hour: int
    end_hour: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Writing:
    """A transaction, and what is to be done in memory when it is durable."""

    transaction: lmdb.Transaction
    when_durable: list[Callable[[], None]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Group:
    """Some runs, all of one capacity, and a filter over the entries of all of them."""

    number: int
    run_capacity: int
    filter: BloomFilter
    runs: list["Run"] = field(default_factory=list)

    @property
    def key(self) -> bytes:
        return _NUMBER.pack(self.number)


@dataclass(eq=False, slots=True)
class Run:
    """Some entries that arrived in the same stretch of time, and their filter; full at its group's capacity."""

    number: int
    group: Group
    hours: Hours
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
        return self.entries >= self.group.run_capacity

    def add_to_filters(self, event_ids: Sequence[bytes]) -> None:
        """Let those ids pass from now on."""
        hashed = HashedIds.of(event_ids)
        self.filter.add(hashed)
        self.group.filter.add(hashed)


class IndexRuns:
    """All runs of an environment. Callers take turns, and hand in the transaction."""

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env
        self._rows = env.open_db(b"runs")
        self._filters = env.open_db(b"filters")
        self._group_filters = env.open_db(b"group_filters")
        self._writes = 0
        self._groups: list[Group] = []
        self._newest_group: Group | None = None
        with env.begin(db=self._rows) as transaction, transaction.cursor() as cursor:
            rows = [_Row(*_NUMBER.unpack(key), *_ROW.unpack(value)) for key, value in cursor]
        for number, of_group in groupby(rows, lambda row: row.number // GROUP_RUNS):
            self._load_group(number, list(of_group))
        self._next_number = rows[-1].number + 1 if rows else 0

    def numbers_without_run(self) -> list[int]:
        """Of trees that a stop left behind, between `delete` and `remove_tree`."""
        runs = {_tree_name(run.number) for run in self._runs()}
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            trees = [bytes(name) for name in cursor.iternext(values=False)]
        return [int(name.removeprefix(_TREE)) for name in trees if name.startswith(_TREE) and name not in runs]

    @property
    def entries(self) -> int:
        """Entries of all runs."""
        return sum(run.entries for run in self._runs())

    def find(self, transaction: lmdb.Transaction, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The fingerprints of those ids that are in a run; of its first one where an id is in several."""
        found: dict[bytes, int] = {}
        hashed = HashedIds.of(event_ids)
        for group in self._groups:
            in_group = group.filter.passing(hashed)
            hashed_in_group = hashed.at(in_group)
            for run in group.runs:
                asked = [event_ids[place] for place in in_group[run.filter.passing(hashed_in_group)].tolist()]
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
            run.add_to_filters([event_id for event_id, _ in pairs])
            run.entries, run.is_filter_saved, run.written_at = entries, False, self._writes

        writing.when_durable.append(take_over)

    def expired(self, horizon: int) -> Run | None:
        """The first run that holds nothing from the hour `horizon` on."""
        return next((run for run in self._runs() if run.hours.end <= horizon), None)

    def delete(self, writing: Writing, run: Run) -> None:
        """Delete a run with all its entries; its empty tree is left for `remove_tree`."""
        writing.transaction.drop(run.tree, delete=False)
        for table in (self._rows, self._filters):
            writing.transaction.delete(run.key, db=table)
        if run.group.runs == [run]:
            writing.transaction.delete(run.group.key, db=self._group_filters)
        writing.when_durable.append(partial(self._remove, run))

    def remove_tree(self, writing: Writing, number: int) -> None:
        """Remove the empty tree of a run that is gone.

        In a transaction of its own: LMDB closes the tree at once, also when the transaction fails.
        """
        transaction = writing.transaction
        transaction.drop(self._env.open_db(_tree_name(number), txn=transaction), delete=True)

    def settled(self) -> Run | None:
        """The first run that will hardly be written to again and whose filter is not saved."""
        return next((run for run in self._runs() if not run.is_filter_saved and self._is_settled(run)), None)

    def save_filter(self, writing: Writing, run: Run) -> None:
        """Save the filter of a run and its group's, so that opening the index need not read the run."""
        writing.transaction.put(run.key, run.filter.to_bytes(), db=self._filters)
        writing.transaction.put(run.group.key, run.group.filter.to_bytes(), db=self._group_filters)
        writing.when_durable.append(partial(setattr, run, "is_filter_saved", True))

    def _runs(self) -> Iterator[Run]:
        return chain.from_iterable(group.runs for group in self._groups)

    def _append(self, run: Run) -> None:
        if not run.group.runs:
            self._groups.append(run.group)
        run.group.runs.append(run)

    def _remove(self, run: Run) -> None:
        run.group.runs.remove(run)
        if not run.group.runs:
            self._groups.remove(run.group)

    def _is_settled(self, run: Run) -> bool:
        return run.is_full or self._writes - run.written_at >= SETTLED_WRITES

    def _with_room(self, hours: Hours) -> Run | None:
        return next((run for run in self._runs() if run.hours == hours and not run.is_full), None)

    def _begin(self, writing: Writing, hours: Hours) -> Run:
        number, self._next_number = self._next_number, self._next_number + 1
        group = self._group_of(number)
        tree = self._env.open_db(_tree_name(number), txn=writing.transaction)
        run = Run(number, group, hours, tree, BloomFilter(group.run_capacity, Chooser.SECOND))
        writing.transaction.put(run.key, _ROW.pack(*hours, group.run_capacity), db=self._rows)
        writing.when_durable.append(partial(self._append, run))
        return run

    def _group_of(self, number: int) -> Group:
        """The group of the next run: that of the newest one, or a new one."""
        group_number = number // GROUP_RUNS
        if self._newest_group is None or self._newest_group.number != group_number:
            capacity = max(RUN_ENTRIES_MIN, self.entries // RUN_SHARE)
            bits = BloomFilter(capacity * GROUP_RUNS, Chooser.FIRST)
            self._newest_group = Group(group_number, capacity, bits)
        return self._newest_group

    def _load_group(self, number: int, rows: Sequence[_Row]) -> None:
        """Take in the runs of a group as the last stop left them."""
        capacity = rows[0].capacity
        trees = [self._env.open_db(_tree_name(row.number)) for row in rows]
        with self._env.begin() as transaction:
            saved = transaction.get(_NUMBER.pack(number), db=self._group_filters)
            bits = _filter(saved, capacity * GROUP_RUNS, Chooser.FIRST)
            self._newest_group = Group(number, capacity, bits)
            for row, tree in zip(rows, trees, strict=True):
                # A run's filter is of no use without its group's.
                saved_run = None if saved is None else transaction.get(_NUMBER.pack(row.number), db=self._filters)
                run = Run(
                    row.number,
                    self._newest_group,
                    Hours(row.first_hour, row.end_hour),
                    tree,
                    _filter(saved_run, capacity, Chooser.SECOND),
                    int(transaction.stat(tree)["entries"]),
                    is_filter_saved=saved_run is not None,
                )
                if saved_run is None:
                    for event_ids in _all_ids(transaction, tree):
                        run.add_to_filters(event_ids)
                self._append(run)


def _filter(saved: bytes | None, capacity: int, chooser: Chooser) -> BloomFilter:
    return BloomFilter(capacity, chooser) if saved is None else BloomFilter.from_bytes(saved, chooser)


def _all_ids(transaction: lmdb.Transaction, tree: _Tree) -> Iterator[list[bytes]]:
    with transaction.cursor(tree) as cursor:
        ids = cursor.iternext(keys=True, values=False)
        while chunk := list(islice(ids, _FILL_ENTRIES)):
            yield [bytes(event_id) for event_id in chunk]


def _tree_name(number: int) -> bytes:
    return _TREE + b"%d" % number
