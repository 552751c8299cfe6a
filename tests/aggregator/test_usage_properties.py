"""However events arrive, usage equals a recount of the distinct events in plain Python."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.clickhouse import ClickHouse
from aggregator.event_store import EventStore
from aggregator.usage import ClickHouseUsageReader
from schemas.events import Event
from schemas.metrics import AggregationType
from schemas.period import TimeRange
from schemas.time_text import from_microseconds
from schemas.usage import UsageScope, UsageTotals
from tests.aggregator.stream import SUBSCRIPTION, Stream, at

START_US = at("2026-08-01T00:00:00Z")
STEP_US = 10 * 60 * 1_000_000
AGGREGATIONS = (
    AggregationType.COUNT,
    AggregationType.SUM,
    AggregationType.MAX,
    AggregationType.LATEST,
    AggregationType.UNIQUE_COUNT,
)
COUNTS_TEXTS = (AggregationType.COUNT, AggregationType.UNIQUE_COUNT)
"""What counts events whose value is no number too."""


@dataclass(frozen=True)
class Sent:
    """What a producer sends: the id is the key, the rest is decided by it."""

    id: int
    step: int
    units: str
    region: str | None
    amount: Decimal | None


units_texts = st.one_of(
    st.integers(-(10**18) + 1, 10**18 - 1).map(str),
    st.decimals(-(10**17), 10**17, places=18).map(lambda value: format(value, "f")),
    st.sampled_from(["abc", "1e5", ".5"]),
)
events_sent = st.lists(
    st.builds(
        Sent,
        id=st.integers(0, 10_000),
        step=st.integers(0, 60),
        units=units_texts,
        region=st.sampled_from(["eu", "us", "", None]),
        amount=st.one_of(st.none(), st.decimals(0, 10**6, places=15)),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda sent: sent.id,
)


def recount(
    sent: Sequence[Sent], first_step: int, last_step: int, aggregation: AggregationType
) -> Mapping[str | None, UsageTotals]:
    """What the metric is billed by, by region, from the rules alone."""
    groups: dict[str | None, list[Sent]] = {}
    for one in sent:
        is_number = one.units not in {"abc", "1e5", ".5"}
        if first_step <= one.step < last_step and (is_number or aggregation in COUNTS_TEXTS):
            groups.setdefault(one.region or None, []).append(one)
    return {region: totals_of(region, counted, aggregation) for region, counted in groups.items()}


def totals_of(region: str | None, counted: Sequence[Sent], aggregation: AggregationType) -> UsageTotals:
    totals = UsageTotals((region,), len(counted), Decimal(0), None, None, 0, 0, Decimal(0))
    with localcontext(prec=80):
        match aggregation:
            case AggregationType.SUM:
                amounts = sum((one.amount or Decimal(0) for one in counted), Decimal(0))
                units = sum((Decimal(one.units) for one in counted), Decimal(0))
                return replace(totals, sum=units, precise_total_amount_cents=amounts)
            case AggregationType.MAX:
                return replace(totals, max=max(Decimal(one.units) for one in counted))
            case AggregationType.LATEST:
                latest = max(counted, key=lambda one: (one.step, f"t{one.id}"))
                return replace(totals, latest=Decimal(latest.units))
            case AggregationType.UNIQUE_COUNT:
                return replace(totals, unique_count=len({one.units for one in counted}))
            case _:
                return totals


@given(
    sent=events_sent,
    aggregation=st.sampled_from(AGGREGATIONS),
    metric_after=st.integers(0, 3),
    first_step=st.integers(0, 30),
    last_step=st.integers(31, 61),
    data=st.data(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_usage_any_order_cuts_and_repeats_equal_a_recount(
    embedded_clickhouse: ClickHouse,
    sent: list[Sent],
    aggregation: AggregationType,
    metric_after: int,
    first_step: int,
    last_step: int,
    data: st.DataObject,
) -> None:
    """Permutations, repeats, any cut into batches, a lost index and a late metric change no total."""
    arrivals = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent), max_size=10))))
    cuts = data.draw(st.lists(st.integers(0, len(arrivals)), max_size=4).map(sorted))
    lost_at = data.draw(st.integers(0, len(cuts)))
    with tempfile.TemporaryDirectory(prefix="millrace-index-") as directory:
        stream = Stream(EventStore(embedded_clickhouse), Path(directory) / "i", organization_id=uuid4().hex)
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(arrivals)], strict=True)):
            if number == metric_after:
                stream.metric(aggregation, dimensions=("region",))
            if number == lost_at:
                stream.lose_index()
            stream.count(*(event_of(stream, one) for one in arrivals[start:end]))
        metric = stream.metric(aggregation, dimensions=("region",))
        stream.close()
    moment = from_microseconds(START_US)
    period = TimeRange(
        moment + timedelta(microseconds=first_step * STEP_US), moment + timedelta(microseconds=last_step * STEP_US)
    )
    scope = UsageScope(stream.organization_id, SUBSCRIPTION, metric, period, group_by=("region",))
    totals = ClickHouseUsageReader(embedded_clickhouse).totals(scope)
    assert {total.group[0]: total for total in totals} == recount(sent, first_step, last_step, aggregation)
    assert len(totals) == len({total.group for total in totals})


def event_of(stream: Stream, sent: Sent) -> Event:
    region = {} if sent.region is None else {"region": sent.region}
    return stream.event(
        f"t{sent.id}",
        sent.units,
        timestamp_us=START_US + sent.step * STEP_US,
        amount_cents=sent.amount,
        properties=region,
    )
