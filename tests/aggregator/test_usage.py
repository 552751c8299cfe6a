"""Usage read back: edges, filters, groups, extreme decimals and rows of an older evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from aggregator.clickhouse import ClickHouse
from aggregator.usage import ClickHouseUsageReader
from schemas.events import Event
from schemas.metrics import AggregationType, MetricDefinition
from schemas.period import TimeRange
from schemas.time_text import parse_iso
from schemas.usage import UsageScope, UsageTotals
from tests.aggregator.stream import SUBSCRIPTION, Stream, at

Values = Mapping[str, tuple[str, ...]]
AUGUST = ("2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z")


@pytest.fixture
def reader(embedded_clickhouse: ClickHouse) -> ClickHouseUsageReader:
    return ClickHouseUsageReader(embedded_clickhouse)


def instant(text: str) -> datetime:
    parsed = parse_iso(text)
    assert parsed is not None
    return parsed


def scope_of(
    stream: Stream,
    metric: MetricDefinition,
    start: str | None = AUGUST[0],
    end: str = AUGUST[1],
    *,
    include: Values | None = None,
    exclude: tuple[Values, ...] = (),
    group_by: tuple[str, ...] = (),
) -> UsageScope:
    period = TimeRange(None if start is None else instant(start), instant(end))
    return UsageScope(stream.organization_id, SUBSCRIPTION, metric, period, include or {}, exclude, group_by)


def only(totals: Sequence[UsageTotals]) -> UsageTotals:
    assert len(totals) == 1
    return totals[0]


def test_totals_without_events_are_empty(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """No event, no group."""
    assert reader.totals(scope_of(stream, stream.metric())) == []


NOTHING_ASKED = UsageTotals(
    group=(),
    events_count=2,
    sum=Decimal(0),
    max=None,
    latest=None,
    unique_count=0,
    removals=0,
    precise_total_amount_cents=Decimal(0),
)


@pytest.mark.parametrize(
    ("aggregation", "totals"),
    [
        (AggregationType.COUNT, replace(NOTHING_ASKED, events_count=3)),
        (
            AggregationType.SUM,
            replace(NOTHING_ASKED, sum=Decimal("7.5"), precise_total_amount_cents=Decimal("1.250000000000001")),
        ),
        (AggregationType.WEIGHTED_SUM, replace(NOTHING_ASKED, sum=Decimal("7.5"))),
        (AggregationType.MAX, replace(NOTHING_ASKED, max=Decimal("10.5"))),
        (AggregationType.LATEST, replace(NOTHING_ASKED, latest=Decimal(-3))),
        (AggregationType.UNIQUE_COUNT, replace(NOTHING_ASKED, events_count=3, unique_count=3, removals=1)),
    ],
)
@pytest.mark.parametrize("is_stale", [False, True])
@pytest.mark.parametrize("start", ["2026-08-01T00:00:00Z", "2026-08-01T00:30:00Z"])
def test_totals_give_what_the_metric_is_billed_by(
    reader: ClickHouseUsageReader,
    stream: Stream,
    aggregation: AggregationType,
    totals: UsageTotals,
    is_stale: bool,
    start: str,
) -> None:
    """The aggregate of the metric's type and no other, of three events, the last one without a number.

    Whether they were stored before the metric existed, and whether the period begins within an hour or on it.
    """
    events = (
        stream.event("a", "10.5", timestamp_us=at("2026-08-02T10:00:00Z"), amount_cents=Decimal("1.25")),
        stream.event(
            "b",
            "-3",
            timestamp_us=at("2026-08-03T10:00:00Z"),
            amount_cents=Decimal("0.000000000000001"),
            properties={"operation_type": "remove"},
        ),
        stream.event("c", "none", timestamp_us=at("2026-08-04T10:00:00Z"), amount_cents=Decimal(7)),
    )
    if is_stale:
        stream.count(*events)
    metric = stream.metric(aggregation)
    if not is_stale:
        stream.count(*events)
    scope = scope_of(stream, metric, start)
    assert only(reader.totals(scope)) == totals
    assert reader.totals_of_many([scope]) == [[totals]]


@pytest.mark.parametrize(
    ("start", "end", "units"),
    [
        ("2026-08-01T18:30:00Z", "2026-08-02T18:30:00Z", "1110"),  # a day in Kolkata
        ("2026-08-01T18:30:00.000001Z", "2026-08-02T18:30:00.000001Z", "11100"),
        ("2026-08-01T18:00:00Z", "2026-08-02T18:00:00Z", "111"),
        ("2026-08-01T18:15:00Z", "2026-08-01T18:45:00Z", "11"),
        ("2026-08-01T18:30:00Z", "2026-08-01T19:00:00Z", "10"),
        ("2026-08-01T18:00:00Z", "2026-08-01T18:30:00Z", "1"),
        ("2026-08-01T18:00:00Z", "2026-08-01T19:00:00Z", "11"),
        (None, "2026-08-02T18:30:00.000001Z", "11111"),
    ],
)
def test_totals_ragged_period_is_half_open(
    reader: ClickHouseUsageReader, stream: Stream, start: str | None, end: str, units: str
) -> None:
    """The first instant belongs to the period, the last one to the next, inside hours as well as on them."""
    metric = stream.metric(AggregationType.SUM)
    times = {
        "1": "2026-08-01T18:29:59.999999Z",
        "10": "2026-08-01T18:30:00Z",
        "100": "2026-08-02T11:00:00Z",
        "1000": "2026-08-02T18:29:59.999999Z",
        "10000": "2026-08-02T18:30:00Z",
    }
    stream.count(*(stream.event(value, value, timestamp_us=at(time)) for value, time in times.items()))
    scope = scope_of(stream, metric, start, end)
    assert only(reader.totals(scope)).sum == Decimal(units)
    assert sum(row.value for row in reader.rows(scope)) == Decimal(units)


@pytest.mark.parametrize(
    ("times", "latest"),
    [
        (["2026-08-01T18:40:00Z", "2026-08-02T10:00:00Z", "2026-08-02T18:10:00Z"], "3"),
        (["2026-08-02T18:10:00Z", "2026-08-02T10:00:00Z", "2026-08-01T18:40:00Z"], "1"),
        (["2026-08-01T18:40:00Z", "2026-08-02T10:00:00Z", "2026-08-02T09:00:00Z"], "2"),
    ],
)
def test_totals_latest_event_is_found_in_every_part(
    reader: ClickHouseUsageReader, stream: Stream, times: list[str], latest: str
) -> None:
    """The latest value wins wherever it lies: head, whole hours or tail of the period."""
    metric = stream.metric(AggregationType.LATEST)
    stream.count(*(stream.event(f"t{n}", str(n), timestamp_us=at(time)) for n, time in enumerate(times, start=1)))
    scope = scope_of(stream, metric, "2026-08-01T18:30:00Z", "2026-08-02T18:30:00Z")
    assert only(reader.totals(scope)).latest == Decimal(latest)


def test_totals_latest_of_one_instant_is_the_last_ingested(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """A tie of timestamps is broken by arrival."""
    metric = stream.metric(AggregationType.LATEST)
    moment = at("2026-08-05T00:00:00Z")
    stream.count(
        stream.event("a", "1", timestamp_us=moment, ingested_at_us=moment + 2),
        stream.event("b", "2", timestamp_us=moment, ingested_at_us=moment + 1),
    )
    assert only(reader.totals(scope_of(stream, metric))).latest == Decimal(1)


def test_totals_unique_identities_over_all_parts_count_once(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """An identity of the head that comes again in the hours and the tail is one; a removal is told."""
    metric = stream.metric(AggregationType.UNIQUE_COUNT)
    stream.count(
        stream.event("1", "ann", timestamp_us=at("2026-08-01T18:40:00Z")),
        stream.event("2", "ann", timestamp_us=at("2026-08-02T10:00:00Z")),
        stream.event("3", "bob", timestamp_us=at("2026-08-02T10:00:00Z")),
        stream.event("4", "ann", timestamp_us=at("2026-08-02T18:10:00Z")),
        stream.event("5", None, timestamp_us=at("2026-08-02T18:11:00Z")),
        stream.event("6", "bob", timestamp_us=at("2026-08-02T18:12:00Z"), properties={"operation_type": "remove"}),
    )
    totals = only(reader.totals(scope_of(stream, metric, "2026-08-01T18:30:00Z", "2026-08-02T18:30:00Z")))
    assert (totals.unique_count, totals.removals, totals.events_count) == (3, 1, 6)


def test_totals_extreme_decimals_stay_exact(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """1,000 values of 18 + 18 digits sum past 10^20 without losing the last digit."""
    metric = stream.metric(AggregationType.SUM)
    huge = "999999999999999999.999999999999999999"
    stream.count(
        *(stream.event(f"t{n}", huge, timestamp_us=at("2026-08-02T10:00:00Z")) for n in range(999)),
        stream.event("low", "-0.000000000000000001", timestamp_us=at("2026-08-02T10:00:00Z")),
    )
    totals = only(reader.totals(scope_of(stream, metric)))
    assert totals.sum == Decimal("998999999999999999999.999999999999999000")


DIMENSIONED: list[tuple[str, str, dict[str, object]]] = [
    ("a", "1", {"region": "eu", "plan": "x"}),
    ("b", "10", {"region": "eu"}),
    ("c", "100", {"region": "us", "plan": "y"}),
    ("d", "1000", {"region": ""}),
    ("e", "10000", {"plan": 'it\'s \\ "{odd}"'}),
    ("f", "100000", {"region": 7, "plan": True}),
]


def count_dimensioned(stream: Stream) -> MetricDefinition:
    metric = stream.metric(AggregationType.SUM, dimensions=("plan", "region"))
    stream.count(*(dimensioned_event(stream, *row) for row in DIMENSIONED))
    return metric


def dimensioned_event(stream: Stream, transaction_id: str, units: str, properties: dict[str, object]) -> Event:
    return stream.event(transaction_id, units, timestamp_us=at("2026-08-02T10:00:00Z"), properties=properties)


FILTERS: list[tuple[Values, tuple[Values, ...], str]] = [
    ({"region": ("eu",)}, (), "11"),
    ({"region": ("eu", "us"), "plan": ("x", "y")}, (), "101"),
    ({"region": ("",)}, (), "1000"),
    ({"region": ("7",), "plan": ("true",)}, (), "100000"),
    ({"plan": ('it\'s \\ "{odd}"',)}, (), "10000"),
    ({}, ({"region": ("eu",)},), "111100"),
    ({}, ({"region": ("eu",), "plan": ("x",)}, {"region": ("us",)}), "111010"),
    ({"region": ("eu",)}, ({"plan": ("x",)},), "10"),
]


@pytest.mark.parametrize(("include", "exclude", "units"), FILTERS)
@pytest.mark.parametrize("is_stale", [False, True])
def test_totals_filters_match_as_text_and_never_a_missing_property(
    reader: ClickHouseUsageReader,
    stream: Stream,
    include: Values,
    exclude: tuple[Values, ...],
    units: str,
    is_stale: bool,
) -> None:
    """Inclusions and exclusions on dimensions, also for events stored before the metric existed."""
    if is_stale:
        stream.count(*(dimensioned_event(stream, *row) for row in DIMENSIONED))
        metric = stream.metric(AggregationType.SUM, dimensions=("plan", "region"))
    else:
        metric = count_dimensioned(stream)
    scope = scope_of(stream, metric, include=include, exclude=exclude)
    assert only(reader.totals(scope)).sum == Decimal(units)
    assert sum(row.value for row in reader.rows(scope)) == Decimal(units)


def test_totals_groups_missing_and_empty_together(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """A missing property and "" both land in the group None."""
    metric = count_dimensioned(stream)
    totals = reader.totals(scope_of(stream, metric, group_by=("region",)))
    assert {total.group: total.sum for total in totals} == {
        ("eu",): Decimal(11),
        ("us",): Decimal(100),
        (None,): Decimal(11000),
        ("7",): Decimal(100000),
    }


def test_totals_groups_by_two_keys_in_their_order(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """The group is a tuple in the order of `group_by`."""
    metric = count_dimensioned(stream)
    scope = scope_of(stream, metric, include={"region": ("eu",)}, group_by=("region", "plan"))
    totals = reader.totals(scope)
    assert {total.group: total.sum for total in totals} == {("eu", "x"): Decimal(1), ("eu", None): Decimal(10)}


def test_totals_after_dimension_was_added_merge_old_and_new_rows(
    reader: ClickHouseUsageReader, stream: Stream
) -> None:
    """Rows of the older evaluation are evaluated anew; identities on both sides count once."""
    stream.metric(AggregationType.UNIQUE_COUNT)
    stream.count(
        stream.event("1", "ann", timestamp_us=at("2026-08-02T10:00:00Z"), properties={"region": "eu"}),
        stream.event("2", "bob", timestamp_us=at("2026-08-02T11:00:00Z"), properties={"region": "us"}),
    )
    metric = stream.metric(AggregationType.UNIQUE_COUNT, dimensions=("region",))
    stream.count(
        stream.event("3", "ann", timestamp_us=at("2026-08-02T12:00:00Z"), properties={"region": "eu"}),
        stream.event("4", "cid", timestamp_us=at("2026-08-02T13:00:00Z"), properties={"region": "eu"}),
    )
    by_region = reader.totals(scope_of(stream, metric, group_by=("region",)))
    assert {t.group: (t.unique_count, t.events_count) for t in by_region} == {("eu",): (2, 3), ("us",): (1, 1)}
    assert only(reader.totals(scope_of(stream, metric))).unique_count == 3


def test_totals_latest_among_stale_and_current_rows_is_the_latest(
    reader: ClickHouseUsageReader, stream: Stream
) -> None:
    """The order of events decides, not the side they were stored on."""
    stream.count(
        stream.event("old", "1", timestamp_us=at("2026-08-01T10:00:00Z")),
        stream.event("newest", "3", timestamp_us=at("2026-08-03T10:00:00Z")),
    )
    metric = stream.metric(AggregationType.LATEST)
    stream.count(stream.event("between", "2", timestamp_us=at("2026-08-02T10:00:00Z")))
    totals = only(reader.totals(scope_of(stream, metric)))
    assert (totals.latest, totals.events_count) == (Decimal(3), 3)


def test_totals_poison_among_stale_rows_is_left_out_and_told(
    reader: ClickHouseUsageReader, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value past the precision, stored before its metric existed, is reported with its id."""
    stream.count(
        stream.event("good", "5", timestamp_us=at("2026-08-02T10:00:00Z")),
        stream.event("too-long", "1" * 19, timestamp_us=at("2026-08-02T10:00:00Z")),
    )
    metric = stream.metric(AggregationType.SUM)
    assert only(reader.totals(scope_of(stream, metric))).sum == 5
    assert "too-long" in capsys.readouterr().out


