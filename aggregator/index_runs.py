"""The entries of the dedup index on disk: runs of entries that arrived in the same stretch of time.

A run is a few pieces, each of which is sorted and written as a whole. What is added becomes a piece, and takes in
the last pieces as long as they are no larger than itself; a run that is full is one piece, and the next one
begins. So an entry is written a few times, whatever the index holds, and what is older than the retention goes as
whole runs.

Which runs may hold an id, Bloom filters in memory say without touching the runs: one for each group of
`GROUP_RUNS` consecutive runs, which few new ids pass, and one for each run, which those few are asked of. They are
made from the ids when the index is opened.

Layout (LMDB):

    runs    run number (4 bytes) → first hour, hour behind the last (4 bytes each), capacity (8 bytes)
    pieces  run number, piece number (4 bytes each) → `aggregator.index_entries.Entries`
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from struct import Struct
from typing import NamedTuple

import lmdb

from aggregator.bloom import BloomFilter, Chooser, HashedIds
from aggregator.index_entries import Entries, in_order

RUN_ENTRIES_MIN = 512 * 1024
"""What a run takes in a small index: 12 MB."""
RUN_SHARE = 128
"""In a large index a run takes this part of all entries, so that there are never many of them."""
GROUP_RUNS = 16
"""Runs that share a filter: of 10 MB in a small index."""
_NUMBER = Struct(">I")
_PIECE = Struct(">II")
_ROW = Struct(">IIQ")


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
class Group:
    """Some runs, all of one capacity, and a filter over the entries of all of them."""

    number: int
    run_capacity: int
    filter: BloomFilter
    runs: list["Run"] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Run:
    """Some entries that arrived in the same stretch of time, and their filter; full at its group's capacity.

    `pieces` are the entries of each piece, by its number; the older ones are the larger ones.
    """

    number: int
    group: Group
    hours: Hours
    filter: BloomFilter
    pieces: tuple[int, ...] = ()

    @property
    def key(self) -> bytes:
        return _NUMBER.pack(self.number)

    @property
    def entries(self) -> int:
        return sum(self.pieces)

    @property
    def is_full(self) -> bool:
        return self.entries >= self.group.run_capacity

    def piece_key(self, piece: int) -> bytes:
        """Where a piece is kept."""
        return _PIECE.pack(self.number, piece)

    def pieces_before(self, added: int) -> int:
        """How many of the pieces stay as they are when so many entries are added; those behind are taken in."""
        if self.entries + added >= self.group.run_capacity:
            return 0
        kept = len(self.pieces)
        while kept and self.pieces[kept - 1] <= added:
            kept -= 1
            added += self.pieces[kept]
        return kept

    def add_to_filters(self, ids: HashedIds) -> None:
        """Let those ids pass from now on."""
        self.filter.add(ids)
        self.group.filter.add(ids)


class IndexRuns:
    """All runs of an environment. Callers take turns, and hand in the transaction."""

    def __init__(self, env: lmdb.Environment) -> None:
        self._rows = env.open_db(b"runs")
        self._pieces = env.open_db(b"pieces")
        self._groups: list[Group] = []
        self._newest_group: Group | None = None
        self._next_number = 0
        with env.begin(db=self._rows, buffers=True) as transaction, transaction.cursor() as cursor:
            for key, row in cursor:
                self._load(transaction, *_NUMBER.unpack(key), *_ROW.unpack(row))

    @property
    def entries(self) -> int:
        """Entries of all runs; one that a rebuild brought again is counted again."""
        return sum(run.entries for run in self._runs())

    def find(self, transaction: lmdb.Transaction, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The fingerprints of those ids that are in a run; of its first one where an id is in several.

        The transaction is one with `buffers`, so that of a piece only what is looked at is read.
        """
        found: dict[bytes, int] = {}
        asked = HashedIds.of(event_ids)
        for group in self._groups:
            in_group = group.filter.passing(asked)
            asked_in_group = asked.at(in_group)
            for run in group.runs:
                passing = run.filter.passing(asked_in_group)
                if len(passing):
                    asked_in_run = asked_in_group.at(passing)
                    places = in_group[passing]
                    for piece in range(len(run.pieces)):
                        for place, fingerprint in self._read(transaction, run, piece).find(asked_in_run):
                            found.setdefault(event_ids[places[place]], fingerprint)
        return found

    def put(self, writing: Writing, hours: Hours, added: Entries) -> None:
        """Add what arrived in a stretch of time; an id that is here already keeps its fingerprint."""
        transaction = writing.transaction
        run = self._with_room(hours) or self._begin(writing, hours)
        kept = run.pieces_before(len(added))
        taken_in = [self._read(transaction, run, piece) for piece in range(kept, len(run.pieces))]
        merged = in_order([*taken_in, added])
        transaction.put(run.piece_key(kept), merged.to_bytes(), db=self._pieces)
        for piece in range(kept + 1, len(run.pieces)):
            transaction.delete(run.piece_key(piece), db=self._pieces)

        def take_over() -> None:
            run.pieces = (*run.pieces[:kept], len(merged))
            run.add_to_filters(added.hashed())

        writing.when_durable.append(take_over)

    def expired(self, horizon: int) -> Run | None:
        """The first run that holds nothing from the hour `horizon` on."""
        return next((run for run in self._runs() if run.hours.end <= horizon), None)

    def delete(self, writing: Writing, run: Run) -> None:
        """Delete a run with all its entries."""
        writing.transaction.delete(run.key, db=self._rows)
        for piece in range(len(run.pieces)):
            writing.transaction.delete(run.piece_key(piece), db=self._pieces)
        writing.when_durable.append(partial(self._remove, run))

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

    def _read(self, transaction: lmdb.Transaction, run: Run, piece: int) -> Entries:
        data = transaction.get(run.piece_key(piece), db=self._pieces)
        assert data is not None, "a run's pieces change along with it"
        return Entries.from_bytes(data)

    def _with_room(self, hours: Hours) -> Run | None:
        return next((run for run in self._runs() if run.hours == hours and not run.is_full), None)

    def _begin(self, writing: Writing, hours: Hours) -> Run:
        capacity = max(RUN_ENTRIES_MIN, self.entries // RUN_SHARE)
        run = self._new_run(self._next_number, hours, capacity)
        writing.transaction.put(run.key, _ROW.pack(*hours, run.group.run_capacity), db=self._rows)
        writing.when_durable.append(partial(self._append, run))
        return run

    def _load(
        self, transaction: lmdb.Transaction, number: int, first_hour: int, end_hour: int, capacity: int
    ) -> None:
        run = self._new_run(number, Hours(first_hour, end_hour), capacity)
        while (data := transaction.get(run.piece_key(len(run.pieces)), db=self._pieces)) is not None:
            entries = Entries.from_bytes(data)
            run.pieces = (*run.pieces, len(entries))
            run.add_to_filters(entries.hashed())
        self._append(run)

    def _new_run(self, number: int, hours: Hours, capacity: int) -> Run:
        """An empty run of the newest group, or of a new one of runs of that capacity."""
        self._next_number = number + 1
        group_number = number // GROUP_RUNS
        if self._newest_group is None or self._newest_group.number != group_number:
            bits = BloomFilter(capacity * GROUP_RUNS, Chooser.FIRST)
            self._newest_group = Group(group_number, capacity, bits)
        group = self._newest_group
        return Run(number, group, hours, BloomFilter(group.run_capacity, Chooser.SECOND))
