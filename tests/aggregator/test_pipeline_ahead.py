"""Batches that are prepared while others are being stored: each event still counts once."""

import tempfile
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.columns import EvaluatedEvent
from aggregator.index import IndexEntry
from aggregator.pipeline import STORE_ATTEMPTS_MAX, PreparedBatch
from schemas.errors import TransientError
from schemas.events import Outcome
from tests.aggregator.memory_store import MemoryStore
from tests.aggregator.stream import Stream

ACCEPTED, DUPLICATE = Outcome.ACCEPTED, Outcome.DUPLICATE
SECONDS_MAX = 10.0
AWHILE_SECONDS = 0.2
WAITING_MAX = 3


class FaultyStore(MemoryStore):
    """Refuses inserts for a while, before or after they are applied; and can hold one up."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        self.applies = False
        self.may_insert = threading.Event()
        self.may_insert.set()
        self.is_inserting = threading.Event()
        self.syncs = 0

    def refuse(self, *, applies: bool) -> None:
        """Let every attempt of the next batch fail."""
        self.refusals, self.applies = STORE_ATTEMPTS_MAX, applies

    def insert(self, rows: Sequence[EvaluatedEvent]) -> None:
        self.is_inserting.set()
        assert self.may_insert.wait(SECONDS_MAX)
        if self.refusals:
            self.refusals -= 1
            if self.applies and not self.refusals:
                super().insert(rows)
            raise TransientError("clickhouse", "cut")
        super().insert(rows)

    def stored_since(
        self, partition: int, offset: int, arrived_from_us: int
    ) -> Iterator[Sequence[tuple[IndexEntry, int]]]:
        self.syncs += 1
        return super().stored_since(partition, offset, arrived_from_us)

    def stored_ids(self) -> list[str]:
        return sorted(event.transaction_id for _, event in self.rows)


@pytest.fixture
def faulty() -> FaultyStore:
    return FaultyStore()


@pytest.fixture
def ahead(faulty: FaultyStore, tmp_path: Path) -> Iterator[Stream]:
    """A stream on a store in memory."""
    stream = Stream(faulty, tmp_path / "index", organization_id="org-1")
    stream.metric()
    yield stream
    stream.close()


def prepare(stream: Stream, *transaction_ids: str) -> PreparedBatch:
    """Prepare the next record of the partition."""
    stream.offset += 1
    events = [stream.event(each) for each in transaction_ids]
    return stream.pipeline.prepare(stream.positioned(events, stream.offset - 1))


def test_prepare_behind_another_batch_knows_its_events(ahead: Stream, faulty: FaultyStore) -> None:
    """What is about to be stored is a repeat already, and what it repeats too."""
    ahead.count(ahead.event("a"))
    first, second = prepare(ahead, "a", "b"), prepare(ahead, "a", "b", "c")
    assert ahead.pipeline.store(first).outcomes == (DUPLICATE, ACCEPTED)
    assert ahead.pipeline.store(second).outcomes == (DUPLICATE, DUPLICATE, ACCEPTED)
    assert faulty.stored_ids() == ["a", "b", "c"]


def test_store_out_of_turn_is_refused_and_loses_nothing(ahead: Stream, faulty: FaultyStore) -> None:
    """The second batch took the first one's events for known."""
    first, second = prepare(ahead, "a"), prepare(ahead, "a", "b")
    with pytest.raises(RuntimeError, match="in the order"):
        ahead.pipeline.store(second)
    ahead.pipeline.store(first)
    ahead.pipeline.store(second)
    with pytest.raises(RuntimeError, match="in the order"):
        ahead.pipeline.store(second)
    assert faulty.stored_ids() == ["a", "b"]


@pytest.mark.parametrize("applies", [False, True])
def test_store_behind_a_failed_batch_counts_what_it_took_for_known(
    ahead: Stream, faulty: FaultyStore, applies: bool
) -> None:
    """The first batch fails, applied or not: its repeat in the second one is what is there once."""
    ahead.count(ahead.event("earlier"))
    first, second = prepare(ahead, "a"), prepare(ahead, "a", "b")
    faulty.refuse(applies=applies)
    with pytest.raises(TransientError):
        ahead.pipeline.store(first)
    assert ahead.pipeline.store(second).outcomes == (DUPLICATE if applies else ACCEPTED, ACCEPTED)
    assert faulty.stored_ids() == ["a", "b", "earlier"]


