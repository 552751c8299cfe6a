"""However the same events arrive, their usage is the same: permuted, repeated, cut into packs, after restarts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from aggregator.clickhouse import ClickHouse, Row
from aggregator.event_store import EventStore
from aggregator.usage import ClickHouseUsageReader
from schemas.events import Event, Position, PositionedEvent
from schemas.period import TimeRange
from schemas.time_text import from_microseconds
from schemas.usage import UsageScope, UsageTotals
from tests.aggregator.stream import NOON_US, Stream
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound

SUBSCRIPTIONS = ("acme", "acme-pro", "zeta")
PARTITIONS = 3
EXAMPLES = 12
"""Of one round."""
HOUR_US = 3600 * 1_000_000
PERIOD = TimeRange(from_microseconds(NOON_US - 2 * HOUR_US), from_microseconds(NOON_US + 50 * HOUR_US))
QUANTITIES = st.decimals(min_value="-1000000", max_value="1000000", places=18)
UNITS = QUANTITIES.map(lambda units: f"{units:f}") | st.sampled_from(["0", "0.1", "1000000.07"])

OpenStream = Callable[[], Stream]


@dataclass(frozen=True)
class Sent:
    """An event, before an organization is known."""

    subscription: str
    transaction_id: str
    units: str
    timestamp_us: int

    def event_of(self, stream: Stream) -> Event:
        return stream.event(
            self.transaction_id, self.units, subscription=self.subscription, timestamp_us=self.timestamp_us
        )


@dataclass(frozen=True)
class Arrival:
    """One way in which events arrive: packs with their partitions, and what happens before each."""

    packs: tuple[tuple[Sent, ...], ...]
    partitions: tuple[int, ...]
    restarts: tuple[str, ...]


@st.composite
def sent_events(draw: st.DrawFn) -> list[Sent]:
    """Different events of few subscriptions; the same transaction id may be in several of them."""
    drawn = draw(
        st.lists(
            st.builds(
                Sent,
                st.sampled_from(SUBSCRIPTIONS),
                st.integers(0, 20).map(lambda number: f"t{number}"),
                UNITS,
                st.integers(0, 48).map(lambda hour: NOON_US + hour * HOUR_US),
            ),
            min_size=1,
            max_size=25,
            unique_by=lambda sent: (sent.subscription, sent.transaction_id),
        )
    )
    return list(drawn)


@st.composite
def arrivals(draw: st.DrawFn, events: Sequence[Sent]) -> Arrival:
    """Any order, any repeats, any cuts; each subscription in its partition, or each pack in any.

    In any partition, the index is not lost: it is rebuilt partition by partition, so an event that comes again in
    another one may count before the rebuild gets there. No partitioner of ours does that; the reconciler is there
    for those who bring another.
    """
    repeats = draw(st.lists(st.sampled_from(events), max_size=15))
    order = draw(st.permutations([*events, *repeats]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=6)) | {0, len(order)})
    packs = [tuple(order[start:end]) for start, end in pairwise(cuts)]
    if draw(st.booleans()):
        packs = [part for pack in packs for part in by_subscription(pack)]
        partitions = [SUBSCRIPTIONS.index(pack[0].subscription) for pack in packs]
        happenings = ["nothing", "nothing", "restart", "rebalance", "index lost"]
    else:
        partitions = [draw(st.integers(0, PARTITIONS - 1)) for _ in packs]
        happenings = ["nothing", "nothing", "restart", "rebalance"]
    return Arrival(tuple(packs), tuple(partitions), tuple(draw(st.sampled_from(happenings)) for _ in packs))


def by_subscription(pack: Sequence[Sent]) -> list[tuple[Sent, ...]]:
    """The pack as packs of one subscription each."""
    parts = (tuple(sent for sent in pack if sent.subscription == each) for each in SUBSCRIPTIONS)
    return [part for part in parts if part]


@pytest.fixture
def open_stream(event_store: EventStore, tmp_path: Path) -> OpenStream:
    """Streams of an organization of their own each, with the metric that sums `units`."""
    numbers = count()

    def opened() -> Stream:
        stream = Stream(event_store, tmp_path / str(next(numbers)), organization_id=f"org-{uuid4().hex[:12]}")
        stream.metric()
        return stream

    return opened


@pytest.mark.faults
def test_usage_is_the_same_however_the_same_events_arrive(
    embedded_clickhouse: ClickHouse, open_stream: OpenStream, fault_round: FaultRound, scenario: Scenario
) -> None:
    """Rows and usage of any arrival are those of each event sent once in order, and what Python adds up."""

    @seed(fault_round.hypothesis_seed)
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        events = data.draw(sent_events())
        arrival = data.draw(arrivals(events))
        with closing(open_stream()) as plain, closing(open_stream()) as tried:
            plain.count(*(sent.event_of(plain) for sent in events))
            arrive(tried, arrival)
            rows = stored(embedded_clickhouse, tried)
            assert rows == stored(embedded_clickhouse, plain)
            assert len(rows) == len(events)
            usage = usage_of(embedded_clickhouse, tried)
            assert usage == usage_of(embedded_clickhouse, plain)
            assert {name: (each.events_count, each.sum) for name, each in usage.items()} == added_up(events)
        sent = sum(map(len, arrival.packs))
        scenario.judge(accepted=len(events), duplicates=sent - len(events), lost=0, doubled=0)

    holds()


@contextmanager
def closing(stream: Stream) -> Iterator[Stream]:
    try:
        yield stream
    finally:
        stream.close()


def arrive(stream: Stream, arrival: Arrival) -> None:
    """Count the packs, in partitions of the stream's own."""
    for offset, (pack, partition, happening) in enumerate(
        zip(arrival.packs, arrival.partitions, arrival.restarts, strict=True)
    ):
        match happening:
            case "restart":
                stream.close()
                stream.open()
            case "index lost":
                stream.lose_index()
            case "rebalance":
                stream.pipeline.forget_partitions()
        position = stream.partition - partition
        stream.pipeline.process(
            [
                PositionedEvent(Position(position, offset, line), sent.event_of(stream))
                for line, sent in enumerate(pack)
            ]
        )


def stored(clickhouse: ClickHouse, stream: Stream) -> Sequence[Row]:
    """Every row, without where it came from."""
    return clickhouse.rows(
        "SELECT external_subscription_id, transaction_id, timestamp, properties, value FROM events"
        " WHERE organization_id = {organization:String} ORDER BY ALL",
        {"organization": stream.organization_id},
    )


def usage_of(clickhouse: ClickHouse, stream: Stream) -> dict[str, UsageTotals]:
    """Usage by subscription."""
    reader = ClickHouseUsageReader(clickhouse)
    [metric] = stream.metrics.values()
    scopes = {each: UsageScope(stream.organization_id, each, metric, PERIOD) for each in SUBSCRIPTIONS}
    return {each: totals for each, scope in scopes.items() for totals in reader.totals(scope)}


def added_up(events: Sequence[Sent]) -> dict[str, tuple[int, Decimal]]:
    """Events and units by subscription, in Python."""
    found: dict[str, tuple[int, Decimal]] = {}
    for sent in events:
        number, total = found.get(sent.subscription, (0, Decimal()))
        found[sent.subscription] = (number + 1, total + Decimal(sent.units))
    return found
