"""What the pipeline counts, and what it does not."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from aggregator.clickhouse import ClickHouse
from aggregator.columns import EvaluatedEvent
from aggregator.event_store import EventStore
from aggregator.index import IndexEntry, StoredSpan
from aggregator.pipeline import STORE_ATTEMPTS_MAX
from schemas.errors import TransientError
from schemas.events import Event, Outcome
from schemas.metrics import AggregationType
from tests.aggregator.stream import Stream

ACCEPTED, DUPLICATE, CONFLICT = Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.CONFLICT


def stored_ids(clickhouse: ClickHouse, stream: Stream) -> list[str]:
    rows = clickhouse.rows(
        "SELECT transaction_id FROM events WHERE organization_id = {org:String} ORDER BY transaction_id",
        {"org": stream.organization_id},
    )
    return [row[0] for row in rows]


def test_process_repeats_inside_and_across_batches_counts_each_id_once(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """The first event of an id stands; a repeat is a duplicate, or a conflict when it says something else."""
    stream.metric()
    first = stream.count(stream.event("a"), stream.event("b"), stream.event("a"), stream.event("b", "2"))
    second = stream.count(stream.event("b"), stream.event("c"), stream.event("a", "9"))
    assert first.outcomes == (ACCEPTED, ACCEPTED, DUPLICATE, CONFLICT)
    assert second.outcomes == (DUPLICATE, ACCEPTED, CONFLICT)
    assert stored_ids(embedded_clickhouse, stream) == ["a", "b", "c"]


def test_process_same_transaction_of_other_subscription_counts_both(stream: Stream) -> None:
    """The identity includes the subscription."""
    result = stream.count(stream.event("a"), stream.event("a", subscription="sub-2"))
    assert result.outcomes == (ACCEPTED, ACCEPTED)


def test_process_retry_with_another_timestamp_counts_once(stream: Stream) -> None:
    """The time is no part of the identity."""
    stream.count(stream.event("a"))
    assert stream.count(stream.event("a", timestamp_us=1_786_700_000_000_000)).outcomes == (CONFLICT,)


def test_process_after_restart_with_index_recognizes_events(stream: Stream) -> None:
    """The index on disk carries over."""
    stream.count(stream.event("a"))
    stream.close()
    stream.open()
    assert stream.replay(stream.event("a")).outcomes == (DUPLICATE,)


def test_process_replay_in_other_cuts_after_losing_index_counts_nothing_twice(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """The index is rebuilt from ClickHouse before the partition is worked on."""
    events = [stream.event(f"t{n}") for n in range(10)]
    for event in events:
        stream.count(event)
    stream.lose_index()
    cuts = [stream.replay(*events[:7], offset=0), stream.replay(*events[7:], stream.event("new"), offset=7)]
    assert [outcome for cut in cuts for outcome in cut.outcomes] == [DUPLICATE] * 10 + [ACCEPTED]
    assert len(stored_ids(embedded_clickhouse, stream)) == 11
    assert stream.index.checkpoint(stream.partition) == 10


def test_process_partition_counted_elsewhere_meanwhile_syncs_first(
    event_store: EventStore, stream: Stream, tmp_path: Path
) -> None:
    """A worker that gets a partition back learns what the other one counted."""
    stream.count(stream.event("a"))
    other = Stream(event_store, tmp_path / "other", organization_id=stream.organization_id)
    other.partition, other.offset = stream.partition, 1
    other.count(stream.event("b"))
    other.close()
    stream.pipeline.forget_partitions()
    assert stream.count(stream.event("b"), stream.event("c")).outcomes == (DUPLICATE, ACCEPTED)


def test_process_event_without_metric_is_stored_unevaluated(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """An unknown code is no reason to lose an event."""
    assert stream.count(stream.event("a", code="unheard_of")).outcomes == (ACCEPTED,)
    rows = embedded_clickhouse.rows(
        "SELECT evaluation, value FROM events WHERE organization_id = {org:String}",
        {"org": stream.organization_id},
    )
    assert [tuple(row) for row in rows] == [("", None)]


def test_process_metric_created_just_before_evaluates_event(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """A miss asks the catalog again at once."""
    stream.count(stream.event("a"))
    metric = stream.metric(AggregationType.SUM)
    stream.count(stream.event("b"))
    rows = embedded_clickhouse.rows(
        "SELECT evaluation FROM events WHERE organization_id = {org:String} AND transaction_id = 'b'",
        {"org": stream.organization_id},
    )
    assert rows[0][0] == metric.evaluation


def test_process_poison_event_leaves_neighbours_alone(embedded_clickhouse: ClickHouse, stream: Stream) -> None:
    """A value past the precision is rejected with its reason; a later good event of that id counts."""
    stream.metric(AggregationType.SUM)
    result = stream.count(
        stream.event("a"), stream.event("bad", "1" * 19), stream.event("c"), stream.event("bad", "2")
    )
    assert result.outcomes == (ACCEPTED, None, ACCEPTED, ACCEPTED)
    assert [(r.code, r.positioned.position.line) for r in result.rejections] == [("value_out_of_range", 1)]
    assert stored_ids(embedded_clickhouse, stream) == ["a", "bad", "c"]


class FaultyStore:
    """The real store, with faults in front of or behind its inserts, and in front of its syncs."""

    def __init__(
        self,
        store: EventStore,
        *,
        before: int = 0,
        after: int = 0,
        rows_applied: int | None = None,
        before_sync: int = 0,
    ) -> None:
        self._store = store
        self.before_sync = before_sync
        self.before = before
        self.after = after
        self.rows_applied = rows_applied
        self.inserts = 0

    def insert(self, rows: Sequence[EvaluatedEvent]) -> None:
        self.inserts += 1
        if self.before:
            self.before -= 1
            raise TransientError("clickhouse", "refused")
        if self.after:
            self.after -= 1
            self._store.insert(rows if self.rows_applied is None else rows[: self.rows_applied])
            raise TransientError("clickhouse", "cut")
        self._store.insert(rows)

    def present(self, rows: Sequence[EvaluatedEvent]) -> set[bytes]:
        return self._store.present(rows)

    def fingerprints(self, events: Iterable[Event]) -> dict[bytes, int]:
        return self._store.fingerprints(events)

    def stored_span(self, partition: int, offset: int) -> StoredSpan | None:
        return self._store.stored_span(partition, offset)

    def stored_since(
        self, partition: int, offset: int, arrived_from_us: int
    ) -> Iterator[Sequence[tuple[IndexEntry, int]]]:
        if self.before_sync:
            self.before_sync -= 1
            raise TransientError("clickhouse", "refused")
        return self._store.stored_since(partition, offset, arrived_from_us)


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("value", [b'"\xff"', b"1e999999999999999999999", b"9" * 5_000])
def test_process_properties_that_nobody_can_read_are_rejected(
    stream: Stream, value: bytes, *, is_counted: bool
) -> None:
    """Of an event that is only counted, or has no metric yet, too: whoever lists or traces it has to read them."""
    if is_counted:
        stream.metric(AggregationType.COUNT)
    foreign = msgspec.structs.replace(stream.event("foreign"), properties_json=b'{"a":' + value + b"}")
    result = stream.count(foreign, stream.event("ours"))
    assert result.outcomes == (None, ACCEPTED)
    assert [rejection.code for rejection in result.rejections] == ["undecodable_properties"]


def test_process_sync_of_partition_is_tried_again(
    embedded_clickhouse: ClickHouse, event_store: EventStore, stream: Stream
) -> None:
    """A worker that just got a partition bridges a short outage as one in the middle of its work does."""
    stream.count(stream.event("a"))
    stream.store = FaultyStore(event_store, before_sync=3)
    stream.lose_index()
    assert stream.count(stream.event("a"), stream.event("b")).outcomes == (DUPLICATE, ACCEPTED)
    assert stream.waits == [0.2, 0.4, 0.8]
    assert stored_ids(embedded_clickhouse, stream) == ["a", "b"]


@pytest.mark.parametrize(
    ("faults", "inserts"),
    [
        ({"before": 2}, 3),
        ({"after": 1}, 1),
        ({"after": 1, "rows_applied": 2}, 2),
        ({"before": 1, "after": 1, "rows_applied": 1}, 3),
    ],
)
def test_process_insert_of_unknown_outcome_is_settled_and_counts_once(
    embedded_clickhouse: ClickHouse, event_store: EventStore, stream: Stream, faults: dict[str, int], inserts: int
) -> None:
    """Whether a failed insert was applied, in part or not at all: each event is there once."""
    faulty = FaultyStore(event_store, **faults)
    stream.store = faulty
    stream.close()
    stream.open()
    result = stream.count(*(stream.event(f"t{n}") for n in range(5)))
    assert result.outcomes == (ACCEPTED,) * 5
    assert stored_ids(embedded_clickhouse, stream) == ["t0", "t1", "t2", "t3", "t4"]
    assert faulty.inserts == inserts


def test_process_retries_run_out_then_resent_counts_once(
    embedded_clickhouse: ClickHouse, event_store: EventStore, stream: Stream
) -> None:
    """The caller is told; what was applied by the last attempt is found when the events come again."""
    faulty = FaultyStore(event_store, before=STORE_ATTEMPTS_MAX - 1, after=1)
    stream.store = faulty
    stream.close()
    stream.open()
    with pytest.raises(TransientError, match="cut"):
        stream.count(stream.event("a"), stream.event("b"))
    assert len(stream.waits) == STORE_ATTEMPTS_MAX - 1
    assert max(stream.waits) == 5.0
    assert stream.count(stream.event("a"), stream.event("b"), stream.event("c")).outcomes == (
        DUPLICATE,
        DUPLICATE,
        ACCEPTED,
    )
    assert stored_ids(embedded_clickhouse, stream) == ["a", "b", "c"]


def test_process_crash_between_insert_and_index_counts_once(
    monkeypatch: pytest.MonkeyPatch, embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """Step 3 done, step 4 not: the next batch, in this process or another, syncs first."""

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    stream.count(stream.event("earlier"))
    with monkeypatch.context() as broken:
        broken.setattr(stream.index, "add", fail)
        with pytest.raises(OSError, match="no space"):
            stream.count(stream.event("a"))
    assert stream.count(stream.event("a"), stream.event("b")).outcomes == (DUPLICATE, ACCEPTED)
    assert stored_ids(embedded_clickhouse, stream) == ["a", "b", "earlier"]


def test_process_topic_made_anew_stores_events_at_used_offsets(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """Offsets that start again at 0 carry other events: neither the token nor the settling may drop them."""
    stream.count(stream.event("old"))
    stream.lose_index()
    assert stream.replay(stream.event("new"), offset=0).outcomes == (ACCEPTED,)
    assert stored_ids(embedded_clickhouse, stream) == ["new", "old"]
