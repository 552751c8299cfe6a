"""What is asked about many subscriptions at once is what each of them would be answered alone."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.clickhouse import ClickHouse, Row
from aggregator.event_store import EventStore
from aggregator.usage import ClickHouseUsageReader
from schemas.events import Event
from schemas.metrics import AggregationType, MetricDefinition
from schemas.period import TimeRange
from schemas.time_text import from_microseconds
from schemas.usage import UsageScope
from tests.aggregator.copies import InterposedClickHouse
from tests.aggregator.stream import Stream, at

NAMES = ("a", "b's", "c\\", "silent")
START_US = at("2026-08-01T00:00:00Z")
STEP_US = 10 * 60 * 1_000_000
AUGUST = TimeRange(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Sent:
    """One event of a subscription, some ten minutes after another."""

    subscription: str
    step: int
    units: Decimal
    region: str | None


sent_events = st.lists(
    st.builds(
        Sent,
        subscription=st.sampled_from(NAMES[:-1]),
        step=st.integers(0, 60),
        units=st.decimals(-(10**17), 10**17, places=18),
        region=st.sampled_from(["eu", "us", "", None]),
    ),
    min_size=1,
    max_size=20,
)
GROUPS: tuple[tuple[str, ...], ...] = ((), ("region",))
FILTERS: tuple[dict[str, tuple[str, ...]], ...] = ({}, {"region": ("eu",)}, {"region": ("eu", "us")})


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, int, int, dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Whose usage, from and to which step, including and grouped by what."""
    first = draw(st.integers(0, 30))
    return (
        draw(st.sampled_from(NAMES)),
        first,
        draw(st.integers(first + 1, 61)),
        draw(st.sampled_from(FILTERS)),
        draw(st.sampled_from(GROUPS)),
    )


@given(
    sent=sent_events,
    aggregation=st.sampled_from(
        [AggregationType.SUM, AggregationType.MAX, AggregationType.LATEST, AggregationType.UNIQUE_COUNT]
    ),
    metric_after=st.integers(0, 20),
    asked=st.lists(questions(), min_size=1, max_size=8),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_totals_of_many_scopes_equal_the_totals_of_each(
    embedded_clickhouse: ClickHouse,
    sent: list[Sent],
    aggregation: AggregationType,
    metric_after: int,
    asked: list[tuple[str, int, int, dict[str, tuple[str, ...]], tuple[str, ...]]],
) -> None:
    """Whatever was sent, also before the metric was known, however periods, filters and groups are mixed."""
    with tempfile.TemporaryDirectory(prefix="millrace-index-") as directory:
        stream = Stream(EventStore(embedded_clickhouse), Path(directory) / "i", organization_id=uuid4().hex)
        events = [event_of(stream, f"t{number}", one) for number, one in enumerate(sent)]
        stream.count(*events[:metric_after])
        metric = stream.metric(aggregation, dimensions=("region",))
        stream.count(*events[metric_after:])
        stream.close()
    reader = ClickHouseUsageReader(embedded_clickhouse)
    scopes = [
        UsageScope(stream.organization_id, name, metric, steps(first, last), include=include, group_by=group_by)
        for name, first, last, include, group_by in asked
    ]
    together = reader.totals_of_many(scopes)
    alone = [reader.totals(scope) for scope in scopes]
    assert [{each.group: each for each in totals} for totals in together] == [
        {each.group: each for each in totals} for totals in alone
    ]
    assert [len(totals) for totals in together] == [len(totals) for totals in alone]


def event_of(stream: Stream, transaction_id: str, sent: Sent) -> Event:
    return stream.event(
        transaction_id,
        format(sent.units, "f"),
        timestamp_us=START_US + sent.step * STEP_US,
        subscription=sent.subscription,
        properties={} if sent.region is None else {"region": sent.region},
    )


def steps(first: int, last: int) -> TimeRange:
    moment = from_microseconds(START_US)
    return TimeRange(
        moment + timedelta(microseconds=first * STEP_US), moment + timedelta(microseconds=last * STEP_US)
    )


def test_totals_of_250_subscriptions_cost_three_queries(embedded_clickhouse: ClickHouse, stream: Stream) -> None:
    """A hundred a query; the longest names there may be arrive whole, and one without events has no totals."""
    metric = stream.metric(AggregationType.SUM)
    names = [f"{number:03}{'€' * 252}" for number in range(250)]
    stream.count(*[stream.event("t", n, subscription=name) for n, name in enumerate(names[:-1])])
    queries: list[str] = []
    reader = ClickHouseUsageReader(InterposedClickHouse(embedded_clickhouse, change=noted(queries)))
    scopes = [UsageScope(stream.organization_id, name, metric, AUGUST) for name in names]
    totals = reader.totals_of_many(scopes)
    assert [each[0].sum for each in totals[:-1]] == [Decimal(n) for n in range(249)]
    assert (totals[-1], len(queries)) == ([], 3)


def test_totals_of_many_ask_again_only_for_what_was_stored_under_another_evaluation(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """Of two subscriptions one has an event from before its metric: the other costs no question of its own."""
    stream.count(stream.event("t", "5", subscription="early"))
    metric = stream.metric(AggregationType.SUM)
    stream.count(stream.event("t", "7", subscription="later"), stream.event("u", "1", subscription="early"))
    queries: list[str] = []
    reader = ClickHouseUsageReader(InterposedClickHouse(embedded_clickhouse, change=noted(queries)))
    scopes = [scope(stream, metric, name) for name in ("early", "later")]
    assert [each.sum for totals in reader.totals_of_many(scopes) for each in totals] == [Decimal(6), Decimal(7)]
    assert len(queries) == 2


def scope(stream: Stream, metric: MetricDefinition, name: str) -> UsageScope:
    return UsageScope(stream.organization_id, name, metric, AUGUST)


def noted(queries: list[str]) -> Callable[[str, Sequence[Row]], Sequence[Row]]:
    def note(sql: str, rows: Sequence[Row]) -> Sequence[Row]:
        queries.append(sql)
        return rows

    return note
