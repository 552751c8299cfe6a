"""On volume, usage is read from the hourly projection and from the ragged ends only."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from msgspec import structs

from aggregator.clickhouse import ClickHouse
from aggregator.columns import EvaluatedEvent
from aggregator.event_store import EventStore
from aggregator.usage import ClickHouseUsageReader
from aggregator.usage_sql import totals_query
from schemas.events import Event, Position, PositionedEvent
from schemas.metrics import AggregationType, Evaluation, MetricDefinition
from schemas.period import TimeRange
from schemas.usage import UsageScope
from tests.aggregator.stream import at

EVENTS = 200_000
SUBSCRIPTIONS = 20
SECONDS_APART = 10
START_US = at("2026-08-01T00:00:00Z")
RAGGED = TimeRange(datetime(2026, 8, 1, 0, 30, tzinfo=UTC), datetime(2026, 8, 20, 18, 30, tzinfo=UTC))
MONTH = TimeRange(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def metric(embedded_clickhouse: ClickHouse) -> MetricDefinition:
    """A metric with 200,000 events of one unit, one every 10 s, over 20 subscriptions and two regions."""
    metric = MetricDefinition(
        id="m1",
        organization_id=f"org-{uuid4().hex[:12]}",
        code="api_calls",
        aggregation_type=AggregationType.SUM,
        field_name="units",
        dimensions=("region",),
    )
    evaluations = [Evaluation(metric.evaluation, Decimal(1), "", {"region": region}) for region in ("eu", "us")]
    store = EventStore(embedded_clickhouse)
    for start in range(0, EVENTS, 50_000):
        store.insert(
            [
                EvaluatedEvent(
                    PositionedEvent(Position(0, start, n), event_of(metric, n)),
                    evaluations[n // SUBSCRIPTIONS % 2],
                )
                for n in range(start, start + 50_000)
            ]
        )
    return metric


def event_of(metric: MetricDefinition, number: int) -> Event:
    return Event(
        organization_id=metric.organization_id,
        external_subscription_id=f"sub-{number % SUBSCRIPTIONS}",
        transaction_id=f"t{number}",
        code=metric.code,
        timestamp_us=START_US + number * SECONDS_APART * 1_000_000,
        properties_json=b"{}",
        precise_total_amount_cents=None,
        ingested_at_us=START_US,
        event_id=number.to_bytes(16, "big"),
        fingerprint=number,
    )


@pytest.mark.parametrize(
    "narrow",
    [
        {},
        {"group_by": ("region",)},
        {"include": {"region": ("eu",)}, "exclude": ({"region": ("us", "ap")},), "group_by": ("region",)},
    ],
)
@pytest.mark.parametrize("aggregation", list(AggregationType))
@pytest.mark.parametrize(
    ("period", "tables"),
    [
        (MONTH, ["usage_hourly"]),
        (replace(MONTH, start=None), ["usage_hourly"]),
        (RAGGED, ["events", "usage_hourly"]),
        (replace(MONTH, start=RAGGED.start), ["events", "usage_hourly"]),
    ],
)
def test_totals_query_on_volume_reads_the_projection(
    embedded_clickhouse: ClickHouse,
    metric: MetricDefinition,
    narrow: dict[str, object],
    aggregation: AggregationType,
    period: TimeRange,
    tables: list[str],
) -> None:
    """ClickHouse chooses `usage_hourly` for the whole hours by itself; both ends are read at once, if ragged."""
    asked = structs.replace(metric, aggregation_type=aggregation)
    scope = UsageScope(metric.organization_id, "sub-7", asked, period, **narrow)  # type: ignore[arg-type]
    query, parameters = totals_query(scope)
    plan = [row[0] for row in embedded_clickhouse.rows(f"EXPLAIN projections = 1 {query}", parameters)]
    reads = [line.split("(")[1].rstrip(")") for line in plan if "ReadFromMergeTree" in line]
    assert [read.rpartition(".")[2] for read in reads] == tables


def test_totals_from_projection_equal_a_recount(embedded_clickhouse: ClickHouse, metric: MetricDefinition) -> None:
    """The half hours at both ends are cut exactly."""
    scope = UsageScope(metric.organization_id, "sub-7", metric, RAGGED, group_by=("region",))
    wanted = {("eu",): 0, ("us",): 0}
    for number in range(7, EVENTS, SUBSCRIPTIONS):
        seconds = number * SECONDS_APART
        if 1800 <= seconds < (19 * 24 + 18.5) * 3600:
            wanted["eu" if number // SUBSCRIPTIONS % 2 == 0 else "us",] += 1
    totals = ClickHouseUsageReader(embedded_clickhouse).totals(scope)
    assert {total.group: total.sum for total in totals} == {
        group: Decimal(count) for group, count in wanted.items()
    }
    assert {total.group: total.events_count for total in totals} == wanted


@pytest.mark.parametrize("view", ["usage_hourly", "usage_daily"])
def test_usage_views_read_the_projection(
    embedded_clickhouse: ClickHouse, metric: MetricDefinition, view: str
) -> None:
    """What dashboards read costs hours, not events."""
    query = f"SELECT sum(units_sum) FROM {view} WHERE organization_id = {{organization:String}}"
    parameters = {"organization": metric.organization_id}
    plan = "\n".join(
        str(row[0]) for row in embedded_clickhouse.rows(f"EXPLAIN projections = 1 {query}", parameters)
    )
    assert "ReadFromMergeTree (usage_hourly)" in plan
    assert embedded_clickhouse.rows(query, parameters)[0][0] == Decimal(EVENTS)
