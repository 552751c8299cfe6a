"""From events with a place in the stream to rows in ClickHouse, each counted once."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import perf_counter, sleep
from typing import Protocol

import structlog

from aggregator.columns import EvaluatedEvent
from aggregator.decode import FUTURE_US_MAX
from aggregator.evaluation import MetricLookup, evaluate
from aggregator.index import DedupIndex, StoredEvents
from aggregator.observability import AggregatorMetrics
from schemas.errors import PoisonEvent, TransientError
from schemas.events import Event, Outcome, Position, PositionedEvent
from schemas.metrics import UNEVALUATED

STORE_ATTEMPTS_MAX = 8
"""Attempts before a batch is given up, over some 17 s with the waits between them."""
RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 5.0

_log = structlog.get_logger(__name__)


class Store(StoredEvents, Protocol):
    """Where events are counted; each call raises TransientError while the store is away."""

    def insert(self, rows: Sequence[EvaluatedEvent]) -> None: ...

    def present(self, rows: Sequence[EvaluatedEvent]) -> set[bytes]: ...

    def fingerprints(self, events: Iterable[Event]) -> dict[bytes, int]: ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that can never be counted under its metric."""

    positioned: PositionedEvent
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What became of a batch: one outcome an event, in order; None for those in `rejections`."""

    outcomes: tuple[Outcome | None, ...]
    rejections: tuple[Rejection, ...]


@dataclass(slots=True)
class _Sorted:
    fresh: list[EvaluatedEvent] = field(default_factory=list)
    outcomes: list[Outcome | None] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class PreparedBatch:
    """A batch behind step 2 of the pipeline: nothing of it is durable yet.

    `known` has the fingerprints of its events, those it brings and those that were known before.
    """

    batch: Sequence[PositionedEvent]
    ends: Mapping[int, int]
    known: dict[bytes, int]
    done: _Sorted
    generation: int


class Pipeline:
    """Counts batches of events; blocking.

    `process` does a batch whole. A worker prepares the next one (steps 1 and 2) in one thread while another
    thread stores the one before (steps 3 to 5): one insert at a time, in the order of the preparation. What is
    being stored counts as known for what is prepared behind it; should it fail, or should partitions change hands
    in between, then what was prepared is prepared again before it is stored.

    A batch holds whole records: nothing of a record may come later than its end. Steps:

    1. drop repeats: inside the batch, of what the index knows, and of what the store knows where an event is so
       old that the index's retention may have dropped its first copy. A crash here: nothing happened.
    2. evaluate: the metric of the code gives the value; without a metric the event is stored unevaluated; an event
       that cannot be evaluated is rejected alone. A crash here: nothing happened.
    3. insert into ClickHouse. A crash during it, or before step 4: the events are counted but the index does not
       know. Its checkpoint is older than they are, so the sync before the partition's next batch fetches them, and
       their replay is recognized: safe.
    4. index entries and checkpoint, in one transaction. A crash after it: the offsets are not committed, the
       replay finds every event in the index: safe.
    5. a piece of the index's upkeep, in a transaction of its own.

    A partition is synced before its first batch, after partitions changed hands, and again after any failure
    behind step 2; never while something is being stored, of which a sync might see a part.
    """

    def __init__(
        self,
        store: Store,
        index: DedupIndex,
        metrics: MetricLookup,
        observed: AggregatorMetrics,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._store = store
        self._index = index
        self._metrics = metrics
        self._observed = observed
        self._wait = wait
        self._turn = threading.Lock()
        self._preparing = threading.Lock()
        self._storing = threading.Lock()
        self._stored = threading.Condition()
        self._ahead: deque[PreparedBatch] = deque()
        self._synced: set[int] = set()
        self._synced_generation = 0
        self._generations = count(1)
        self._generation = 0

    def process(self, batch: Sequence[PositionedEvent]) -> PipelineResult:
        """Count a batch; when it returns, every event is durable, known, or rejected.

        Raises: TransientError when retries ran out; what was counted is found again by the next sync.
        """
        with self._turn:
            return self.store(self.prepare(batch))

    def prepare(self, batch: Sequence[PositionedEvent]) -> PreparedBatch:
        """Steps 1 and 2 of a batch, which is to be stored behind those prepared before it; by one thread only.

        Raises: TransientError when retries ran out; nothing is prepared then.
        """
        ends = next_offsets(item.position for item in batch)
        while True:
            with self._preparing:
                generation = self._generation
                ahead = self._not_stored()  # before the index is asked: what leaves it later is in the index then
                if not ahead or self._is_synced(ends, generation):
                    prepared = self._prepare(batch, ends, generation, ahead)
                    self._ahead.append(prepared)
                    return prepared
            with self._stored:
                self._stored.wait_for(lambda: not self._ahead)

    def store(self, prepared: PreparedBatch) -> PipelineResult:
        """Steps 3 to 5 of the batch that was prepared first of those not stored yet.

        Raises: TransientError when retries ran out, as `process`; RuntimeError when it is another one's turn.
        """
        with self._storing, self._observed.flush_seconds.time():
            if prepared not in self._not_stored()[:1]:
                raise RuntimeError("batches are stored in the order they were prepared in")
            try:
                done = self._store_first(prepared)
            except BaseException:
                # The index may lack what the store has, and what is prepared behind this one took it for known.
                self.forget_partitions()
                raise
            finally:
                with self._stored:
                    self._ahead.popleft()
                    self._stored.notify_all()
        return PipelineResult(tuple(done.outcomes), tuple(done.rejections))

    def forget_partitions(self) -> None:
        """Sync every partition again before its next batch: others may write in between. Never blocks."""
        self._generation = next(self._generations)

    def checkpoint(self, partition: int) -> int:
        """The offset below which the index takes the events of a partition for known; 0 at first."""
        return self._index.checkpoint(partition)

    def _not_stored(self) -> tuple[PreparedBatch, ...]:
        with self._stored:
            return tuple(self._ahead)

    def _store_first(self, prepared: PreparedBatch) -> _Sorted:
        if not prepared.batch:
            return prepared.done
        if prepared.generation != self._generation:
            self._prepare_again(prepared)
        done, ends = prepared.done, prepared.ends
        self._insert(done.fresh)
        self._index.add([row.positioned.event for row in done.fresh], ends)
        self._observe(done, ends)
        self._observed.swept.inc(self._index.sweep())
        return done

    def _prepare_again(self, prepared: PreparedBatch) -> None:
        """In its own turn: nothing before it is unsettled, and what is prepared behind it does not count."""
        with self._preparing:
            again = self._prepare(prepared.batch, prepared.ends, self._generation, ())
            prepared.known, prepared.done = again.known, again.done

    def _prepare(
        self,
        batch: Sequence[PositionedEvent],
        ends: Mapping[int, int],
        generation: int,
        ahead: Iterable[PreparedBatch],
    ) -> PreparedBatch:
        self._sync_missing(ends, generation)
        event_ids = [item.event.event_id for item in batch]
        known = self._index.lookup(event_ids)
        for other in ahead:
            known.update({each: other.known[each] for each in other.known.keys() & event_ids})
        self._ask_for_old(batch, known)
        return PreparedBatch(batch, ends, known, self._sort(batch, known), generation)

    def _is_synced(self, partitions: Iterable[int], generation: int) -> bool:
        return self._synced_generation == generation and self._synced.issuperset(partitions)

    def _sync_missing(self, partitions: Iterable[int], generation: int) -> None:
        if self._synced_generation != generation:
            self._synced_generation = generation
            self._synced.clear()
        for partition in partitions:
            if partition not in self._synced:
                self._persist(partial(self._sync, partition))
                self._synced.add(partition)

    def _sync(self, partition: int) -> None:
        started = perf_counter()
        count = self._index.sync_from_store(partition, self._store)
        self._observed.synced.inc(count)
        if count:
            seconds = round(perf_counter() - started, 3)
            _log.info("index brought up to date", partition=partition, events=count, seconds=seconds)

    def _sort(self, batch: Sequence[PositionedEvent], known: dict[bytes, int]) -> _Sorted:
        """Tell new events from repeats of `known`, to which they are added, and evaluate them."""
        events = [item.event for item in batch]
        # The pairs are made again below: to keep one for each event costs three times as much.
        evaluators = self._metrics.evaluators({(event.organization_id, event.code) for event in events})
        found = _Sorted()
        accepted = Outcome.ACCEPTED  # a member is looked up slowly, and this one for almost every event
        for item, event in zip(batch, events, strict=True):
            fingerprint = known.get(event.event_id)
            if fingerprint is not None:
                found.outcomes.append(Outcome.DUPLICATE if fingerprint == event.fingerprint else Outcome.CONFLICT)
                continue
            try:
                evaluation = evaluate(event, evaluators[event.organization_id, event.code])
            except PoisonEvent as error:
                found.rejections.append(Rejection(item, error.code, error.reason))
                found.outcomes.append(None)
                continue
            known[event.event_id] = event.fingerprint
            found.fresh.append(EvaluatedEvent(item, evaluation))
            found.outcomes.append(accepted)
        return found

    def _ask_for_old(self, batch: Sequence[PositionedEvent], known: dict[bytes, int]) -> None:
        """Ask the store for events that the index does not know, but may have known before its retention.

        A repeat is old by its arrival when it is read again, or by its timestamp when it was sent again; an event
        lies at most `FUTURE_US_MAX` ahead of its arrival. One that is sent again after the retention with a new
        timestamp is told by neither: the reconciler finds it.
        """
        arrived_us = self._index.complete_from_us
        if not arrived_us:
            return
        happened_us = arrived_us + FUTURE_US_MAX
        old = [
            event
            for event in (item.event for item in batch)
            if (event.ingested_at_us < arrived_us or event.timestamp_us < happened_us)
            and event.event_id not in known
        ]
        if old:
            self._observed.asked.inc(len(old))
            self._persist(lambda: known.update(self._store.fingerprints(old)))

    def _insert(self, rows: Sequence[EvaluatedEvent]) -> None:
        """Insert all of `rows`, whatever becomes of single attempts.

        After an attempt with an unknown outcome the store is asked which rows arrived, and only the others are
        sent again.
        """
        remaining, is_unknown = rows, False

        def attempt() -> None:
            nonlocal remaining, is_unknown
            if is_unknown:
                present = self._store.present(remaining)
                remaining = [row for row in remaining if row.positioned.event.event_id not in present]
            if remaining:
                is_unknown = True
                self._store.insert(remaining)

        self._persist(attempt)

    def _persist(self, ask_store: Callable[[], None]) -> None:
        """Try while the store is away. Raises: TransientError when attempts ran out."""
        for attempt in range(1, STORE_ATTEMPTS_MAX + 1):
            try:
                return ask_store()
            except TransientError as error:
                if attempt == STORE_ATTEMPTS_MAX:
                    raise
                self._observed.retries.inc()
                _log.warning("the store is away, trying again", attempt=attempt, reason=error.reason)
                self._wait(min(RETRY_SECONDS_MIN * 2 ** (attempt - 1), RETRY_SECONDS_MAX))
        return None

    def _observe(self, done: _Sorted, ends: Mapping[int, int]) -> None:
        observed = self._observed
        for outcome in (Outcome.DUPLICATE, Outcome.CONFLICT):
            observed.duplicates.labels(outcome.value).inc(done.outcomes.count(outcome))
        for rejection in done.rejections:
            observed.dead_letters.labels(rejection.code).inc()
        for partition, offset in ends.items():
            observed.next_offset.labels(str(partition)).set(offset)
        size = self._index.size()
        observed.show_index(entries=size.entries, file_bytes=size.file_bytes)
        if done.fresh:
            observed.stored.inc(len(done.fresh))
            observed.insert_rows.observe(len(done.fresh))
            observed.unevaluated.inc(sum(row.evaluation is UNEVALUATED for row in done.fresh))
            observed.observe_latencies([row.positioned.event for row in done.fresh])


def next_offsets(positions: Iterable[Position]) -> dict[int, int]:
    """One past the last offset of each partition."""
    ends: dict[int, int] = {}
    for position in positions:
        if position.offset >= ends.get(position.partition, 0):
            ends[position.partition] = position.offset + 1
    return ends
