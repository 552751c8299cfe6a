"""Events older than the index remembers: asked for, counted once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.clickhouse import ClickHouse
from aggregator.event_store import EventStore
from schemas.errors import TransientError
from schemas.events import Event, Outcome
from tests.aggregator.memory_store import MemoryStore
from tests.aggregator.stream import NOON_US, Stream
from tests.aggregator.test_pipeline import stored_ids

ACCEPTED, DUPLICATE, CONFLICT = Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.CONFLICT
HOUR_US = 3600 * 1_000_000
DAY_US = 24 * HOUR_US
LONG_AGO_US = NOON_US - 60 * DAY_US


@pytest.fixture
def short(event_store: EventStore, tmp_path: Path) -> Iterator[Stream]:
    """A stream whose index remembers two days."""
    stream = Stream(event_store, tmp_path / "index", organization_id=f"org-{uuid4().hex[:12]}", retention_days=2)
    stream.metric()
    yield stream
    stream.close()


def long_ago(stream: Stream, transaction_id: str, units: object = "1", subscription: str = "sub-1") -> Event:
    return stream.event(
        transaction_id, units, timestamp_us=LONG_AGO_US, ingested_at_us=LONG_AGO_US, subscription=subscription
    )


def asked(stream: Stream) -> float | None:
    return stream.registry.get_sample_value("millrace_index_asked_total")


def test_replay_from_offset_0_after_a_sweep_counts_nothing_twice(
    embedded_clickhouse: ClickHouse, short: Stream
) -> None:
    """The index has forgotten the events, ClickHouse has not; also where the stream itself repeats one."""
    old = [long_ago(short, f"t{n}", subscription=f"sub-{n % 3}") for n in range(40)]
    short.count(*old[:20])
    short.count(*old[20:], old[3])
    short.count(short.event("now"))
    assert short.registry.get_sample_value("millrace_index_swept_total") == 40
    assert short.index.size().entries == 1
    assert asked(short) == 0
    outcomes = [
        short.replay(*old[:20], offset=0).outcomes,
        short.replay(*old[20:], old[3], offset=1).outcomes,
        short.replay(short.event("now"), offset=2).outcomes,
        short.replay(long_ago(short, "t5", "2", "sub-2"), offset=9).outcomes,
    ]
    assert outcomes == [(DUPLICATE,) * 20, (DUPLICATE,) * 21, (DUPLICATE,), (CONFLICT,)]
    assert asked(short) == 42
    assert stored_ids(embedded_clickhouse, short) == sorted([f"t{n}" for n in range(40)] + ["now"])


def test_replay_from_offset_0_after_a_rebuild_counts_nothing_twice(
    embedded_clickhouse: ClickHouse, short: Stream
) -> None:
    """A rebuild leaves out what is older than the retention, and that is asked for."""
    short.count(long_ago(short, "old"))
    short.count(short.event("now"))
    short.lose_index()
    assert short.replay(long_ago(short, "old"), short.event("now"), offset=0).outcomes == (DUPLICATE, DUPLICATE)
    assert short.registry.get_sample_value("millrace_index_synced_total") == 1
    assert asked(short) == 1
    assert stored_ids(embedded_clickhouse, short) == ["now", "old"]


def test_event_sent_again_after_the_retention_with_its_timestamp_counts_once(short: Stream) -> None:
    """It arrives now, and its timestamp says that it may be known; a day more, since events may lie ahead."""
    ahead = short.event("b", timestamp_us=LONG_AGO_US + DAY_US, ingested_at_us=LONG_AGO_US)
    short.count(long_ago(short, "a"), ahead)
    short.count(short.event("now"))
    again = [
        short.event("a", timestamp_us=LONG_AGO_US, ingested_at_us=NOON_US),
        short.event("b", timestamp_us=LONG_AGO_US + DAY_US, ingested_at_us=NOON_US),
    ]
    assert short.count(*again).outcomes == (DUPLICATE, DUPLICATE)


def test_event_of_long_ago_that_nobody_counted_counts_once(embedded_clickhouse: ClickHouse, short: Stream) -> None:
    """Late is not lost: a partition that stood still for months counts, and its repeat does not."""
    short.count(long_ago(short, "other"))
    short.count(short.event("now"))
    assert short.count(long_ago(short, "late"), long_ago(short, "late")).outcomes == (ACCEPTED, DUPLICATE)
    assert short.count(long_ago(short, "late")).outcomes == (DUPLICATE,)
    assert stored_ids(embedded_clickhouse, short) == ["late", "now", "other"]


def test_backfill_into_an_index_that_has_dropped_nothing_asks_nobody(stream: Stream) -> None:
    """Until the first sweep that finds something, the index knows everything."""
    stream.metric()
    stream.count(*(stream.event(f"t{n}", timestamp_us=LONG_AGO_US) for n in range(10)))
    stream.count(*(stream.event(f"u{n}", timestamp_us=LONG_AGO_US) for n in range(10)))
    assert asked(stream) == 0


def test_question_for_old_events_is_asked_again_while_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch, event_store: EventStore, short: Stream
) -> None:
    """No answer is no reason to count."""
    short.count(long_ago(short, "a"))
    short.count(short.event("now"))
    answers: list[Exception] = [TransientError("clickhouse", "away"), TransientError("clickhouse", "away")]
    ask = EventStore.fingerprints

    def sometimes(store: EventStore, events: Iterable[Event]) -> dict[bytes, int]:
        if answers:
            raise answers.pop()
        return ask(store, events)

    monkeypatch.setattr(EventStore, "fingerprints", sometimes)
    assert short.replay(long_ago(short, "a")).outcomes == (DUPLICATE,)
    assert short.waits == [0.2, 0.4]


def test_fingerprints_of_many_events_are_found_wherever_they_are(event_store: EventStore, short: Stream) -> None:
    """More than a query asks for, of several subscriptions; an unknown event is in no answer."""
    events = [long_ago(short, f"t{n}", subscription=f"sub {n % 7} 'é") for n in range(2_500)]
    short.count(*events)
    found = event_store.fingerprints([*events, long_ago(short, "unknown")])
    assert found == {event.event_id: event.fingerprint for event in events}


def test_fingerprints_of_many_subscriptions_fit_into_the_fields_of_a_form(
    event_store: EventStore, short: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ClickHouse refuses a field over 128 KiB for good: a worker with such a backfill would end at each start."""
    sent: list[Mapping[str, object]] = []
    rows = ClickHouse.rows

    def recorded(self: ClickHouse, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[object]]:
        sent.append(parameters)
        return rows(self, sql, parameters)

    long = "\N{WATER WAVE}" * 252
    events = [long_ago(short, "t", subscription=f"{long}{n:03d}") for n in range(250)]
    short.count(*events)
    monkeypatch.setattr(ClickHouse, "rows", recorded)
    found = event_store.fingerprints(events)
    assert found == {event.event_id: event.fingerprint for event in events}
    fields = [str(value).encode() for parameters in sent for value in parameters.values()]
    assert max(map(len, fields)) < 128 * 1024


Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(0, 40)),
        st.tuples(st.just("replay"), st.integers(0, 40)),
        st.tuples(st.just("lose index"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("rebalance"), st.just(0)),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_any_course_of_a_stream_stores_each_event_once(steps: list[Step]) -> None:
    """Hours pass, records are read again from anywhere, the index is lost; it remembers a day."""
    store = MemoryStore()
    with TemporaryDirectory() as folder:
        stream = Stream(store, Path(folder) / "index", organization_id="org", retention_days=1)
        hour = 0
        kept: list[list[Event]] = []
        for action, number in steps:
            match action:
                case "count":
                    hour += number
                    at_us = NOON_US + hour * HOUR_US
                    # One new event, and one that a client sends again with its old timestamp.
                    record = [stream.event(f"t{len(kept)}", timestamp_us=at_us, ingested_at_us=at_us)]
                    if kept:
                        first = kept[number % len(kept)][0]
                        again = (first.transaction_id, first.timestamp_us)
                        record.append(stream.event(again[0], timestamp_us=again[1], ingested_at_us=at_us))
                    kept.append(record)
                    stream.count(*record)
                case "replay":
                    for offset in range(number % (len(kept) + 1), len(kept)):
                        stream.replay(*kept[offset], offset=offset)
                case "lose index":
                    stream.lose_index()
                case "restart":
                    stream.close()
                    stream.open()
                case _:
                    stream.pipeline.forget_partitions()
        stream.close()
    ids = [event.transaction_id for _, event in store.rows]
    assert sorted(ids) == sorted(f"t{n}" for n in range(len(kept)))