def test_rows_come_in_event_order_with_their_values(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """Ordered by timestamp, arrival and id, over stale and current rows alike."""
    moment = at("2026-08-02T10:00:00Z")
    stream.count(
        stream.event("d", "4", timestamp_us=moment + 1),
        stream.event("b", "2", timestamp_us=moment, ingested_at_us=moment + 5),
    )
    metric = stream.metric(AggregationType.SUM, dimensions=("region",))
    stream.count(
        stream.event("c", "3", timestamp_us=moment, ingested_at_us=moment + 5, properties={"region": "eu"}),
        stream.event("a", "1", timestamp_us=moment, ingested_at_us=moment, amount_cents=Decimal("0.5")),
    )
    rows = list(reader.rows(scope_of(stream, metric, group_by=("region",))))
    assert [(row.transaction_id, row.value, row.group) for row in rows] == [
        ("a", Decimal(1), (None,)),
        ("b", Decimal(2), (None,)),
        ("c", Decimal(3), ("eu",)),
        ("d", Decimal(4), (None,)),
    ]
    assert rows[0].precise_total_amount_cents == Decimal("0.5")
    assert rows[3].timestamp == instant("2026-08-02T10:00:00.000001Z")
    assert rows[1].ingested_at == instant("2026-08-02T10:00:00.000005Z")
    assert rows[1].inserted_at <= rows[2].inserted_at, "stored one after the other"


def test_totals_of_count_metric_count_every_event(reader: ClickHouseUsageReader, stream: Stream) -> None:
    """A count does not look at properties."""
    metric = stream.metric(AggregationType.COUNT)
    stream.count(*(stream.event(f"t{n}", None, timestamp_us=at("2026-08-02T10:00:00Z")) for n in range(3)))
    assert only(reader.totals(scope_of(stream, metric))).events_count == 3