def test_store_after_partitions_changed_hands_looks_again(
    ahead: Stream, faulty: FaultyStore, tmp_path: Path
) -> None:
    """Another worker counted the partition between preparation and storing."""
    prepared = prepare(ahead, "a", "b")
    other = Stream(faulty, tmp_path / "other", organization_id="org-1")
    other.partition = ahead.partition
    other.metric()
    other.count(other.event("a"))
    other.close()
    ahead.pipeline.forget_partitions()
    assert ahead.pipeline.store(prepared).outcomes == (DUPLICATE, ACCEPTED)
    assert faulty.stored_ids() == ["a", "b"]


def test_event_rejected_when_prepared_again_is_not_known_to_later_batches(
    ahead: Stream, faulty: FaultyStore
) -> None:
    """Its metric changed in between: a later event of that id counts."""
    ahead.metric(code="other", field_name="size")
    huge = ahead.event("a", "1", code="other", properties={"weight": "1" * 19, "size": 1})
    first = ahead.pipeline.prepare(ahead.positioned([huge], 0))
    ahead.metric(code="other", field_name="weight")
    ahead.pipeline.forget_partitions()
    assert ahead.pipeline.store(first).outcomes == (None,)
    ahead.offset = 1
    assert ahead.count(ahead.event("a")).outcomes == (ACCEPTED,)
    assert faulty.stored_ids() == ["a"]


def test_prepare_syncs_only_when_nothing_is_being_stored(ahead: Stream, faulty: FaultyStore) -> None:
    """A sync that saw a part of an insert would move the checkpoint past the other part."""
    ahead.count(ahead.event("earlier"))
    first = prepare(ahead, "a")
    faulty.may_insert.clear()
    storing = threading.Thread(target=ahead.pipeline.store, args=(first,))
    storing.start()
    assert faulty.is_inserting.wait(SECONDS_MAX)
    ahead.pipeline.forget_partitions()
    preparing = threading.Thread(target=prepare, args=(ahead, "a", "b"))
    preparing.start()
    preparing.join(AWHILE_SECONDS)
    assert preparing.is_alive()
    assert faulty.syncs == 0
    faulty.may_insert.set()
    storing.join(SECONDS_MAX)
    preparing.join(SECONDS_MAX)
    assert not preparing.is_alive()
    assert ahead.index.lookup([ahead.event("a").event_id])


STEPS = st.sampled_from(["prepare", "prepare", "store", "store", "refused", "cut", "rebalance", "restart"])
RECORDS = st.lists(st.integers(0, 6).map(str), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=8), st.lists(STEPS, max_size=30))
def test_any_order_of_preparing_and_storing_counts_each_event_once(
    records: list[list[str]], steps: list[str]
) -> None:
    """Failures, rebalances and restarts in between; what was not acknowledged is read again from its offset."""
    with tempfile.TemporaryDirectory() as directory:
        store = FaultyStore()
        stream = Stream(store, Path(directory), organization_id="org-1")
        stream.metric()
        Reading(stream, store, records).go_through([*steps, *["prepare", "store"] * (2 * len(records))])
        stream.close()
    assert Counter(store.stored_ids()) == Counter({each for record in records for each in record})


class Reading:
    """A worker that reads records, and starts again behind its last acknowledged one when it has to."""

    def __init__(self, stream: Stream, store: FaultyStore, records: Sequence[Sequence[str]]) -> None:
        self._stream = stream
        self._store = store
        self._records = records
        self._acknowledged = 0
        self._waiting: deque[PreparedBatch] = deque()

    def go_through(self, steps: Sequence[str]) -> None:
        for step in steps:
            match step:
                case "prepare":
                    self._prepare()
                case "rebalance":
                    self._stream.pipeline.forget_partitions()
                case "restart":
                    self._start_again()
                case _:
                    self._store_first(step)
        assert self._acknowledged == len(self._records)

    def _prepare(self) -> None:
        offset = self._acknowledged + len(self._waiting)
        if offset < len(self._records) and len(self._waiting) < WAITING_MAX and not self._would_wait():
            events = [self._stream.event(each) for each in self._records[offset]]
            self._waiting.append(self._stream.pipeline.prepare(self._stream.positioned(events, offset)))

    def _would_wait(self) -> bool:
        """In one thread nobody could store what a preparation has to wait for."""
        pipeline = self._stream.pipeline
        return bool(self._waiting) and not pipeline._is_synced({self._stream.partition}, pipeline._generation)

    def _store_first(self, step: str) -> None:
        if not self._waiting:
            return
        if step != "store":
            self._store.refuse(applies=step == "cut")
        try:
            self._stream.pipeline.store(self._waiting.popleft())
        except TransientError:
            self._start_again()
        else:
            self._acknowledged += 1
        self._store.refusals = 0

    def _start_again(self) -> None:
        self._waiting.clear()
        self._stream.close()
        self._stream.open()
