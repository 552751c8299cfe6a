"""What is billed in time and what late events add or take back come to the price of all events at once."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invoicer.billing.charge_usage import UsageWindow, charge_buckets
from invoicer.billing.late_events.lines import NOTHING, LineAmount, LineKey, Lines, due_differences, take_from
from invoicer.billing.late_events.pricing import charge_differences, past_lines
from invoicer.billing.late_events.work import LatePeriod, PastCharge
from invoicer.billing.periods import Period
from invoicer.billing.recount import RecountingReader
from invoicer.db import BillableMetric, BillingPeriod, Charge
from schemas.metrics import AggregationType, MetricDefinition
from schemas.usage import UsageRow

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
TIERS = [
    {"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "0"},
    {"from_value": 11, "to_value": None, "per_unit_amount": "0.333", "flat_amount": "2"},
]
MODELS: Mapping[str, Mapping[str, Any]] = {
    "standard": {"amount": "0.0125"},
    "graduated": {"graduated_ranges": TIERS},
    "package": {"amount": "5", "package_size": 7, "free_units": 3},
    "percentage": {"rate": "1.5", "fixed_amount": "0.03", "free_units_per_events": 2},
    "volume": {"volume_ranges": TIERS},
}
AGGREGATIONS = [each for each in AggregationType if each is not AggregationType.WEIGHTED_SUM]


def past_charge(model: str, aggregation: AggregationType, minimum: int = 0) -> PastCharge:
    """A charge by team, as it was when January was billed."""
    metric = BillableMetric(code="calls", name="calls", filters=[], recurring=False)
    charge = Charge(
        id=uuid.uuid4(),
        code="calls",
        charge_model=model,
        billable_metric=metric,
        prorated=False,
        min_amount_cents=minimum,
        properties=dict(MODELS[model]) | {"pricing_group_keys": ["team"]},
    )
    definition = MetricDefinition(
        id="calls", organization_id="hooli", code="calls", aggregation_type=aggregation, field_name="n"
    )
    return PastCharge(charge, tuple(charge_buckets(charge, [])), definition, False, frozenset(), frozenset())


def late_period(billed: Lines) -> LatePeriod:
    """January with what was billed for it so far, all of it final."""
    window = UsageWindow(uuid.uuid4(), "acme-1", Period(START, END), 31, ZoneInfo("UTC"), 2)
    return LatePeriod(BillingPeriod(id=uuid.uuid4()), window, (), billed, billed)


@st.composite
def events(draw: st.DrawFn) -> UsageRow:
    """An event of January."""
    at = START + timedelta(hours=draw(st.integers(0, 743)))
    return UsageRow(
        group=(draw(st.sampled_from([None, "red"])),),
        timestamp=at,
        transaction_id=str(draw(st.uuids())),
        value=draw(st.decimals(-20, 60, places=3)),
        identity=draw(st.sampled_from("abcdef")),
        precise_total_amount_cents=None,
        ingested_at=at,
        inserted_at=at,
    )


def reader(rows: Sequence[UsageRow]) -> RecountingReader:
    return RecountingReader(sorted(rows, key=lambda row: (row.timestamp, row.transaction_id)))


def settled(billed: Lines, *changes: Lines) -> dict[LineKey, LineAmount]:
    """What is billed after these changes."""
    after = dict(billed)
    for key, amount in (entry for each in changes for entry in each.items()):
        after[key] = after.get(key, NOTHING).plus(amount)
    return after


def cents(lines: Lines) -> int:
    return sum(amount.amount_cents for amount in lines.values())


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("model", MODELS)
@given(
    batches=st.lists(st.lists(events(), max_size=5), min_size=1, max_size=4), minimum=st.sampled_from([0, 3_000])
)
@settings(max_examples=25, deadline=None)
def test_in_time_and_late_together_are_the_price_of_all_at_once(
    model: str, aggregation: AggregationType, batches: list[list[UsageRow]], minimum: int
) -> None:
    """However the events of a period are split into those in time and late ones, however often it is settled."""
    past = past_charge(model, aggregation, minimum)
    window = late_period({}).window
    arrived = list(batches[0])
    billed: dict[LineKey, LineAmount] = dict(past_lines(reader(arrived), past, window))
    for batch in batches[1:]:
        arrived += batch
        billed = settled(billed, *charge_differences(reader(arrived), late_period(billed), past))
    at_once = past_lines(reader(arrived), past, window)
    assert cents(billed) == cents(at_once)
    assert charge_differences(reader(arrived), late_period(billed), past) == ({}, {})
    if not minimum:
        by_line = {key: amount.amount_cents for key, amount in billed.items() if amount.amount_cents}
        assert by_line == {key: amount.amount_cents for key, amount in at_once.items() if amount.amount_cents}


@given(in_time=st.lists(events(), max_size=6), late=st.lists(events(), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_changed_price_is_applied_to_late_events_alone(in_time: list[UsageRow], late: list[UsageRow]) -> None:
    """Whatever was billed before: the difference is that of the rows, both sides at the price of today."""
    past = past_charge("graduated", AggregationType.SUM)
    edited = replace(past, is_changed=True, uncounted=frozenset(row.transaction_id for row in late))
    window = late_period({}).window
    billed = {LineKey(past.charge.id): LineAmount(Decimal(7), 1, 123_456, Decimal(123_456))}
    changes = charge_differences(reader(in_time + late), late_period(billed), edited)
    before, after = (past_lines(reader(rows), past, window) for rows in (in_time, in_time + late))
    assert cents(settled({}, *changes)) == cents(after) - cents(before)


@given(in_time=st.lists(events(), max_size=6), ignored=st.lists(events(), max_size=6))
@settings(max_examples=60, deadline=None)
def test_ignored_events_are_part_of_no_difference(in_time: list[UsageRow], ignored: list[UsageRow]) -> None:
    """The period comes to what was billed, as if they had never been sent."""
    past = past_charge("volume", AggregationType.MAX)
    billed = past_lines(reader(in_time), past, late_period({}).window)
    without = replace(past, ignored=frozenset(row.transaction_id for row in ignored))
    assert charge_differences(reader(in_time + ignored), late_period(billed), without) == ({}, {})


def test_draft_is_not_given_back_and_counts_as_billed() -> None:
    """Eight billed, two more on a draft: with nine there now nothing is owed beside it, nothing is returned."""
    past = past_charge("standard", AggregationType.COUNT)
    key = LineKey.of(past.charge.id, None, {"team": None})
    rows = [row_at(hour) for hour in range(900)]
    final = {key: LineAmount(Decimal(800), 800, 1_000, Decimal(1_000))}
    late = replace(
        late_period(final), billed=settled(final, {key: LineAmount(Decimal(200), 200, 250, Decimal(250))})
    )
    assert charge_differences(reader(rows), late, past) == ({}, {})
    more, _ = charge_differences(reader(rows), late_period(final), past)
    assert more == {key: LineAmount(Decimal(100), 100, 125, Decimal(125))}


def row_at(hour: int) -> UsageRow:
    at = START + timedelta(minutes=hour)
    return UsageRow((None,), at, f"t{hour}", Decimal(1), "", None, at, at)


A, B, TRUE_UP = (LineKey(uuid.UUID(int=1), grouped_by=(("team", each),)) for each in ("a", "b", "c"))
MINIMUM = replace(TRUE_UP, grouped_by=(), is_true_up=True)


@pytest.mark.parametrize(
    ("moved", "due"),
    [
        ({A: 20, MINIMUM: -20}, {}),
        ({A: 50, B: 40, MINIMUM: -70}, {A: 20}),
        ({A: 90, B: -30, MINIMUM: -10}, {A: 50}),
        ({A: -70, MINIMUM: 20}, {A: -50}),
        ({MINIMUM: 30}, {MINIMUM: 30}),
        ({A: -5, MINIMUM: -7}, {A: -5, MINIMUM: -7}),
    ],
)
def test_usage_and_true_up_of_a_minimum_are_netted(moved: dict[LineKey, int], due: dict[LineKey, int]) -> None:
    """Only what the charge as a whole comes to more or less is owed or given back."""
    lines = {key: NOTHING.cut_to(amount) for key, amount in moved.items()}
    assert cents(due_differences(lines, ())) == sum(moved.values())
    netted = due_differences(lines, {A.charge_id})
    assert {key: amount.amount_cents for key, amount in netted.items()} == due


@pytest.mark.parametrize(
    ("amount", "available", "parts"),
    [(5, [3, 4], [3, 2]), (5, [9], [5]), (5, [2, 0, 1], [2, 0, 1]), (0, [4], [0]), (5, [], [])],
)
def test_amount_is_taken_where_there_is_something_left(
    amount: int, available: list[int], parts: list[int]
) -> None:
    """In order, and never more than there is."""
    assert take_from(amount, available) == parts
